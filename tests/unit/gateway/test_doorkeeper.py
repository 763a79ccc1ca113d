"""The doorkeeper remembers for a second, forgets in time, and stays calm while the database is away."""

from __future__ import annotations

import psycopg
import pytest

from domain.access import Caller, Role
from domain.events import Actor, ActorKind
from gateway import auth
from gateway.auth import Doorkeeper

ADA = Caller(Actor("ada", ActorKind.HUMAN), Role.VIEWER)


class Desk:
    """Knows one token, and counts how often it is asked."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.known = {"good": ADA}
        self.away = False
        self.doorkeeper = Doorkeeper(self.recognise, seconds=1.0, now=lambda: self.now)

    def recognise(self, token: str) -> Caller | None:
        self.asked += 1
        if self.away:
            raise psycopg.OperationalError("gone")
        return self.known.get(token)


async def test_a_valid_token_is_looked_up_once_a_second() -> None:
    desk = Desk()
    for _ in range(5):
        assert await desk.doorkeeper.caller("good") == ADA
    assert desk.asked == 1
    desk.now += 1.1
    await desk.doorkeeper.caller("good")
    assert desk.asked == 2


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


async def test_while_the_database_is_away_only_who_was_known_comes_in() -> None:
    desk = Desk()
    await desk.doorkeeper.caller("good")
    desk.away = True
    desk.now += 60
    assert await desk.doorkeeper.caller("good") == ADA
    with pytest.raises(psycopg.OperationalError):
        await desk.doorkeeper.caller("other")


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
