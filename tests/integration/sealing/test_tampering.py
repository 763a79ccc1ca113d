"""Whoever changes the past is found out: every way that we can think of, on a real database.

The log of these tests has a sealed part of two seals, both anchored, with a gap in its positions; and an unsealed tail,
of which NATS was told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from eventsourcing.domain import BaseAggregate
from sqlalchemy import ARRAY, BigInteger, Column, DateTime, Engine, Integer, LargeBinary, Uuid, select

from adapters.cloud_events import CloudEvent
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.event_tables import EVENT_SALTS, RELAY, SEAL_TILES, SEALS, STORED_EVENTS
from adapters.relay import encoded, told
from adapters.sealing.anchors import AnchorFile, Anchoring, read_anchors
from adapters.sealing.keys import Keyring, SigningKey, read_keyring
from adapters.sealing.seal import Seal
from adapters.sealing.sealer import Sealer
from adapters.sealing.told import Heard, Told
from adapters.sealing.verification import Report, verify
from gateway.bootstrap import open_engine
from tests import story
from tests.conftest import new_database

EDITED = 5
ENTRY = "INSERT INTO stored_events (originator_id, originator_version, topic, state, event_id) "


TABLES = [table.name for table in (STORED_EVENTS, EVENT_SALTS, SEALS, SEAL_TILES, RELAY)]


@dataclass(frozen=True)
class Scene:
    """The log, two copies of it in schemas of the same database, and what is known outside of that."""

    engine: Engine
    keys: Path
    keyring: Keyring
    anchors: list[Seal]
    events: dict[int, CloudEvent]
    gap: int
    sealed: int
    tail_gap: int
    head: int

    @property
    def heard(self) -> Told:
        return {position: Heard.of(event) for position, event in self.events.items()}


@pytest.fixture(scope="module")
def scene(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    keys = tmp_path_factory.mktemp("keys")
    first, second, third, fourth, fifth = (story.everything()[begin:end] for begin, end in PARTS)
    with new_database(embedded_postgres, template) as url:
        engine = open_engine(url)
        tell(url, first)
        gap = leave_gap(engine)
        tell(url, second)
        seal(engine, keys)
        copy_tables(engine, "older")
        sealed = tell(url, third)
        seal(engine, keys)
        tell(url, fourth)
        tail_gap = leave_gap(engine)
        head = tell(url, fifth)
        events = {position: event for position, event in publish(engine, head).items() if position > sealed}
        copy_tables(engine, "untouched")
        keyring, anchors = read_keyring(keys / "keyring"), read_anchors(keys / "anchors")
        yield Scene(engine, keys, keyring, anchors, events, gap, sealed, tail_gap, head)
        engine.dispose()


PARTS = [(0, 2), (2, 4), (4, 7), (7, 8), (8, None)]
"""Of the story's aggregates: before and after the gap in the first seal, in the second, before and after the tail's."""


def tell(url: str, aggregates: Sequence[BaseAggregate[UUID]]) -> int:
    """Lets that part of the story happen. Returns the log's head."""
    store = PostgresEventStore(url)
    for aggregate in aggregates:
        store.session(story.ENVELOPE).save(aggregate)
    head = store.head()
    store.close()
    return head


def leave_gap(engine: Engine) -> int:
    """What a rollback leaves. Returns the position."""
    with engine.begin() as db:
        drawn = "SELECT nextval(pg_get_serial_sequence('stored_events', 'notification_id'))"
        return int(db.exec_driver_sql(drawn).scalar_one())


def seal(engine: Engine, keys: Path, anchored: bool = True) -> None:
    """Seals and anchors all there is."""
    Sealer(engine, keys / "key", keys / "keyring").seal_all()
    if anchored:
        Anchoring(engine, [AnchorFile(keys / "anchors")], keys / "keyring").anchor()


def publish(engine: Engine, head: int) -> dict[int, CloudEvent]:
    """What the relay does, without NATS. Returns what it told."""
    with engine.begin() as db:
        db.execute(RELAY.insert().values(name="events", position=head))
        rows = db.execute(select(STORED_EVENTS)).mappings().all()
    return {row["notification_id"]: json.loads(encoded(told(dict(row)))) for row in rows}


def copy_tables(engine: Engine, schema: str) -> None:
    with engine.begin() as db:
        db.exec_driver_sql(f"CREATE SCHEMA {schema}")
        for table in TABLES:
            db.exec_driver_sql(f"CREATE TABLE {schema}.{table} AS TABLE {table}")


