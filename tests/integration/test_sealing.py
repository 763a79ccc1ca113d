"""The sealer, proofs and anchors, on a real Postgres: what is sealed can be proven to somebody who has only the key."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import StoredEvent
from sqlalchemy import Engine, select

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.event_tables import ANCHORS, SEAL_TILES, STORED_EVENTS
from adapters.relay import Relay, published
from adapters.sealing import sealer as sealer_module
from adapters.sealing import tiles as tiles_module
from adapters.sealing.anchors import AnchorFile, Anchoring, AnchorWebhook, Place, read_anchors
from adapters.sealing.keys import KeyUnusable, SigningKey, read_keyring
from adapters.sealing.leaves import LEAF, evidence
from adapters.sealing.merkle import CompactRange
from adapters.sealing.proofs import Proofs
from adapters.sealing.seal import NoSeal, Seal, latest_seal, seals
from adapters.sealing.sealer import Sealer
from adapters.sealing.tiles import TreeDamaged
from adapters.sealing.told import told_after
from adapters.sealing.verification import verify
from deploy import verify_proof
from domain.errors import Invalid, NotFound, NotReady
from domain.workflow import Task, Workflow
from gateway.bootstrap import open_engine
from tests import story
from tests.conftest import new_database

STRANGE = 'quote " backslash \\ tab \t \x01\x1f\x7f é 😀 \u2028 </script>'


@pytest.fixture
def store(database: str) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database)
    yield store
    store.close()


@pytest.fixture
def engine(database: str, store: PostgresEventStore) -> Iterator[Engine]:
    engine = open_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def sealer(engine: Engine, tmp_path: Path) -> Sealer:
    return Sealer(engine, tmp_path / "secret" / "key", tmp_path / "keyring", seconds=0.01)


def tell(store: PostgresEventStore) -> int:
    for aggregate in story.everything():
        store.session(story.ENVELOPE).save(aggregate)
    return store.head()


def one_more() -> Workflow:
    return Workflow.request(story.id_of("more"), "mutual_ranking", Task(("?",)), 1, (), "", None, at=story.at(0))


def all_seals(engine: Engine) -> list[Seal]:
    with engine.connect() as db:
        return list(seals(db))


def seal_in_batches(sealer: Sealer, size: int) -> None:
    """Many seals of a few events."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sealer_module, "BATCH", size)
        sealer.seal_all()


# --- leaves


def test_a_leaf_covers_every_column_but_the_data():
    covered = " ".join(LEAF.values())
    assert [column.name for column in STORED_EVENTS.columns if column.name not in covered] == []
    assert list(LEAF) == sorted(LEAF)


def assert_leaves_are_canonical(url: str) -> None:
    store, engine = PostgresEventStore(url), open_engine(url)
    envelope = replace(
        story.ENVELOPE,
        traceparent=STRANGE,
        data_subjects=(STRANGE, ""),
        fingerprint=b"\0\xff",
        command_id=story.id_of("c"),
    )
    store.session(envelope).save(story.stopped_run())
    with engine.connect() as db:
        db.exec_driver_sql("SET TIME ZONE 'Asia/Tokyo'")
        for event in evidence(db):
            said = json.loads(event.envelope)
            assert verify_proof.canonical(said) == event.envelope
            assert said["traceparent"] == STRANGE
            assert said["data_subjects"] == [STRANGE, ""]
            assert said["fingerprint"] == "00ff"
            assert said["recorded_at"].endswith("Z")
    engine.dispose()
    store.close()


def test_a_leaf_is_canonical_json_whatever_is_in_it(database: str):
    assert_leaves_are_canonical(database)


def test_a_leaf_is_the_same_from_an_older_postgres(external_database: str):
    assert_leaves_are_canonical(external_database)


# --- sealing


