from collections.abc import Iterator

import pytest

from tests.unit.ui.screen import empty_lists
from tests.unit.ui.scripted_gateway import ScriptedGateway, scripted_gateway
from ui import person
from ui.api import Api
from ui.session import Session
from ui.sessions import SESSIONS


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as scripted:
        yield scripted


@pytest.fixture
def eva(gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """An operator who is signed in at a console of an empty Caravan. Her cookie is given to the pages, since no browser
    brings it."""
    gateway.answers_with({"subject": "eva", "kind": "human", "role": "operator"})
    id = SESSIONS.open(Api(gateway.url, "crv_secret"))
    monkeypatch.setattr(person, "session_ids", lambda cookies: [id])
    empty_lists(gateway)
    session = SESSIONS.find([id])
    assert session
    yield session
    SESSIONS.close(session)
