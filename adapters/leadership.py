"""One leader among many: who holds an advisory lock of Postgres works, and the others wait for their turn.

The lock belongs to a connection. When its holder dies, Postgres frees it; a leader that loses the connection stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
from loguru import logger
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.backoff import Backoff
from adapters.event_recorder import UNREACHABLE
from adapters.stopping import pause, unless

ELECTION_SECONDS = 0.5
WATCH_SECONDS = 2.0
SILENCE = "10s"
"""A leader that says nothing to Postgres for so long (its machine hangs) loses its connection, and with it the lead."""

Work = Callable[[], Coroutine[Any, Any, None]]


class Leadership:
    """`lead` in as many processes as you like. `lock` is the number that those who compete share."""

    def __init__(self, database_url: str, lock: int, name: str) -> None:
        self._database_url = database_url
        self._lock = lock
        self._name = name

    async def lead(self, stop: asyncio.Event, work: Work) -> None:
        """Does the endless work whenever this process leads, until `stop` is set. It may be cancelled anywhere."""
        backoff = Backoff(first=0.2, ceiling=2.0)
        while not stop.is_set():
            try:
                await unless(stop, self._term(work, backoff))
            except (psycopg.Error, OSError, TimeoutError) as error:
                logger.warning("{}: the lead is open: {!r}", self._name, error)
            await pause(stop, backoff.next_delay())

    async def _term(self, work: Work, backoff: Backoff) -> None:
        parameters: dict[str, Any] = {**UNREACHABLE, **conninfo_to_dict(self._database_url)}
        async with await psycopg.AsyncConnection.connect(make_conninfo(**parameters), autocommit=True) as db:
            await db.execute(f"SET idle_session_timeout = '{SILENCE}'")
            await self._win(db)
            logger.info("{}: this process leads", self._name)
            backoff.reset()
            lost = asyncio.Event()
            watch = asyncio.ensure_future(_watch(db, lost))
            try:
                await unless(lost, work())
            finally:
                watch.cancel()
                await asyncio.wait({watch})
        if lost.is_set():
            raise ConnectionError("the connection that held the lock is gone")

    async def _win(self, db: psycopg.AsyncConnection[Any]) -> None:
        """Returns once this connection holds the lock."""
        while True:
            row = await (await db.execute("SELECT pg_try_advisory_lock(%s)", (self._lock,))).fetchone()
            if row and row[0]:
                return
            await asyncio.sleep(ELECTION_SECONDS)


async def _watch(db: psycopg.AsyncConnection[Any], lost: asyncio.Event) -> None:
    try:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await db.execute("SELECT")
    except psycopg.Error:
        lost.set()