class Suspect:
    """The log, and what is done to it."""

    def __init__(self, scene: Scene) -> None:
        self.engine = scene.engine
        self.scene = scene

    def tamper(self, *statements: str) -> None:
        with self.engine.begin() as db:
            for statement in statements:
                db.exec_driver_sql(statement)

    def erase(self, position: int) -> None:
        """As an erasure does: data and salt."""
        self.tamper(
            "DELETE FROM event_salts s USING stored_events e WHERE s.originator_id = e.originator_id"
            f" AND s.originator_version = e.originator_version AND notification_id = {position}",
            f"UPDATE stored_events SET state = '' WHERE notification_id = {position}",
        )

    def become(self, schema: str) -> None:
        """The log as it is in that copy."""
        emptied = [f"DELETE FROM {table}" for table in TABLES]
        self.tamper(*emptied, *(f"INSERT INTO {table} SELECT * FROM {schema}.{table}" for table in TABLES))

    def reseal(self, keys: Path) -> None:
        """What somebody does who can write to the database, with the key in that folder."""
        self.tamper("DELETE FROM seals", "DELETE FROM seal_tiles")
        Sealer(self.engine, keys / "key", keys / "keyring").seal_all()

    def verified(self, anchored: bool = True, heard: bool = False) -> Report:
        anchors = self.scene.anchors if anchored else []
        return verify(self.engine, self.scene.keyring, anchors, self.scene.heard if heard else None)


@pytest.fixture
def suspect(scene: Scene) -> Iterator[Suspect]:
    suspect = Suspect(scene)
    yield suspect
    suspect.become("untouched")


def edited(column: Column[object]) -> str:
    """Another value of that column, in SQL."""
    match column.type:
        case Uuid():
            return "gen_random_uuid()"
        case BigInteger():
            return f"{column.name} + 100000"
        case Integer():
            return f"coalesce({column.name}, 0) + 1"
        case LargeBinary():
            return "'edited'"
        case DateTime():
            return f"{column.name} + interval '1 microsecond'"
        case ARRAY():
            return "'{eve}'"
        case _:
            return f"concat({column.name}, 'x')"


# --- what is left alone


def test_an_untouched_log_is_found_sound_and_told_how_far_it_is_sealed_and_anchored(suspect: Suspect, scene: Scene):
    report = suspect.verified(heard=True)
    assert report.problem is None
    assert (report.seals, report.sealed, report.anchors, report.anchored) == (2, scene.sealed, 2, scene.sealed)
    assert report.events == scene.head - 2
    assert report.unsealed == report.compared == len(scene.heard) > 3


def test_an_erasure_of_data_and_salt_breaks_no_seal_and_is_told(suspect: Suspect):
    suspect.erase(EDITED)
    report = suspect.verified()
    assert (report.problem, report.erased) == (None, [EDITED])


# --- the sealed past


@pytest.mark.parametrize("column", [column.name for column in STORED_EVENTS.columns])
def test_an_edit_of_any_column_is_found_where_it_was_made(suspect: Suspect, column: str):
    value = edited(STORED_EVENTS.c[column])
    suspect.tamper(f"UPDATE stored_events SET {column} = {value} WHERE notification_id = {EDITED}")
    report = suspect.verified(anchored=False)
    assert report.problem
    assert report.position == EDITED


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event_salts SET salt = 'another' WHERE {of_edited}",
        "DELETE FROM event_salts WHERE {of_edited}",
        "UPDATE stored_events SET state = '{{}}' WHERE {of_edited}",
        "UPDATE stored_events SET state = 'x', commitment = sha256('saltx') WHERE {of_edited}",
        "DELETE FROM stored_events WHERE notification_id = 5",
    ],
)
def test_data_that_its_commitment_does_not_prove_and_a_missing_event_are_found(suspect: Suspect, statement: str):
    key = f"(SELECT originator_id, originator_version FROM stored_events WHERE notification_id = {EDITED})"
    suspect.tamper(statement.format(of_edited=f"(originator_id, originator_version) = {key}"))
    assert suspect.verified(anchored=False).position == EDITED


