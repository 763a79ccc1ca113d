"""Sessions that outlive the console: what the browser's cookie opens, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread

import pytest

from tests.eventually import eventually
from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui import keeping
from ui.api import Api
from ui.session import Role, Session
from ui.sessions import IDLE_SECONDS, Sessions

EVA = {"subject": "eva", "kind": "human", "role": "operator"}


class Shelf:
    """Lockers in memory. While they are `shut` nobody gets at them."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.shut = False

    def get(self, secret: str) -> bytes | None:
        return None if self.shut else self.values.get(secret)

    def put(self, secret: str, value: bytes) -> bool:
        if not self.shut:
            self.values[secret] = value
        return not self.shut

    def delete(self, secret: str) -> bool:
        if not self.shut:
            self.values.pop(secret, None)
        return not self.shut


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "PACE_SECONDS", 0.01)
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.01)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def started(shelf: Shelf, gateway: ScriptedGateway) -> Callable[..., Sessions]:
    """The sessions of a console that was just started; `hours` later by its clock."""

    def start(hours: float = 0) -> Sessions:
        sessions = Sessions(lambda: hours * 3600)
        sessions.keep_in(shelf, partial(Api, gateway.url))
        return sessions

    gateway.answers_with(EVA, EVA)
    return start


@pytest.fixture
def token(gateway: ScriptedGateway) -> Api:
    return Api(gateway.url, "crv_secret")


async def test_the_next_console_knows_who_is_signed_in_and_what_they_typed(started, shelf, token):
    first = started()
    id = first.open(token)
    session = first.find([id])
    session.drafts |= {"run.task": "Why?", "run.agents": ["ada"], "run.tokens": 12, "pairs.sure": True}
    first.keep(session)
    await eventually(lambda: b"Why?" in shelf.values.get(id, b""))
    again = started().find(["nobody's", id])
    assert (again.subject, again.role, again.api.token) == ("eva", Role.OPERATOR, "crv_secret")
    assert again.drafts == session.drafts


async def test_of_many_changes_in_a_moment_the_last_is_kept(started, shelf, token):
    sessions = started()
    session = sessions.find([sessions.open(token)])
    for number in range(100):
        session.drafts["n"] = number
        sessions.keep(session)
    await eventually(lambda: b'"n":99' in shelf.values.get(session.id, b""))


async def test_who_signed_out_is_signed_out_for_the_next_console_too(started, shelf, token):
    sessions = started()
    id = sessions.open(token)
    await eventually(lambda: id in shelf.values)
    sessions.close(sessions.find([id]))
    await eventually(lambda: id not in shelf.values)
    assert started().find([id]) is None


async def test_a_sign_out_does_not_wait_for_more_to_write(started, shelf, token, monkeypatch):
    sessions = started()
    id = sessions.open(token)
    await eventually(lambda: id in shelf.values)
    monkeypatch.setattr(keeping, "PACE_SECONDS", 60)
    sessions.close(sessions.find([id]))
    await eventually(lambda: not shelf.values)


async def test_what_is_too_much_for_a_locker_is_left_out_and_the_session_is_kept(started, shelf, token):
    sessions = started()
    session = sessions.find([sessions.open(token)])
    session.drafts["agents.yaml"] = "x" * keeping.MOST_BYTES
    sessions.keep(session)
    await eventually(lambda: session.id in shelf.values)
    found = started().find([session.id])
    assert (found.subject, found.drafts) == ("eva", {})


async def test_who_signs_out_while_nats_is_away_stays_signed_out_when_it_is_back(started, shelf, token):
    sessions = started()
    id = sessions.open(token)
    await eventually(lambda: id in shelf.values)
    shelf.shut = True
    sessions.close(sessions.find([id]))
    shelf.shut = False
    assert sessions.find([id]) is None
    await eventually(lambda: id not in shelf.values)


async def test_who_signs_out_while_something_is_being_kept_stays_signed_out(started, shelf, token, monkeypatch):
    sessions, keep = started(), keeping.Keeping.keep
    session = sessions.find([sessions.open(token)])
    await eventually(lambda: session.id in shelf.values)

    def late(its: keeping.Keeping, kept: Session) -> None:
        signing_out = Thread(target=sessions.close, args=[session])
        signing_out.start()
        signing_out.join(0.2)
        keep(its, kept)

    monkeypatch.setattr(keeping.Keeping, "keep", late)
    sessions.keep(session)
    await eventually(lambda: session.id not in shelf.values)


async def test_without_nats_a_session_goes_on_and_is_kept_once_nats_is_back(started, shelf, token):
    shelf.shut = True
    sessions = started()
    id = sessions.open(token)
    assert sessions.use([id]) is not None
    assert started().find([id]) is None
    shelf.shut = False
    await eventually(lambda: id in shelf.values)
    assert started().find([id]) is not None


async def test_a_restart_makes_no_idle_session_younger(started, shelf, token, monkeypatch):
    id = started().open(token)
    await eventually(lambda: id in shelf.values)
    real = keeping.time.time
    monkeypatch.setattr(keeping.time, "time", lambda: real() + IDLE_SECONDS - 60)
    later = started()
    session = later.find([id])
    assert session is not None
    assert session.used_at == pytest.approx(60 - IDLE_SECONDS, abs=30)
    monkeypatch.setattr(keeping.time, "time", lambda: real() + IDLE_SECONDS + 60)
    assert started().find([id]) is None


@pytest.mark.parametrize("wrong", [b"", b"{}", b"[]", b'{"token": 7}', b"\xff", b'{"token": "crv_x", "role": 9}'])
def test_what_is_no_session_opens_nothing(started, shelf, wrong):
    id = "x" * 43
    shelf.values[id] = wrong
    assert started().find([id]) is None


def test_what_can_be_no_id_of_ours_is_not_even_looked_for(started, shelf):
    sessions = started()
    shelf.get = None  # type: ignore[method-assign]  # would fail
    assert sessions.find(["", "../../etc/passwd", "x" * 44, "ä" * 43]) is None
