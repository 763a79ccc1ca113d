"""Answers aloud: what is recorded is what would have come at once, and whoever listens hears it before."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.camel_agents import CamelAgents
from adapters.embedded.nats_server import EmbeddedNats
from adapters.live_text import PACE_SECONDS, LiveText, LiveTextFeed, TokenDelta
from adapters.model_server.server import build
from domain.current_step import CurrentStep, asking_for
from domain.model_call import ModelCall, Usage
from domain.ports.agents import ModelUnavailable
from domain.roster import AgentSpec, ModelSpec, Sampling
from domain.text import escape
from tests.eventually import eventually
from tests.integration.model_servers import API_KEY, BASE_NAME, serving
from tests.integration.scripted_endpoint import ScriptedEndpoint

SAMPLING = Sampling(temperature=0.9, top_p=0.9, max_tokens=24, seed=1)
SPEC = AgentSpec(
    "anna", "plays", "You are Anna.", ModelSpec("embedded", BASE_NAME, sampling=SAMPLING), "team", "likelihood"
)
RUN = uuid4()
STEP = CurrentStep(RUN, "anna", "answer", 0)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    folder = tmp_path_factory.mktemp("nats")
    with EmbeddedNats(folder / "nats", folder / "nats.log") as server:
        yield server


@asynccontextmanager
async def listening(nats: EmbeddedNats, *runs: UUID) -> AsyncIterator[tuple[LiveText, list[TokenDelta]]]:
    """A worker's voice, and what a gateway hears of those runs."""
    live, feed, stop = LiveText(nats.url), LiveTextFeed(nats.url), asyncio.Event()
    heard: list[TokenDelta] = []
    jobs = [asyncio.create_task(live.run(stop)), asyncio.create_task(feed.run(stop, heard.append))]
    with feed.following(runs[0] if runs else RUN):
        await until_heard(live, heard)
        yield live, heard
    stop.set()
    await asyncio.gather(*jobs)


async def until_heard(live: LiveText, heard: list[TokenDelta]) -> None:
    while not heard:
        with live.utterance(STEP) as said:
            said.add("?")
        await asyncio.sleep(0.05)
    with live.utterance(STEP) as said:
        said.add("!")
    await eventually(lambda: heard[-1].text == "!")
    heard.clear()


def read(heard: list[TokenDelta]) -> str:
    """What a viewer shows in the end, who goes by `seq`."""
    text = ""
    for delta in heard:
        text = delta.text if delta.seq == 0 else text + delta.text
    return text


def agents_on(endpoint: ScriptedEndpoint, live: LiveText | None) -> tuple[CamelAgents, AgentSpec]:
    spec = replace(SPEC, model=ModelSpec("openai-compatible-model", "m", endpoint.url), ballot="verdict")
    return CamelAgents("http://x/v1", "key", None, secrets={}, patience=20, live=live), spec


async def asked(endpoint: ScriptedEndpoint, live: LiveText | None) -> ModelCall:
    agents, spec = agents_on(endpoint, live)
    with asking_for(STEP):
        return await agents.create(spec, None, None).answer("Why?")


def without_latency(call: ModelCall) -> ModelCall:
    return replace(call, latency=0.0)


async def test_the_embedded_model_says_aloud_what_it_would_have_said_at_once(
    nats: EmbeddedNats, tiny_model: Path, tmp_path: Path
) -> None:
    app = build(tiny_model, BASE_NAME, tmp_path, API_KEY)
    with serving(app, tmp_path) as server:
        async with listening(nats) as (live, heard):

            def agents(live: LiveText | None) -> CamelAgents:
                return CamelAgents(f"{server.url}/v1", API_KEY, None, secrets={}, live=live)

            silent = await agents(None).create(SPEC, None, None).answer("Why?")
            with asking_for(STEP):
                aloud = await agents(live).create(SPEC, None, None).answer("Why?")
            await eventually(lambda: read(heard) == silent.output)
    assert without_latency(aloud) == without_latency(silent)
    assert {(delta.run, delta.step, delta.agent, delta.phase, delta.n) for delta in heard} == {
        (RUN, STEP.id, "anna", "answer", 0)
    }
    assert [delta.seq for delta in heard] == list(range(len(heard)))


async def test_what_camel_takes_out_of_an_answer_is_taken_out_of_one_that_is_said_aloud(nats: EmbeddedNats) -> None:
    with ScriptedEndpoint("<think>let me see</think>Because.").up() as endpoint:
        async with listening(nats) as (live, _):
            silent, aloud = await asked(endpoint, None), await asked(endpoint, live)
    assert without_latency(aloud) == without_latency(silent)
    assert aloud.output == "Because."


async def test_words_are_heard_before_the_answer_is_there(nats: EmbeddedNats) -> None:
    words = threading.Semaphore(2)
    with ScriptedEndpoint("Because air\x00 scatters it.", words=words).up() as endpoint:
        async with listening(nats) as (live, heard):
            answering = asyncio.create_task(asked(endpoint, live))
            await eventually(lambda: read(heard) == escape("Because air\x00"))
            assert not answering.done()
            words.release(10)
            call = await answering
            await eventually(lambda: read(heard) == call.output == escape("Because air\x00 scatters it."))
    assert call.usage == Usage(7, 3)


async def test_who_comes_late_hears_what_was_said_before(nats: EmbeddedNats) -> None:
    words = threading.Semaphore(2)
    with ScriptedEndpoint("Because air scatters it.", words=words).up() as endpoint:
        async with listening(nats) as (live, first):
            answering = asyncio.create_task(asked(endpoint, live))
            await eventually(lambda: read(first) == "Because air")
            async with listening_too(nats) as second:
                await eventually(lambda: read(second) == "Because air")
                words.release(10)
                await answering
                await eventually(lambda: read(first) == read(second) == "Because air scatters it.")


