"""Those who watched all the while: one follows the log in Postgres, one hears the news over NATS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import scalar_row

from adapters.nats import News, NewsDesk

POLL_SECONDS = 0.01
PAGE = 200


class Witness:
    """`with Witness(...) as witness:` it watches. `seen` and `heard` are positions, in the order of their coming."""

    def __init__(self, database_url: str, nats_url: str) -> None:
        self._database_url = database_url
        self._desk = NewsDesk(nats_url)
        self._desk.subscribe("witness", ["events.>"], self._hear)
        self._done = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._follow, self._listen)]
        self.seen: list[int] = []
        self.heard: list[int] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def _follow(self) -> None:
        query = "SELECT notification_id FROM stored_events WHERE notification_id > %s ORDER BY 1 LIMIT %s"
        while not self._done.is_set():
            try:
                with psycopg.connect(self._database_url, autocommit=True, row_factory=scalar_row) as db:
                    while not self._done.wait(POLL_SECONDS):
                        last = self.seen[-1] if self.seen else 0
                        self.seen += db.execute(query, (last, PAGE)).fetchall()
            except psycopg.Error:
                self._done.wait(0.1)

    def _listen(self) -> None:
        async def listen() -> None:
            stop = asyncio.Event()
            listening = asyncio.create_task(self._desk.run(stop))
            await asyncio.to_thread(self._done.wait)
            stop.set()
            await listening

        asyncio.run(listen())

    async def _hear(self, news: Sequence[News]) -> None:
        self.heard += [each.position for each in news]
