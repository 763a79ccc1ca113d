"""Witnesses outside of the database: anchored seals, and what NATS was told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from nats import connect
from nats.js import JetStreamContext
from sqlalchemy import Engine, select

from adapters.event_store import PostgresEventStore
from adapters.event_tables import ANCHORS
from adapters.nats import STREAM, declare_stream
from adapters.relay import Relay, published
from adapters.sealing import told as told_module
from adapters.sealing.anchors import AnchorFile, Anchoring, AnchorWebhook, Place, read_anchors
from adapters.sealing.book import SealBook
from adapters.sealing.keys import read_keyring
from adapters.sealing.seal import NoSeal, Seal, latest_seal
from adapters.sealing.sealer import Sealer
from adapters.sealing.tiles import TreeDamaged
from adapters.sealing.told import told_lately
from adapters.sealing.verification import verify
from tests import story
from tests.integration.sealing.conftest import all_seals, seal_in_batches, tell


class Notary(BaseHTTPRequestHandler):
    """Keeps what it is sent; the first time it fails."""

    kept: ClassVar[list[dict[str, Any]]]
    answers: ClassVar[list[int]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 204
        if status < 300:
            self.kept.append(json.loads(body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def notary(*answers: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    kept: list[dict[str, Any]] = []
    handler = type("OneNotary", (Notary,), {"kept": kept, "answers": list(answers)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/seals", kept
    server.shutdown()


def test_the_newest_seal_is_kept_in_a_file_and_at_an_address_once(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    sealer.seal_all()
    with notary(503, 302) as (url, kept):
        places: list[Place] = [AnchorFile(tmp_path / "anchors"), AnchorWebhook(url)]
        anchoring = Anchoring(engine, places, tmp_path / "keyring")
        for status in (503, 302):
            failure = f"seal 1 cannot be kept in the webhook: the answer was {status}"
            assert anchoring.anchor() == {"file": None, "webhook": failure}
        assert anchoring.anchor() == anchoring.anchor() == {"file": None, "webhook": None}
        (seal,) = all_seals(engine)
        assert read_anchors(tmp_path / "anchors") == [Seal.from_json(told) for told in kept] == [seal]
    with engine.connect() as db:
        kept = db.execute(select(ANCHORS.c.place, ANCHORS.c.seal).where(ANCHORS.c.seal > 0))
        assert set(kept) == {("file", 1), ("webhook", 1)}


async def test_a_place_that_fails_stops_nothing_and_is_seen_to_lag(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    sealer.seal_all()
    stop = asyncio.Event()
    anchoring = Anchoring(engine, [AnchorWebhook("http://127.0.0.1:1/")], tmp_path / "keyring", seconds=0.01)
    running = asyncio.create_task(anchoring.run(stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    await running
    assert SealBook(engine).standing().anchored == {"webhook": 0}
    assert anchoring.anchor() == {"webhook": "seal 1 cannot be kept in the webhook: ConnectError"}


def test_a_seal_that_no_trusted_key_has_signed_is_not_anchored(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    sealer.seal_all()
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE seals SET root = sha256('eve')")
    with pytest.raises(TreeDamaged, match="the signature of seal 1"):
        Anchoring(engine, [AnchorFile(tmp_path / "anchors")], tmp_path / "keyring").anchor()
    assert not (tmp_path / "anchors").exists()


def test_a_line_that_a_full_disk_cut_short_is_passed_over(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    sealer.seal_all()
    (seal,) = all_seals(engine)
    file = tmp_path / "anchors"
    AnchorFile(file).keep(seal)
    with file.open("a") as lines:
        lines.write(json.dumps(seal.to_json())[:50])
    assert read_anchors(file) == [seal]
    AnchorFile(file).keep(seal)
    assert read_anchors(file) == [seal, seal]


def test_anchors_that_were_kept_must_be_there(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    seal_in_batches(sealer, 5)
    anchors, keyring = all_seals(engine), read_keyring(tmp_path / "keyring")
    newest = anchors[-1].number
    assert verify(engine, keyring, anchors, kept=newest).problem is None
    cut = verify(engine, keyring, anchors[:1], kept=newest)
    assert cut.position == anchors[0].last_position + 1
    assert cut.problem
    assert cut.problem.startswith(f"seal {newest} was anchored, and the anchors end at 1")
    assert (verify(engine, keyring, [], kept=newest).problem or "").startswith("the anchors are missing")


def test_a_line_that_is_no_anchor_is_named(tmp_path: Path):
    (tmp_path / "anchors").write_text('{"number": 1}\n')
    with pytest.raises(NoSeal, match="line 1 of"):
        read_anchors(tmp_path / "anchors")


@pytest.fixture
async def stream(nats: str) -> AsyncIterator[JetStreamContext]:
    """With the events' stream, empty."""
    client = await connect(nats)
    stream = client.jetstream()
    await declare_stream(stream)
    await stream.delete_stream(STREAM)
    await declare_stream(stream)
    yield stream
    await stream.delete_stream(STREAM)
    await client.close()


@pytest.mark.usefixtures("stream")
async def test_nats_is_a_witness_of_the_newest_events_sealed_or_not(
    database: str, nats: str, store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    store.session(story.ENVELOPE).save(story.completed_run())
    sealer.seal_all()
    with engine.connect() as db:
        sealed = latest_seal(db)
    assert sealed
    head = tell_rest(store)
    stop = asyncio.Event()
    relaying = asyncio.create_task(Relay(database, nats).run(stop))
    while published(engine) < head:  # noqa: ASYNC110 - another process might be the relay
        await asyncio.sleep(0.05)
    stop.set()
    await relaying
    heard = await told_lately(nats)
    assert heard
    assert sorted(heard) == list(range(1, head + 1))
    report = verify(engine, read_keyring(tmp_path / "keyring"), heard=heard)
    assert (report.problem, report.compared, report.heard_from) == (None, head - sealed.last_position, 1)


async def test_what_nats_has_forgotten_is_passed_over(
    nats: str, stream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
):
    assert await told_lately(nats) == {}
    for position in range(1, 7):
        await stream.publish("events.x", json.dumps({"position": position}).encode())
    for forgotten in (1, 4):
        await stream.delete_msg(STREAM, forgotten)
    assert sorted(await told_lately(nats) or {}) == [2, 3, 5, 6]
    monkeypatch.setattr(told_module, "LONGEST", 4)
    assert sorted(await told_lately(nats) or {}) == [3, 5, 6]


def tell_rest(store: PostgresEventStore) -> int:
    store.session(story.ENVELOPE).save(story.failed_run())
    return store.session(story.ENVELOPE).save(story.stopped_run()).position


async def test_without_nats_nothing_is_compared():
    assert await told_lately("nats://127.0.0.1:1") is None
