"""Signs of life: who gives them is alive, who stops is gone soon, who signs off is gone at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, text

from adapters.presence import Presence
from tests.integration.processes import eventually

LOST_AFTER, GONE_AFTER = timedelta(seconds=1), timedelta(seconds=2)
LONGER = 2.5
"""Than a worker may be silent (in seconds)."""


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture
def presence(engine: Engine) -> Presence:
    return Presence(engine, 0.05, LOST_AFTER, GONE_AFTER)


def outage(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE workers RENAME TO elsewhere"))
    time.sleep(LONGER)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO workers"))


def test_a_worker_is_alive_for_as_long_as_it_is_announced(presence: Presence) -> None:
    assert not presence.alive("ada")
    with presence.announced("ada"):
        time.sleep(LONGER)
        assert presence.alive("ada")
        assert presence.living() == {"ada"}
    assert not presence.alive("ada")


def test_a_worker_that_falls_silent_is_gone(presence: Presence) -> None:
    presence.beat("ada")
    assert presence.alive("ada")
    eventually(lambda: not presence.alive("ada"))


def test_a_worker_that_is_only_slow_has_longer_than_one_whose_connection_is_gone(engine: Engine) -> None:
    slow = Presence(engine, beat_seconds=60, lost_after=LOST_AFTER, gone_after=timedelta(seconds=5))
    slow.beat("ben")
    with slow.announced("ada"):
        eventually(lambda: slow.living() == {"ada"})
        eventually(lambda: slow.living() == frozenset())


def test_the_lock_of_a_worker_goes_with_its_connection(presence: Presence, engine: Engine) -> None:
    locks = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")

    def held() -> int:
        with engine.connect() as connection:
            return int(connection.scalar(locks) or 0)

    with presence.announced("ada"):
        eventually(lambda: held() == 1)
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))
        eventually(lambda: held() == 1 and presence.alive("ada"))
    eventually(lambda: held() == 0)


def test_a_worker_that_is_killed_by_an_error_signs_off_too(presence: Presence) -> None:
    with pytest.raises(KeyError), presence.announced("ada"):
        raise KeyError
    assert presence.living() == frozenset()


def test_a_heart_beats_on_after_an_outage_of_the_store(presence: Presence, engine: Engine) -> None:
    with presence.announced("ada"):
        outage(engine)
        eventually(lambda: presence.alive("ada"))


def test_nobody_is_taken_for_dead_who_could_not_give_a_sign_for_an_outage(presence: Presence, engine: Engine) -> None:
    presence.beat("ben")
    with presence.announced("ada"):
        outage(engine)
        assert presence.alive("ben")
        eventually(lambda: not presence.alive("ben"))


def test_rows_of_the_long_dead_are_swept_out(presence: Presence, engine: Engine) -> None:
    presence.beat("ada")
    with engine.begin() as connection:
        connection.execute(text("UPDATE workers SET seen_at = seen_at - interval '2 days'"))
    presence.beat("ben")
    presence.leave("cyd")
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT worker FROM workers")).all() == ["ben"]
