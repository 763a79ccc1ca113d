"""Which workers are alive: each leaves a sign of life every two seconds, by the database's clock.

A worker that is silent for ten seconds is gone, and others may take over what it was doing. One that ends in good
order takes its row away, so nobody waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from loguru import logger
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from adapters.event_tables import WORKERS

BEAT_SECONDS = 2.0
GONE_AFTER = timedelta(seconds=10)
FORGOTTEN_AFTER = timedelta(days=1)


class Presence:
    """Fulfils domain.ports.Workers."""

    def __init__(self, engine: Engine, beat_seconds: float = BEAT_SECONDS, gone_after: timedelta = GONE_AFTER) -> None:
        self._engine = engine
        self._beat_seconds = beat_seconds
        self._gone_after = gone_after
        self._silent_until = 0.0

    def alive(self, worker: str) -> bool:
        """Whether that worker gave a sign of life within the last seconds. Nobody could
        while the database was away."""
        return self._silent_until > time.monotonic() or worker in self.living()

    def living(self) -> frozenset[str]:
        """The names of all workers that are alive."""
        query = select(WORKERS.c.worker).where(WORKERS.c.seen_at > func.clock_timestamp() - self._gone_after)
        with self._engine.connect() as connection:
            return frozenset(connection.scalars(query))

    def beat(self, worker: str) -> None:
        """One sign of life."""
        row = insert(WORKERS).values(worker=worker, seen_at=func.clock_timestamp())
        with self._engine.begin() as connection:
            connection.execute(
                row.on_conflict_do_update(index_elements=["worker"], set_={"seen_at": row.excluded.seen_at})
            )

    def leave(self, worker: str) -> None:
        """The worker is gone from now on. Rows of workers that died long ago go with it."""
        long_gone = WORKERS.c.seen_at < func.clock_timestamp() - FORGOTTEN_AFTER
        with self._engine.begin() as connection:
            connection.execute(delete(WORKERS).where((WORKERS.c.worker == worker) | long_gone))

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
        while not stop.wait(self._beat_seconds):
            try:
                self.beat(worker)
            except SQLAlchemyError as error:
                self._silent_until = time.monotonic() + self._gone_after.total_seconds()
                logger.warning("worker {} could not give a sign of life: {}", worker, error)
