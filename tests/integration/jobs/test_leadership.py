"""Of all who would lead one does, and when it is gone another."""

from __future__ import annotations

import asyncio

import psycopg

from adapters.leadership import Leadership
from tests.eventually import eventually

LOCK = 42


class Candidate:
    def __init__(self, database: str, leading: list[str], name: str) -> None:
        self.name = name
        self.stop = asyncio.Event()
        self._leading = leading
        self._leadership = Leadership(database, LOCK, name)

    async def run(self) -> None:
        await self._leadership.lead(self.stop, self._work)

    async def _work(self) -> None:
        self._leading.append(self.name)
        try:
            await asyncio.Event().wait()
        finally:
            self._leading.remove(self.name)


async def test_one_leads_and_the_next_takes_over(database: str) -> None:
    leading: list[str] = []
    ada, ben = (Candidate(database, leading, name) for name in ("ada", "ben"))
    async with asyncio.TaskGroup() as group:
        group.create_task(ada.run())
        await eventually(lambda: leading == ["ada"])
        group.create_task(ben.run())
        await asyncio.sleep(1)
        assert leading == ["ada"]

        ada.stop.set()
        await eventually(lambda: leading == ["ben"])
        ben.stop.set()
    assert leading == []


async def test_a_leader_whose_connection_is_cut_stops_and_may_be_elected_again(database: str) -> None:
    leading: list[str] = []
    ada = Candidate(database, leading, "ada")
    async with asyncio.TaskGroup() as group:
        group.create_task(ada.run())
        await eventually(lambda: leading == ["ada"])
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await eventually(lambda: leading == [])
        await eventually(lambda: leading == ["ada"])
        ada.stop.set()