@pytest.mark.parametrize("which", ["the first", "the last of a seal", "the last of all seals"])
def test_a_missing_event_is_found_at_the_ends_too(suspect: Suspect, scene: Scene, which: str):
    positions = {
        "the first": 1,
        "the last of a seal": scene.anchors[0].last_position,
        "the last of all seals": scene.sealed,
    }
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {positions[which]}")
    assert suspect.verified(anchored=False).position == positions[which]


@pytest.mark.parametrize("place", ["the gap", "the beginning"])
def test_an_added_event_is_found_where_it_is(suspect: Suspect, scene: Scene, place: str):
    position = scene.gap if place == "the gap" else 0
    values = f"SELECT gen_random_uuid(), 1, 'workflow.requested', '{{}}', gen_random_uuid(), {position}"
    suspect.tamper(f"{ENTRY.replace('event_id)', 'event_id, notification_id)')} {values}")
    report = suspect.verified(anchored=False)
    assert (report.position, report.problem) == (position, "it was added after the events around it were sealed")


def test_events_in_another_order_are_found_at_the_first(suspect: Suspect):
    suspect.tamper(
        "UPDATE stored_events SET notification_id = -1 WHERE notification_id = 4",
        "UPDATE stored_events SET notification_id = 4 WHERE notification_id = 6",
        "UPDATE stored_events SET notification_id = 6 WHERE notification_id = -1",
    )
    assert suspect.verified(anchored=False).position == 4


def test_an_edit_is_found_though_the_stored_hash_is_edited_with_it(suspect: Suspect):
    suspect.tamper(
        f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}",
        "UPDATE seal_tiles SET hashes = overlay(hashes PLACING sha256('eve') FROM 129) WHERE row = 0",
    )
    report = suspect.verified(anchored=False)
    assert report.position
    assert report.position <= EDITED


# --- seals and anchors


@pytest.mark.parametrize("column", [column.name for column in SEALS.columns])
def test_an_edited_seal_is_found(suspect: Suspect, scene: Scene, column: str):
    suspect.tamper(f"UPDATE seals SET {column} = {edited(SEALS.c[column])} WHERE number = 1")
    assert suspect.verified(anchored=False).position == 1


def test_a_seal_in_the_middle_cannot_be_taken_out(suspect: Suspect):
    suspect.tamper("DELETE FROM seals WHERE number = 1")
    assert suspect.verified(anchored=False).problem == "seal 1 is missing"


def test_a_missing_last_seal_is_found_by_the_tree_that_it_leaves_behind(suspect: Suspect, scene: Scene):
    suspect.tamper("DELETE FROM seals WHERE number = 2")
    assert suspect.verified(anchored=False).position == scene.anchors[0].last_position + 1


def test_seals_of_another_key_are_not_believed(suspect: Suspect, tmp_path: Path):
    suspect.tamper(f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}")
    suspect.reseal(tmp_path)
    report = suspect.verified(anchored=False)
    assert report.position == 1
    assert report.problem
    assert "none of the trusted ones" in report.problem


def test_a_history_rewritten_with_the_stolen_key_is_found_by_the_anchors_alone(suspect: Suspect, scene: Scene):
    suspect.tamper(f"UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = {EDITED}")
    suspect.reseal(scene.keys)
    assert suspect.verified(anchored=False).problem is None
    assert suspect.verified().problem == "seal 1 is not the one that was anchored: the log was rewritten"


def test_a_log_that_was_cut_with_its_seals_is_found_by_the_anchors(suspect: Suspect, scene: Scene):
    first = scene.anchors[0]
    suspect.tamper(
        f"DELETE FROM stored_events WHERE notification_id > {first.last_position}",
        "DELETE FROM seals WHERE number > 1",
        f"UPDATE seal_tiles SET hashes = substring(hashes FOR {first.size * 32}) WHERE row = 0",
        f"UPDATE relay SET position = {first.last_position}",
    )
    assert suspect.verified(anchored=False).problem is None
    report = suspect.verified()
    assert report.position == first.last_position + 1
    assert report.problem
    assert "the log was cut, or an older copy restored" in report.problem


def test_a_log_that_was_cut_without_its_seals_is_found_by_them(suspect: Suspect):
    suspect.tamper("DELETE FROM stored_events WHERE notification_id > 3")
    assert suspect.verified(anchored=False).position == 4


def test_an_older_copy_is_found_by_the_anchors_and_by_nats(suspect: Suspect, scene: Scene):
    suspect.become("older")
    assert suspect.verified(anchored=False).problem is None
    assert suspect.verified().position == scene.anchors[0].last_position + 1
    assert suspect.verified(anchored=False, heard=True).position == min(scene.heard)