@asynccontextmanager
async def listening_too(nats: EmbeddedNats) -> AsyncIterator[list[TokenDelta]]:
    feed, stop = LiveTextFeed(nats.url), asyncio.Event()
    heard: list[TokenDelta] = []
    job = asyncio.create_task(feed.run(stop, heard.append))
    with feed.following(RUN):
        yield heard
    stop.set()
    await job


async def test_an_attempt_that_breaks_off_is_made_again_and_its_words_are_taken_back(nats: EmbeddedNats) -> None:
    with ScriptedEndpoint("Because air scatters it.", broken=2).up() as endpoint:
        async with listening(nats) as (live, heard):
            call = await asked(endpoint, live)
            await eventually(lambda: read(heard) == call.output == "Because air scatters it.")
    assert len(endpoint.requests) == 3
    assert [delta.text for delta in heard if delta.seq == 0][:2] == ["Because", ""]


@pytest.mark.parametrize("streaming", ["ignored", "refused", "uncounted"])
async def test_an_endpoint_that_cannot_stream_is_found_out_once(nats: EmbeddedNats, streaming: str) -> None:
    with ScriptedEndpoint("Because.", streaming=streaming).up() as endpoint:
        async with listening(nats) as (live, _):
            agents, spec = agents_on(endpoint, live)
            with asking_for(STEP):
                calls = [await agents.create(spec, None, None).answer("Why?") for _ in range(2)]
    assert [call.output for call in calls] == ["Because."] * 2
    assert calls[-1].usage == Usage(7, 3)
    asked_for = {"ignored": [True, None, None], "refused": [True, None, None], "uncounted": [True, None]}
    assert [request.get("stream") for request in endpoint.requests] == asked_for[streaming]


async def test_a_model_that_was_missing_for_a_moment_is_no_reason_not_to_stream(nats: EmbeddedNats) -> None:
    with ScriptedEndpoint("Because.", failures=1, failure=(404, "no such model")).up() as endpoint:
        async with listening(nats) as (live, _):
            agents, spec = agents_on(endpoint, live)
            with asking_for(STEP):
                calls = [await agents.create(spec, None, None).answer("Why?") for _ in range(2)]
    assert [call.output for call in calls] == ["Because."] * 2
    assert [request.get("stream") for request in endpoint.requests] == [True, None, True]


async def test_what_is_refused_for_another_reason_is_no_reason_not_to_stream(nats: EmbeddedNats) -> None:
    with ScriptedEndpoint("", beside={"choices": [{"message": None}]}, streaming="refused").up() as endpoint:
        async with listening(nats) as (live, _):
            with pytest.raises(ModelUnavailable):
                await asked(endpoint, live)


async def test_nobody_is_told_where_no_step_is_asked_for(nats: EmbeddedNats) -> None:
    with ScriptedEndpoint("Because.").up() as endpoint:
        async with listening(nats) as (live, _):
            agents, spec = agents_on(endpoint, live)
            await agents.create(spec, None, None).answer("Why?")
    assert "stream" not in endpoint.requests[0]


async def test_the_answer_comes_though_nats_stops_while_it_is_said(tmp_path: Path) -> None:
    words = threading.Semaphore(1)
    with (
        EmbeddedNats(tmp_path / "nats", tmp_path / "nats.log") as nats,
        ScriptedEndpoint("Because air scatters it.", words=words).up() as endpoint,
    ):
        async with listening(nats) as (live, heard):
            answering = asyncio.create_task(asked(endpoint, live))
            await eventually(lambda: read(heard) == "Because")
            await asyncio.to_thread(nats.stop)
            words.release(10)
            assert (await answering).output == "Because air scatters it."
            await asyncio.to_thread(nats.start)
            heard.clear()
            await until_heard(live, heard)


async def test_a_run_that_nobody_follows_is_not_heard(nats: EmbeddedNats) -> None:
    async with listening(nats) as (live, heard):
        with live.utterance(replace(STEP, run=uuid4())) as said:
            said.add("to nobody")
        with live.utterance(STEP) as said:
            said.add("to us")
        await eventually(lambda: read(heard) == "to us")
    assert len(heard) == 1


async def test_a_worker_that_was_taken_for_lost_is_not_heard_once_another_one_speaks(nats: EmbeddedNats) -> None:
    async with listening(nats) as (live, heard):
        with live.utterance(STEP) as lost, live.utterance(replace(STEP, attempt=2)) as taken_over:
            lost.add("Be")
            await eventually(lambda: read(heard) == "Be")
            taken_over.add("Since")
            await eventually(lambda: read(heard) == "Since")
            lost.add("cause")
            await asyncio.sleep(2 * PACE_SECONDS)
            taken_over.add(" then")
            await eventually(lambda: read(heard) == "Since then")
    attempts = [delta.attempt for delta in heard]
    assert attempts == sorted(attempts)


async def test_what_is_no_delta_is_let_be(nats: EmbeddedNats) -> None:
    import nats as nats_client

    client = await nats_client.connect(nats.url)
    async with listening(nats) as (live, heard):
        for hostile in (b"", b"\xff", b"[]", b'{"type":"token_delta"}', b'{"type":"workflow.completed","position":1}'):
            await client.publish(f"tokens.{RUN}", hostile)
        await client.flush()
        with live.utterance(STEP) as said:
            said.add("go on")
        await eventually(lambda: read(heard) == "go on")
    await client.close()
