"""Which workers are alive: each leaves a sign of life every second, by the database's clock, and holds a lock.

The lock goes with its connection, so that a worker that was killed is gone after three seconds. One that is only slow
has ten: others may take over what it was doing then. One that ends in good order takes its row away, so nobody waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from loguru import logger
from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from adapters.event_tables import WORKERS

BEAT_SECONDS = 1.0
LOST_AFTER = timedelta(seconds=3)
"""Without a sign of life and without the lock."""
GONE_AFTER = timedelta(seconds=10)
"""Without a sign of life, with the lock or without."""
FORGOTTEN_AFTER = timedelta(days=1)

LOCKS = 0x776F726B
"""The first half of the advisory locks' keys; the second one is the name's hash. The locks are shared ones: nobody
waits for one whose connection is lost on our side alone, or for a name of the same hash."""
HOLD = text("SELECT pg_advisory_lock_shared(:locks, hashtext(:worker))")
HELD = text(
    "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = :locks"
    " AND objid = (hashtext(workers.worker)::bigint & 4294967295)::oid"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
)


class Presence:
    """Fulfils domain.ports.jobs.Workers."""

    def __init__(
        self,
        engine: Engine,
        beat_seconds: float = BEAT_SECONDS,
        lost_after: timedelta = LOST_AFTER,
        gone_after: timedelta = GONE_AFTER,
    ) -> None:
        self._engine = engine
        self._beat_seconds = beat_seconds
        self._lost_after = lost_after
        self._gone_after = gone_after
        self._silent_until = 0.0

    def alive(self, worker: str) -> bool:
        """Whether that worker gave a sign of life within the last seconds. Nobody could
        while the database was away."""
        return self._silent_until > time.monotonic() or worker in self.living()

    def living(self) -> frozenset[str]:
        """The names of all workers that are alive."""
        now, seen = func.clock_timestamp(), WORKERS.c.seen_at
        alive = (seen > now - self._lost_after) | ((seen > now - self._gone_after) & HELD.bindparams(locks=LOCKS))
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(select(WORKERS.c.worker).where(alive)))

    def beat(self, worker: str) -> None:
        """One sign of life."""
        with self._engine.begin() as connection:
            _beat(connection, worker)

    def leave(self, worker: str) -> None:
        """The worker is gone from now on. Rows of workers that died long ago go with it."""
        with self._engine.begin() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.worker == worker))
        self.forget_long_gone()

    def forget_long_gone(self) -> int:
        """Removes the rows of workers that died a day ago or longer, and says how many."""
        long_gone = WORKERS.c.seen_at < func.clock_timestamp() - FORGOTTEN_AFTER
        with self._engine.begin() as connection:
            return connection.execute(delete(WORKERS).where(long_gone)).rowcount

    @contextmanager
    def announced(self, worker: str) -> Iterator[None]:
        """The worker is alive for as long as the block runs. The name must be this process's alone.

        The signs come from a thread of their own, so that a busy event loop does not look like a death.
        """
        stop = Event()
        self.beat(worker)
        heart = Thread(target=self._keep_beating, args=[worker, stop], name=f"heart of {worker}", daemon=True)
        heart.start()
        try:
            yield
        finally:
            stop.set()
            heart.join()
            try:
                self.leave(worker)
            except SQLAlchemyError as error:
                logger.warning("worker {} could not sign off, and counts as alive a moment longer: {}", worker, error)

    def _keep_beating(self, worker: str, stop: Event) -> None:
        while not stop.is_set():
            try:
                with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                    connection.detach()  # the lock ends with it: it must not go back to the pool
                    self._beat_with(connection, worker, stop)
            except SQLAlchemyError as error:
                self._silent_until = time.monotonic() + self._gone_after.total_seconds()
                logger.warning("worker {} could not give a sign of life: {}", worker, error)
                stop.wait(self._beat_seconds)

    def _beat_with(self, connection: Connection, worker: str, stop: Event) -> None:
        connection.execute(HOLD, {"locks": LOCKS, "worker": worker})
        _beat(connection, worker)
        while not stop.wait(self._beat_seconds):
            _beat(connection, worker)


def _beat(connection: Connection, worker: str) -> None:
    row = insert(WORKERS).values(worker=worker, seen_at=func.clock_timestamp())
    connection.execute(row.on_conflict_do_update(index_elements=["worker"], set_={"seen_at": row.excluded.seen_at}))
