"""A verification that goes on where an earlier one ended finds in what is new all that a whole one would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from adapters.event_store import PostgresEventStore
from adapters.sealing.keys import Keyring, read_keyring
from adapters.sealing.sealer import Sealer
from adapters.sealing.verification import Report, verify
from tests import story
from tests.integration.sealing.conftest import one_more, seal_in_batches, tell


@pytest.fixture
def keyring(tmp_path: Path, sealer: Sealer, store: PostgresEventStore) -> Keyring:
    """Of a log that is sealed in batches of odd sizes, so that its tree has many peaks."""
    tell(store)
    seal_in_batches(sealer, 7)
    return read_keyring(tmp_path / "keyring")


@pytest.fixture
def earlier(engine: Engine, keyring: Keyring) -> Report:
    report = verify(engine, keyring)
    assert report.problem is None
    return report


def sealed_after(store: PostgresEventStore, sealer: Sealer) -> int:
    """Another event, sealed; its position."""
    position = store.session(story.ENVELOPE).save(one_more()).position
    sealer.seal_all()
    return position


def test_only_what_is_new_is_read(
    engine: Engine, keyring: Keyring, earlier: Report, store: PostgresEventStore, sealer: Sealer
) -> None:
    sealed_after(store, sealer)
    since, whole = verify(engine, keyring, since=earlier), verify(engine, keyring)
    assert since.problem is None
    assert since.events == 1
    assert (since.seals, since.seal, since.sealed) == (whole.seals, whole.seal, whole.sealed)


def test_where_nothing_is_new_nothing_is_read(engine: Engine, keyring: Keyring, earlier: Report) -> None:
    again = verify(engine, keyring, since=earlier)
    assert (again.problem, again.events, again.seals, again.seal) == (None, 0, earlier.seals, earlier.seal)


def test_a_change_of_what_is_new_is_found(
    engine: Engine, keyring: Keyring, earlier: Report, store: PostgresEventStore, sealer: Sealer
) -> None:
    position = sealed_after(store, sealer)
    with engine.begin() as db:
        db.execute(text("UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = :at"), {"at": position})
    found = verify(engine, keyring, since=earlier)
    assert (found.position, found.problem is None) == (position, False)


def test_another_seal_in_the_place_of_the_one_that_was_verified_is_found(
    engine: Engine, keyring: Keyring, earlier: Report
) -> None:
    found = verify(engine, keyring, since=replace(earlier, seal="00" * 32))
    assert found.problem
    assert "not the one that was verified before" in found.problem


def test_a_tree_that_was_changed_under_the_seal_is_found(engine: Engine, keyring: Keyring, earlier: Report) -> None:
    with engine.begin() as db:
        db.execute(text("UPDATE seal_tiles SET hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3))"))
    assert verify(engine, keyring, since=earlier).problem
