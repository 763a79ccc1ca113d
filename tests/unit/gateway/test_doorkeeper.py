"""The doorkeeper remembers for a second, forgets in time, and stays calm while the database is away."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from domain.access import Caller, Role
from domain.events import Actor, ActorKind
from gateway import auth
from gateway.auth import Doorkeeper
from tests.eventually import eventually

ADA = Caller(Actor("ada", ActorKind.HUMAN), Role.VIEWER)


class Desk:
    """Knows one token, and counts how often it is asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.known = {"good": ADA}
        self.outage: Exception | None = None
        self.open = Event()
        self.open.set()
        self.doorkeeper = Doorkeeper(self.recognise, seconds=1.0, now=lambda: self.now)

    def recognise(self, token: str) -> Caller | None:
        known = self.known.get(token)
        self.asked += 1
        self.open.wait(60)
        if self.outage:
            raise self.outage
        return known

    async def coming(self, token: str, count: int = 1) -> list[asyncio.Task[Caller | None]]:
        """So many who bring that token, and wait for it to be looked up."""
        before = self.asked
        tasks = [asyncio.create_task(self.doorkeeper.caller(token)) for _ in range(count)]
        await eventually(lambda: self.asked > before)
        return tasks


async def test_a_valid_token_is_looked_up_once_a_second() -> None:
    desk = Desk()
    for _ in range(5):
        assert await desk.doorkeeper.caller("good") == ADA
    assert desk.asked == 1
    desk.now += 1.1
    await desk.doorkeeper.caller("good")
    assert desk.asked == 2


async def test_those_who_bring_one_token_at_a_time_have_it_looked_up_once() -> None:
    desk = Desk()
    desk.open.clear()
    first, *others = await desk.coming("good", 5)
    first.cancel()
    [stranger] = await desk.coming("bad")
    desk.open.set()
    assert [*await asyncio.gather(*others), await stranger] == [ADA] * 4 + [None]
    assert desk.asked == 2


async def test_a_lookup_that_takes_long_lets_nobody_in_who_came_after_a_second() -> None:
    desk = Desk()
    desk.open.clear()
    early = await desk.coming("good")
    desk.known.clear()
    desk.now += 1.0
    late = await desk.coming("good")
    desk.open.set()
    assert await asyncio.gather(*early, *late) == [ADA, None]
    assert await desk.doorkeeper.caller("good") is None


async def test_a_revoked_token_is_forgotten_within_a_second() -> None:
    desk = Desk()
    await desk.doorkeeper.caller("good")
    desk.known.clear()
    desk.now += 1.1
    assert await desk.doorkeeper.caller("good") is None


async def test_an_unknown_token_is_never_remembered() -> None:
    desk = Desk()
    assert await desk.doorkeeper.caller("bad") is None
    desk.known["bad"] = ADA
    assert await desk.doorkeeper.caller("bad") == ADA


GONE = psycopg.OperationalError("gone")


async def during(outage: Exception, token: str = "good", *, after: float, only_reads: bool = True) -> Caller | None:  # noqa: S107
    """Who comes in so many seconds after `good` was verified last."""
    desk = Desk()
    await desk.doorkeeper.caller("good")
    desk.outage = outage
    desk.now += after
    return await desk.doorkeeper.caller(token, only_reads)


async def test_while_the_database_is_away_who_was_known_a_moment_ago_may_read() -> None:
    assert await during(GONE, after=59) == ADA


@pytest.mark.parametrize(
    "request_",
    [
        {"outage": GONE, "after": 61},
        {"outage": GONE, "after": 2, "only_reads": False},
        {"outage": GONE, "after": 2, "token": "other"},
        {"outage": NoConnectionFree("pool"), "after": 2},
    ],
    ids=["long ago", "to write", "unknown", "the pool is only full"],
)
async def test_nobody_else_comes_in_then(request_: dict[str, Any]) -> None:
    with pytest.raises(type(request_["outage"])):
        await during(**request_)


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_SIZE", 10)
    desk = Desk()
    for number in range(100):
        desk.known[str(number)] = ADA
        await desk.doorkeeper.caller(str(number))
    assert len(desk.doorkeeper._known) <= 10


def test_a_role_includes_those_before_it() -> None:
    assert Role.ADMIN.includes(Role.VIEWER)
    assert Role.OPERATOR.includes(Role.OPERATOR)
    assert not Role.ANNOTATOR.includes(Role.OPERATOR)
