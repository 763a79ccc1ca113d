"""How long an endpoint is waited for depends on what is amiss."""

from __future__ import annotations

import time

import httpx
import openai
import pytest

from adapters import endpoint_patience
from adapters.endpoint_patience import Endpoint, NoSuchRoute, persistently
from domain.ports.agents import InputRefused, ModelRefused


class NotFound(Exception):
    status_code = 404


class Refusal(Exception):
    def __init__(self, status_code: int, code: str | None = None) -> None:
        self.status_code = status_code
        self.code = code


@pytest.mark.parametrize(
    ("refusal", "about_the_input"),
    [
        (Refusal(400), True),
        (Refusal(400, "context_length_exceeded"), True),
        (Refusal(413), True),
        (Refusal(422), True),
        (Refusal(400, "adapter_refused"), False),
        (Refusal(401), False),
        (Refusal(404), False),
    ],
)
async def test_a_refusal_says_whether_another_input_would_be_served(refusal: Refusal, about_the_input: bool) -> None:
    """What is refused for its own sake may be left out; without its key, or its model, nothing is served."""

    async def call() -> str:
        raise refusal

    with pytest.raises(ModelRefused) as refused:
        await persistently(call, Endpoint("the model"))
    assert isinstance(refused.value, InputRefused) is about_the_input


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ({"detail": "Not Found"}, 1),
        ({"message": "Not Found", "code": 404}, 1),
        ({"message": "The model `team@1` does not exist.", "code": 404}, 4),
        ("404 page not found", 4),
    ],
)
async def test_a_route_that_is_not_there_is_not_waited_for_as_an_adapter_is(
    body: object, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bodies as OpenAI's client gives them: FastAPI's, vLLM's of a route and of a model, and that of a proxy."""
    monkeypatch.setattr(endpoint_patience, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(endpoint_patience, "LONGEST_DELAY", 0.001)
    asked = 0

    async def call() -> str:
        nonlocal asked
        asked += 1
        if asked == 4:
            return "an answer"
        raise openai.NotFoundError("404", response=httpx.Response(404, request=httpx.Request("POST", "/")), body=body)

    if calls == 1:
        with pytest.raises(NoSuchRoute):
            await persistently(call, Endpoint("the model"), adapter="team@1")
    else:
        assert await persistently(call, Endpoint("the model"), adapter="team@1") == "an answer"
    assert asked == calls


async def test_an_adapter_that_is_missing_takes_nothing_from_the_patience_with_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint_patience, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(endpoint_patience, "LONGEST_DELAY", 0.01)
    monkeypatch.setattr(endpoint_patience, "LOADING_SECONDS", 0.1)
    calls, back = 0, time.monotonic() + 0.3

    async def call() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise NotFound("no such adapter")
        if time.monotonic() < back:
            raise ConnectionError("the server restarts")
        return "an answer"

    assert await persistently(call, Endpoint("the model"), adapter="team@1") == "an answer"
