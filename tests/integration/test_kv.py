"""Buckets in NATS: what was put is there for a while, and whatever happens to NATS is a miss and never an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import nats as nats_client
import pytest
from loguru import logger

from adapters import kv
from adapters.agents_yaml import AgentsYaml
from adapters.embedded.nats_server import EmbeddedNats
from adapters.kept_agents_yaml import KeptAgentsYaml
from adapters.kv import Bucket, KeyValues
from adapters.locked_values import Cache, Lockers
from adapters.tools.allowed import AllowedTools
from domain.errors import Invalid
from domain.model_hosts import ModelHosts
from tests.eventually import eventually

BUCKET = Bucket("things", seconds=60, most_bytes=2**20)
QUESTION = {"model": "tiny", "messages": ["Why?"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = tmp_path_factory.mktemp("kv")
    with EmbeddedNats(folder / "nats", folder / "nats.log") as server:
        yield server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS has all the time that it takes to answer, and nobody rests for long."""
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(kv, "REST_SECONDS", 0.1)


@pytest.fixture
def impatient(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what cannot be answered."""
    monkeypatch.setattr(kv, "ANSWER_SECONDS", 1.0)


@pytest.fixture
def values(server: EmbeddedNats) -> Iterator[KeyValues]:
    with closing(KeyValues(server.url, BUCKET)) as values:
        yield values
    asyncio.run(wipe(server.url))


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), level="WARNING")
    yield told
    logger.remove(sink)


async def wipe(url: str) -> None:
    """Takes away all that NATS keeps."""
    client = await nats_client.connect(url)
    jetstream = client.jetstream()
    for stream in await jetstream.streams_info():
        await jetstream.delete_stream(stream.config.name or "")
    await client.close()


async def until(condition: Callable[[], bool]) -> None:
    await eventually(condition, every_seconds=0.05)


def test_what_was_put_is_found_until_it_is_deleted(values: KeyValues):
    assert values.get("a") is None
    assert values.put("a", b"1")
    assert values.put("a", b"2")
    assert values.get("a") == b"2"
    assert values.get("b") is None
    assert values.delete("a")
    assert values.get("a") is None


async def test_coroutines_and_threads_share_it(values: KeyValues):
    assert await values.keep("a", b"1")
    assert await values.find("a") == b"1"
    assert await asyncio.to_thread(values.get, "a") == b"1"


async def test_a_value_is_forgotten_after_its_time(server: EmbeddedNats):
    with closing(KeyValues(server.url, Bucket("brief", seconds=3, most_bytes=2**20))) as brief:
        await until(lambda: brief.put("a", b"1") and brief.get("a") == b"1")
        await until(lambda: brief.get("a") is None)


def test_the_oldest_values_make_room_for_new_ones(server: EmbeddedNats):
    with closing(KeyValues(server.url, Bucket("small", seconds=60, most_bytes=20_000))) as small:
        for number in range(30):
            assert small.put(str(number), bytes(1000))
        assert small.get("0") is None
        assert small.get("29") is not None


def test_what_is_too_large_for_nats_is_not_kept(values: KeyValues):
    assert not values.put("large", bytes(2 * 2**20))
    assert values.put("a", b"1")


async def test_who_connected_before_need_not_wait_for_it_with_the_first_question(
    values: KeyValues, monkeypatch: pytest.MonkeyPatch
):
    assert values.put("a", b"1")
    with closing(KeyValues(values._url, values.bucket)) as restarted:
        restarted.connect()
        await until(restarted._there.is_set)
        monkeypatch.setattr(kv, "connected", lambda *_: pytest.fail("it connects only now"))
        assert restarted.get("a") == b"1"


async def test_a_bucket_that_was_wiped_is_made_anew(values: KeyValues, server: EmbeddedNats):
    await values.keep("a", b"1")
    await wipe(server.url)
    assert await values.find("a") is None
    assert await values.keep("a", b"2")
    assert await values.find("a") == b"2"


@pytest.mark.usefixtures("impatient")
async def test_while_nats_is_away_everything_is_a_miss_told_once_and_then_it_is_as_before(
    tmp_path: Path, warnings: list[str]
):
    server = EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log")
    with closing(KeyValues(server.url, BUCKET)) as values:
        assert await values.find("a") is None
        with server:
            await until(lambda: values.put("a", b"1"))
            assert await values.find("a") == b"1"
        warnings.clear()
        await until(lambda: not values.put("a", b"2"))
        for _ in range(3):
            assert await values.find("a") is None
            await asyncio.sleep(0.15)
        assert len(warnings) == 1
        assert "going on without the bucket things" in warnings[0]
        with server:
            await until(lambda: values.get("a") == b"1")


def test_once_closed_everything_is_a_miss(server: EmbeddedNats):
    values = KeyValues(server.url, BUCKET)
    values.put("a", b"1")
    values.close()
    assert values.get("a") is None
    assert not values.put("a", b"1")


class TestParsed:
    TEXT = "agents:\n  - {name: ada, role: a, system_message: b, model: {platform: embedded, name: tiny}}\n"

    def test_a_text_is_read_once_for_all_processes(self, values: KeyValues, monkeypatch: pytest.MonkeyPatch):
        first = KeptAgentsYaml(ModelHosts(), AllowedTools(), Cache(values, "s3cret")).parse(self.TEXT)
        with monkeypatch.context() as patched:
            patched.setattr(AgentsYaml, "entries", lambda *_: pytest.fail("it was read again"))
            assert KeptAgentsYaml(ModelHosts(), AllowedTools(), Cache(values, "s3cret")).parse(self.TEXT) == first

    @pytest.mark.parametrize("wrong", [b"", b"[]", b"7", b'[{"name": 7}]'])
    def test_what_says_no_agents_is_read_anew(self, values: KeyValues, monkeypatch: pytest.MonkeyPatch, wrong: bytes):
        monkeypatch.setattr(Cache, "get", lambda *_: wrong)
        (ada,) = KeptAgentsYaml(ModelHosts(), AllowedTools(), Cache(values, "s3cret")).parse(self.TEXT)
        assert ada.name == "ada"

    def test_other_hosts_are_another_question(self, values: KeyValues):
        elsewhere = self.TEXT.replace("embedded", "openai-compatible-model").replace("tiny", "m, url: 'http://far/v1'")
        KeptAgentsYaml(ModelHosts("far"), AllowedTools(), Cache(values, "s3cret")).parse(elsewhere)
        with pytest.raises(Invalid, match="listed hosts only"):
            KeptAgentsYaml(ModelHosts(), AllowedTools(), Cache(values, "s3cret")).parse(elsewhere)


class TestLocked:
    def test_an_answer_is_found_by_its_question_whatever_the_order_of_its_parts(self, values: KeyValues):
        Cache(values, "s3cret").put(QUESTION, b"because")
        assert Cache(values, "s3cret").get(dict(reversed(QUESTION.items()))) == b"because"
        assert Cache(values, "s3cret").get(QUESTION | {"model": "other"}) is None

    async def test_an_answer_that_is_too_old_for_the_one_who_asks_is_none(self, values: KeyValues):
        cache = Cache(values, "s3cret")
        await cache.keep(QUESTION, b"because")
        assert await cache.find(QUESTION, within=60) == b"because"
        later = Cache(values, "s3cret", now=lambda: time.time() + 120)
        assert await later.find(QUESTION, within=60) is None
        assert await later.find(QUESTION, within=180) == b"because"

    def test_without_the_secret_nobody_reads_or_forges(self, values: KeyValues):
        Cache(values, "s3cret").put(QUESTION, b"because")
        assert Cache(values, "guessed").get(QUESTION) is None
        (key,) = asyncio.run(keys_in(values))
        genuine = values.get(key)
        assert genuine
        for forged in (b"", b"because", b'{"choices": []}', genuine[:-1]):
            values.put(key, forged)
            assert Cache(values, "s3cret").get(QUESTION) is None

    def test_what_answers_one_question_answers_no_other(self, values: KeyValues):
        cache, other = Cache(values, "s3cret"), {"other": 1}
        cache.put(QUESTION, b"because")
        (key,) = asyncio.run(keys_in(values))
        genuine = values.get(key)
        assert genuine
        cache.put(other, b"something else")
        for each in asyncio.run(keys_in(values)):
            values.put(each, genuine)
        assert cache.get(QUESTION) == b"because"
        assert cache.get(other) is None

    async def test_a_locker_opens_with_its_own_secret_and_tells_nothing_of_it(self, values: KeyValues):
        lockers = Lockers(values)
        assert await asyncio.to_thread(lockers.put, "cookie", b"crv_token")
        assert await asyncio.to_thread(lockers.get, "cookie") == b"crv_token"
        assert await asyncio.to_thread(lockers.get, "another") is None
        for key in await keys_in(values):
            assert "cookie" not in key
            kept = await values.find(key)
            assert kept
            assert b"crv_token" not in kept
        assert await asyncio.to_thread(lockers.delete, "cookie")
        assert await asyncio.to_thread(lockers.get, "cookie") is None


async def keys_in(values: KeyValues) -> list[str]:
    """All keys of the bucket, as somebody sees them who may look at everything."""
    client = await nats_client.connect(values._url)
    bucket = await client.jetstream().key_value(values.bucket.name)
    keys: list[str] = await bucket.keys()
    await client.close()
    return keys


@pytest.mark.usefixtures("impatient")
def test_a_bucket_whose_thread_has_ended_is_closed_like_any_other(values: KeyValues, monkeypatch: pytest.MonkeyPatch):
    async def defective(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(kv, "connected", defective)
    assert values.get("a") is None
    assert values._thread
    values._thread.join(60)
    values.close()
    values.close()


@pytest.mark.usefixtures("impatient")
def test_what_is_asked_while_the_thread_ends_is_a_miss(values: KeyValues, monkeypatch: pytest.MonkeyPatch):
    async def defective(*_: object) -> None:
        raise RuntimeError

    def late(*arguments: Any) -> Future[Any]:
        time.sleep(0.2)
        return schedule(*arguments)

    schedule = asyncio.run_coroutine_threadsafe
    monkeypatch.setattr(kv, "connected", defective)
    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
    assert values.get("a") is None