def test_sealing_bit_by_bit_gives_the_root_of_all_leaves(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tiles_module, "HEIGHT", 1)  # a tree of many rows of tiles
    monkeypatch.setattr(tiles_module, "WIDTH", 2)
    head = tell(store)
    seal_in_batches(sealer, 7)
    found = all_seals(engine)
    assert len(found) == -(-head // 7)
    assert [(seal.first_position, seal.size) for seal in found[:2]] == [(1, 7), (8, 14)]
    with engine.connect() as db:
        leaves = [event.leaf.hash for event in evidence(db)]
    assert [seal.root for seal in found] == [CompactRange().extended(leaves[: seal.size]).root for seal in found]
    assert [seal.previous for seal in found] == [None, *(seal.hash for seal in found[:-1])]
    assert Proofs(engine).of_event(head // 2)["leaf_index"] == head // 2 - 1


def test_what_is_sealed_is_not_read_again(store: PostgresEventStore, engine: Engine, sealer: Sealer):
    tell(store)
    sealer.seal_all()
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = 5")
    store.session(story.ENVELOPE).save(one_more())
    sealer.seal_all()
    assert [seal.number for seal in all_seals(engine)] == [1, 2]


def test_nothing_new_makes_no_seal(store: PostgresEventStore, engine: Engine, sealer: Sealer):
    sealer.seal_all()
    assert all_seals(engine) == []
    tell(store)
    sealer.seal_all()
    sealer.seal_all()
    assert len(all_seals(engine)) == 1


def test_sealers_at_the_same_time_make_one_chain(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sealer_module, "BATCH", 3)
    head = tell(store)
    another = Sealer(engine, tmp_path / "secret" / "key", tmp_path / "keyring")
    with ThreadPoolExecutor(4) as threads:
        while not (found := all_seals(engine)) or found[-1].size < head:
            list(threads.map(lambda one: one.seal_all(), [sealer, another] * 2))
    assert verify(engine, read_keyring(tmp_path / "keyring")).sealed == head


async def test_the_last_events_are_sealed_at_the_end(store: PostgresEventStore, engine: Engine, sealer: Sealer):
    head = tell(store)
    stop = asyncio.Event()
    stop.set()
    await sealer.run(stop)
    assert all_seals(engine)[-1].last_position == head


def test_bare_events_are_sealed_by_their_data(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    store.recorder.insert_events([StoredEvent(story.id_of("bare"), version, "bare", b"\xff") for version in (0, 1)])
    sealer.seal_all()
    keyring = read_keyring(tmp_path / "keyring")
    assert verify(engine, keyring).problem is None
    proof = Proofs(engine).of_event(2)
    assert verify_proof.check(proof, (tmp_path / "keyring").read_bytes()).endswith("not part of the proof")
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE stored_events SET state = 'x' WHERE notification_id = 2")
    assert verify(engine, keyring).position == 2


async def test_a_tree_that_was_changed_is_not_built_upon(store: PostgresEventStore, engine: Engine, sealer: Sealer):
    tell(store)
    sealer.seal_all()
    store.session(story.ENVELOPE).save(one_more())
    with engine.begin() as db:
        db.execute(SEAL_TILES.update().values(hashes=b"\0" * 32))
    with pytest.raises(TreeDamaged):
        sealer.seal_all()


# --- keys


def test_the_key_is_made_for_its_owner_alone(sealer: Sealer, store: PostgresEventStore, tmp_path: Path):
    tell(store)
    sealer.seal_all()
    assert (tmp_path / "secret" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in (tmp_path / "keyring").read_text()


def test_two_who_make_the_key_at_the_same_time_have_the_same(tmp_path: Path):
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: SigningKey.kept_in(tmp_path / "key").public.id, range(8)))
    assert len(set(keys)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_key_that_everybody_may_read_is_refused(tmp_path: Path):
    SigningKey.kept_in(tmp_path / "key")
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        SigningKey.kept_in(tmp_path / "key")


def test_a_file_that_is_no_key_is_refused(tmp_path: Path):
    (tmp_path / "key").write_text("not a key")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(KeyUnusable, match="cannot be used"):
        SigningKey.kept_in(tmp_path / "key")


def test_seals_of_an_older_key_stay_good_after_a_change_of_keys(
    store: PostgresEventStore, engine: Engine, sealer: Sealer, tmp_path: Path
):
    tell(store)
    sealer.seal_all()
    (tmp_path / "secret" / "key").unlink()
    store.session(story.ENVELOPE).save(one_more())
    sealer.seal_all()
    first, second = all_seals(engine)
    assert first.key_id != second.key_id
    report = verify(engine, read_keyring(tmp_path / "keyring"))
    assert (report.problem, report.seals) == (None, 2)


# --- proofs


@dataclass(frozen=True)
class SealedLog:
    """The story in seals of ten events, only to be read."""

    engine: Engine
    keyring: Path
    head: int

    @property
    def proofs(self) -> Proofs:
        return Proofs(self.engine)


@pytest.fixture(scope="module")
def sealed(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SealedLog]:
    folder = tmp_path_factory.mktemp("sealed")
    with new_database(embedded_postgres, template) as url:
        store, engine = PostgresEventStore(url), open_engine(url)
        head = tell(store)
        store.close()
        seal_in_batches(Sealer(engine, folder / "key", folder / "keyring"), 10)
        yield SealedLog(engine, folder / "keyring", head)
        engine.dispose()


def test_every_event_can_be_proven_with_the_public_key_alone(sealed: SealedLog):
    pems = sealed.keyring.read_bytes()
    for position in range(1, sealed.head + 1):
        said = verify_proof.check(sealed.proofs.of_event(position), pems)
        assert f"at position {position} of the log" in said
        assert said.endswith("the data is what was recorded")
    bare = sealed.proofs.of_event(3, seal=1, with_data=False)
    assert verify_proof.check(bare, pems).endswith("not part of the proof")


def test_every_seal_is_proven_to_begin_with_each_before_it(sealed: SealedLog):
    pems = sealed.keyring.read_bytes()
    numbers = [seal.number for seal in all_seals(sealed.engine)]
    for first in numbers:
        for second in numbers[first - 1 :]:
            assert verify_proof.check(sealed.proofs.of_consistency(first, second), pems).endswith("and more")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("event", "actor_subject"), "eve"),
        (("event", "position"), 6),
        (("leaf_index",), 5),
        (("audit_path",), []),
        (("data",), "{}"),
        (("salt",), None),
        (("seal", "root"), "00" * 32),
        (("seal", "sealed_at"), "2020-01-01T00:00:00.000000+00:00"),
        (("seal", "signature"), "00" * 64),
        (("seal", "signature"), "no hex"),
        (("format",), "caravan-inclusion/9"),
    ],
)
def test_a_changed_proof_proves_nothing(sealed: SealedLog, tmp_path: Path, place: tuple[str, ...], value: object):
    proof: dict[str, Any] = sealed.proofs.of_event(5)
    *path, last = place
    inner = proof
    for name in path:
        inner = inner[name]
    inner[last] = value
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    assert verify_proof.main([str(tmp_path / "proof.json"), str(sealed.keyring)]) == 1