def test_a_forged_anchor_is_not_believed(suspect: Suspect, scene: Scene, tmp_path: Path):
    forged = scene.anchors[0].signed(SigningKey.kept_in(tmp_path / "key"))
    problem = verify(suspect.engine, scene.keyring, [forged]).problem
    assert problem
    assert problem.startswith("among the anchors, the signature of seal 1")


# --- the tail that is not sealed yet

TOLD = sorted(
    {column.name for column in STORED_EVENTS.columns}
    - {"command_index", "fingerprint"}  # NATS is not told of these two: docs/audit.md says so
)


@pytest.mark.parametrize("column", TOLD)
def test_an_edit_of_the_tail_is_found_where_it_was_made(suspect: Suspect, scene: Scene, column: str):
    position = scene.sealed + 2
    value = edited(STORED_EVENTS.c[column])
    suspect.tamper(f"UPDATE stored_events SET {column} = {value} WHERE notification_id = {position}")
    assert suspect.verified(heard=True).position == position


@pytest.mark.parametrize(
    "value", ["state = 'x'", "event_id = gen_random_uuid()", "originator_version = originator_version + 5"]
)
def test_some_edits_of_the_tail_are_found_without_nats(suspect: Suspect, scene: Scene, value: str):
    position = scene.sealed + 2
    suspect.tamper(f"UPDATE stored_events SET {value} WHERE notification_id = {position}")
    assert suspect.verified().position == position


def test_an_event_that_is_missing_in_the_tail_is_found(suspect: Suspect, scene: Scene):
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {scene.sealed + 1}")
    assert suspect.verified(heard=True).position == scene.sealed + 1
    assert suspect.verified().position == scene.sealed + 2, "the next version of the aggregate has no predecessor"


def test_an_event_that_was_added_to_the_tail_behind_the_others_back_is_found(suspect: Suspect, scene: Scene):
    values = f"SELECT gen_random_uuid(), 1, 'workflow.requested', '{{}}', NULL, {scene.tail_gap}"
    suspect.tamper(f"{ENTRY.replace('event_id)', 'event_id, notification_id)')} {values}")
    assert suspect.verified(heard=True).position == scene.tail_gap


def test_a_tail_that_was_cut_off_is_found(suspect: Suspect, scene: Scene):
    suspect.tamper(f"DELETE FROM stored_events WHERE notification_id = {scene.head}")
    assert suspect.verified(heard=True).position == scene.head
    report = suspect.verified()
    assert report.position
    assert report.position <= scene.head
    assert report.problem
    assert report.problem.endswith("it was cut")


# --- what was changed before it was sealed


@pytest.mark.parametrize("change", ["UPDATE stored_events SET actor_subject = 'eve'", "DELETE FROM stored_events"])
def test_a_seal_does_not_hide_a_change_that_came_before_it(suspect: Suspect, scene: Scene, change: str):
    position = scene.sealed + 2
    suspect.tamper(f"{change} WHERE notification_id = {position}")
    seal(suspect.engine, scene.keys, anchored=False)
    assert suspect.verified().problem is None
    assert suspect.verified(heard=True).position == position


def test_an_event_that_is_sealed_and_erased_since_is_not_held_against_nats(suspect: Suspect, scene: Scene):
    position = scene.sealed + 2
    seal(suspect.engine, scene.keys, anchored=False)
    suspect.erase(position)
    report = suspect.verified(heard=True)
    assert (report.problem, report.erased) == (None, [position])


def test_nats_may_have_lost_news_of_what_is_sealed(suspect: Suspect, scene: Scene):
    seal(suspect.engine, scene.keys, anchored=False)
    heard = {position: event for position, event in scene.heard.items() if position != scene.sealed + 2}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None


def test_another_release_may_have_told_nats_in_another_form(suspect: Suspect, scene: Scene):
    another = {"newattribute": "x", "source": "/x"}
    heard = {position: Heard.of(event | another) for position, event in scene.events.items()}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None


def test_data_that_was_told_by_reference_is_not_compared_with_nats(suspect: Suspect, scene: Scene):
    named = {name: value for name, value in scene.events[scene.head].items() if name != "data"}
    heard = scene.heard | {scene.head: Heard.of(named | {"dataref": "/v1/events"})}
    assert verify(suspect.engine, scene.keyring, heard=heard).problem is None
