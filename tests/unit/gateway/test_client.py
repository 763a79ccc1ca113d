"""The command line's way to the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.cli import client
from gateway.cli.client import Api, ApiError
from tests.unit.ui.scripted_gateway import ScriptedGateway, scripted_gateway

IN_FLIGHT = {"type": "urn:caravan:problem:in-flight", "title": "Conflict", "status": 409, "detail": "come again"}
DONE = {"type": "urn:caravan:problem:already-done", "title": "Conflict", "status": 409, "detail": "it is over"}


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.01)
    with scripted_gateway() as gateway:
        yield gateway


def test_a_command_that_is_being_worked_on_is_asked_for_again_under_its_key(gateway: ScriptedGateway) -> None:
    gateway.answers_with(IN_FLIGHT, IN_FLIGHT, status=409)
    gateway.answers_with({"id": "1"})
    assert Api(gateway.url, "crv_secret").post("/v1/workflows", {}) == {"id": "1"}
    assert len({request.headers["idempotency-key"] for request in gateway.requests}) == 1


def test_no_other_conflict_is_asked_for_again(gateway: ScriptedGateway) -> None:
    gateway.answers_with(DONE, status=409)
    with pytest.raises(ApiError, match="it is over"):
        Api(gateway.url, "crv_secret").post("/v1/workflows", {})
