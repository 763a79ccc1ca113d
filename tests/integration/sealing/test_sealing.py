"""The sealer on a real Postgres: what a leaf is, how seals follow each other, and whose keys they have."""

from __future__ import annotations

import asyncio
import errno
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent
from sqlalchemy import Engine

from adapters.event_store import PostgresEventStore
from adapters.event_tables import SEAL_TILES, STORED_EVENTS
from adapters.sealing import sealer as sealer_module
from adapters.sealing import tiles as tiles_module
from adapters.sealing.keys import KeyUnusable, SigningKey, add_to_keyring, read_keyring
from adapters.sealing.leaves import LEAF, evidence
from adapters.sealing.merkle import CompactRange
from adapters.sealing.proofs import Proofs
from adapters.sealing.sealer import Sealer
from adapters.sealing.tiles import TreeDamaged
from adapters.sealing.verification import verify
from deploy import verify_proof
from gateway.bootstrap import open_engine
from tests import story
from tests.integration.sealing.conftest import all_seals, one_more, seal_in_batches, tell

STRANGE = 'quote " backslash \\ tab \t \x01\x1f\x7f é 😀 \u2028 </script>'


def test_a_leaf_covers_every_column_but_the_data():
    covered = set(re.findall(r"\w+", " ".join(LEAF.values())))
    assert {column.name for column in STORED_EVENTS.columns} - covered == set()
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


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o601])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int):
    SigningKey.kept_in(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        SigningKey.kept_in(tmp_path / "key")


def test_the_keyring_is_whole_though_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first, second = (SigningKey.kept_in(tmp_path / name).public for name in ("first", "second"))
    add_to_keyring(tmp_path / "keyring", first)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            add_to_keyring(tmp_path / "keyring", second)
    assert set(read_keyring(tmp_path / "keyring")) == {first.id}
    add_to_keyring(tmp_path / "keyring", second)
    assert set(read_keyring(tmp_path / "keyring")) == {first.id, second.id}


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
