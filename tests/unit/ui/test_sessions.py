from __future__ import annotations

import pytest

from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui.api import Api, TokenRefused
from ui.session import Role
from ui.sessions import IDLE_SECONDS, Sessions

EVA = {"subject": "eva", "kind": "human", "role": "operator"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


@pytest.fixture
def api(gateway: ScriptedGateway) -> Api:
    gateway.answers_with(EVA, EVA)
    return Api(gateway.url, "crv_secret")


def test_a_session_is_found_by_its_id_and_acts_in_its_role(sessions, api):
    session = sessions.find([sessions.open(api)])
    assert (session.subject, session.role) == ("eva", Role.OPERATOR)
    assert str(session.role) == "operator"


def test_ids_cannot_be_guessed_from_each_other_or_from_the_token(sessions, api):
    one, other = sessions.open(api), sessions.open(api)
    assert one != other
    assert min(len(one), len(other)) >= 43
    assert "crv_secret" not in one


def test_of_several_cookies_the_one_that_is_known_counts(sessions, api):
    id = sessions.open(api)
    assert sessions.find(["somebody else's", id]) is not None
    assert sessions.find(["somebody else's"]) is None


def test_a_session_is_forgotten_after_twelve_hours_without_use(sessions, api, clock):
    id = sessions.open(api)
    clock.now = IDLE_SECONDS
    assert sessions.use([id]) is not None
    clock.now = 2 * IDLE_SECONDS
    assert sessions.use([id]) is not None
    clock.now = 3 * IDLE_SECONDS + 1
    assert sessions.use([id]) is None


def test_a_page_that_draws_itself_again_does_not_keep_its_session_open(sessions, api, clock):
    id = sessions.open(api)
    clock.now = IDLE_SECONDS
    assert sessions.find([id]) is not None
    clock.now = IDLE_SECONDS + 1
    assert sessions.find([id]) is None


def test_signing_out_ends_that_session_alone(sessions, api):
    mine, other = sessions.open(api), sessions.open(api)
    sessions.close(sessions.find([mine]))
    assert sessions.find([mine]) is None
    assert sessions.find([other]) is not None


def test_a_refused_token_opens_nothing(sessions, gateway):
    gateway.answers_with({"title": "Unauthorized", "detail": "this token is not valid"}, status=401)
    with pytest.raises(TokenRefused):
        sessions.open(Api(gateway.url, "crv_wrong"))