def test_the_verifier_stands_alone(sealed: SealedLog, tmp_path: Path):
    (tmp_path / "verify.py").write_bytes(Path(str(verify_proof.__file__)).read_bytes())
    (tmp_path / "proof.json").write_text(json.dumps(sealed.proofs.of_event(5)))
    command = [sys.executable, "-I", "verify.py", "proof.json", str(sealed.keyring)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("PROVEN: event ")


def test_what_cannot_be_proven_is_refused_in_a_sentence(sealed: SealedLog):
    with pytest.raises(NotFound):
        sealed.proofs.of_event(sealed.head + 1)
    with pytest.raises(NotFound, match="seal 99"):
        sealed.proofs.of_event(1, seal=99)
    with pytest.raises(Invalid, match="older than the event"):
        sealed.proofs.of_event(sealed.head, seal=1)
    with pytest.raises(Invalid, match="older one first"):
        sealed.proofs.of_consistency(2, 1)


def test_what_is_not_sealed_yet_or_was_changed_cannot_be_proven(
    store: PostgresEventStore, engine: Engine, sealer: Sealer
):
    tell(store)
    sealer.seal_all()
    late = store.session(story.ENVELOPE).save(one_more()).position
    with pytest.raises(NotReady):
        Proofs(engine).of_event(late)
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = 5")
    with pytest.raises(TreeDamaged, match="`caravan audit verify`"):
        Proofs(engine).of_event(5)


# --- anchors


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
        anchoring = Anchoring(engine, places)
        for _ in range(2):
            failed = anchoring.anchor()
            assert failed["file"] is None
            assert failed["webhook"]
        assert anchoring.anchor() == anchoring.anchor() == {"file": None, "webhook": None}
        (seal,) = all_seals(engine)
        assert read_anchors(tmp_path / "anchors") == [Seal.from_json(told) for told in kept] == [seal]
    with engine.connect() as db:
        assert set(db.execute(select(ANCHORS.c.place, ANCHORS.c.seal))) == {("file", 1), ("webhook", 1)}


async def test_a_place_that_fails_stops_nothing(store: PostgresEventStore, engine: Engine, sealer: Sealer):
    tell(store)
    sealer.seal_all()
    stop = asyncio.Event()
    anchoring = Anchoring(engine, [AnchorWebhook("http://127.0.0.1:1/")], seconds=0.01)
    running = asyncio.create_task(anchoring.run(stop))
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    await running


def test_a_line_that_is_no_anchor_is_named(tmp_path: Path):
    (tmp_path / "anchors").write_text('{"number": 1}\n')
    with pytest.raises(NoSeal, match="line 1 of"):
        read_anchors(tmp_path / "anchors")


# --- what NATS was told


async def test_nats_is_a_witness_of_what_is_not_sealed_yet(
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
    heard = await told_after(nats, sealed.last_position)
    stop.set()
    await relaying
    assert heard
    assert sorted(heard) == list(range(sealed.last_position + 1, head + 1))
    report = verify(engine, read_keyring(tmp_path / "keyring"), heard=heard)
    assert (report.problem, report.compared) == (None, len(heard))


def tell_rest(store: PostgresEventStore) -> int:
    store.session(story.ENVELOPE).save(story.failed_run())
    return store.session(story.ENVELOPE).save(story.stopped_run()).position


async def test_without_nats_nothing_is_compared():
    assert await told_after("nats://127.0.0.1:1", 0) is None
