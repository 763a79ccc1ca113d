"""Nobody comes in without a token, and nobody does more than their role allows."""

from __future__ import annotations

import asyncio
import base64
import json
from io import StringIO

import pytest
from fastapi.routing import RouteContext, iter_route_contexts

from domain.access import Role
from domain.errors import AlreadyDone, Invalid, NotFound
from domain.events import ActorKind
from gateway.auth import OPEN_PATHS, needed_role
from gateway.logging import configure_logging
from tests import story
from tests.integration.gateway.conftest import Gateway

TASK = {"task": {"turns": ["Why is the sky blue?"]}}


def routes(gateway: Gateway) -> list[tuple[str, str, RouteContext]]:
    """Every method of every path of the app; WebSockets are tried in test_streams."""
    return [
        (method, str(route.path).replace("{", "").replace("}", ""), route)
        for route in iter_route_contexts(gateway.app.routes)
        for method in route.methods or ()
    ]


async def test_every_route_but_the_two_probes_answers_401_to_a_stranger(gateway: Gateway) -> None:
    found = routes(gateway)
    paths = {path for _, path, _ in found}
    assert {"/docs", "/openapi.json", "/asyncapi.json", "/metrics", "/health", "/v1/stream"} <= paths
    assert len(found) > 35
    async with gateway.client(None) as stranger:
        for method, path, _ in found:
            expected = 200 if path in OPEN_PATHS else 401
            answer = await stranger.request(method, path)
            assert answer.status_code == expected, path
            if expected == 401:
                assert answer.headers["content-type"] == "application/problem+json"
                assert "Bearer" in answer.headers["www-authenticate"]


async def test_a_stranger_learns_nothing_of_what_exists(gateway: Gateway) -> None:
    async with gateway.client(None) as stranger:
        assert (await stranger.get("/no/such/thing")).status_code == 401
        assert (await stranger.put("/v1/agents", content=b"x" * 100_000)).status_code == 401
        assert (await stranger.get("/health/ready/")).status_code == 401
        assert (await stranger.get("//health/live")).status_code == 401
        assert (await stranger.get("/health/ready")).json() == {"status": "ok"}


async def test_every_route_names_its_role_and_only_reads_are_a_viewers(gateway: Gateway) -> None:
    for method, path, route in routes(gateway):
        if path not in OPEN_PATHS:
            role = needed_role(route)
            assert role is not None, path
            assert method == "GET" or role is not Role.VIEWER, f"{method} {path}"


async def test_a_viewer_cannot_write(gateway: Gateway) -> None:
    gateway.tell()
    async with gateway.client(Role.VIEWER) as viewer:
        for method, path, _ in routes(gateway):
            if method != "GET":
                answer = await viewer.request(method, path, json={})
                assert answer.status_code == 403, path
                assert "viewer" in answer.json()["detail"]
    assert gateway.core.store.head() == len(story.events())


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, []),
        (Role.ANNOTATOR, ["/v1/preferences"]),
        (Role.OPERATOR, ["/v1/preferences", "/v1/datasets"]),
        (Role.ADMIN, ["/v1/preferences", "/v1/datasets", "/v1/agents"]),
    ],
)
async def test_each_role_may_do_what_the_ones_before_it_may(gateway: Gateway, role: Role, may: list[str]) -> None:
    async with gateway.client(role) as client:
        for method, path in (("POST", "/v1/preferences"), ("POST", "/v1/datasets"), ("PUT", "/v1/agents")):
            answer = await client.request(method, path, json={"nonsense": 1})
            assert answer.status_code == (422 if path in may else 403), path


async def test_the_actor_is_the_tokens_whatever_the_request_says(gateway: Gateway) -> None:
    gateway.tell(story.roster())
    claims = {"actor": "root", "actor_subject": "root", "kind": "agent"}
    async with gateway.client(Role.OPERATOR) as operator:
        head = gateway.core.store.head()
        answer = await operator.post("/v1/datasets", json={"filter": {}, **claims})
        assert answer.status_code == 422
        assert gateway.core.store.head() == head
        assert (await operator.post("/v1/datasets?actor=root", json={})).status_code == 422
        answer = await operator.post("/v1/datasets", json={}, headers={"X-Actor": "root", "X-User": "root"})
        assert answer.status_code == 202
    (recorded,) = gateway.core.store.read(after=head)
    assert (recorded.envelope.actor.subject, recorded.envelope.actor.kind) == ("operator", ActorKind.HUMAN)


@pytest.mark.parametrize("scheme", ["Basic", "Token", "", "bearer\t"])
async def test_only_a_bearer_token_counts(gateway: Gateway, scheme: str) -> None:
    async with gateway.client(None) as client:
        answer = await client.get("/v1/me", headers={"Authorization": f"{scheme} {gateway.tokens[Role.ADMIN]}"})
        assert answer.status_code == 401
        answer = await client.get(
            f"/v1/me?token={gateway.tokens[Role.ADMIN]}&access_token={gateway.tokens[Role.ADMIN]}"
        )
        assert answer.status_code == 401


async def test_a_browser_opens_the_documents_with_the_token_as_password_and_nothing_else(gateway: Gateway) -> None:
    credentials = base64.b64encode(f"me:{gateway.tokens[Role.VIEWER]}".encode()).decode()
    async with gateway.client(None) as browser:
        browser.headers["Authorization"] = f"Basic {credentials}"
        assert (await browser.get("/docs")).status_code == 200
        assert (await browser.get("/openapi.json")).status_code == 200
        assert (await browser.get("/v1/me")).status_code == 401
        assert (await browser.get("/docs", headers={"Authorization": "Basic ???"})).status_code == 401


async def test_a_browser_without_a_token_is_told_how_to_sign_in(gateway: Gateway) -> None:
    async with gateway.client(None) as browser:
        answer = await browser.get("/docs", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert "any name will do, and the password is the token" in answer.text


async def test_me_says_whom_the_token_stands_for(gateway: Gateway) -> None:
    token = gateway.core.tokens.create("worker-1", Role.OPERATOR, ActorKind.AUTOMATION, by="test")
    async with gateway.client(token=token) as worker:
        assert (await worker.get("/v1/me")).json() == {"subject": "worker-1", "kind": "automation", "role": "operator"}


async def test_a_revoked_token_is_refused_within_two_seconds(gateway: Gateway) -> None:
    async with gateway.client(Role.VIEWER) as viewer:
        assert (await viewer.get("/v1/me")).status_code == 200
        gateway.core.tokens.revoke("viewer")
        await asyncio.sleep(1.2)
        assert (await viewer.get("/v1/me")).status_code == 401


def test_a_token_is_kept_as_a_hash_only(gateway: Gateway) -> None:
    token = gateway.tokens[Role.ADMIN]
    assert token.startswith("crv_")
    assert len(token) == len("crv_") + 43
    with gateway.core.engine.connect() as db:
        rows = str(db.exec_driver_sql("SELECT * FROM api_tokens").all())
    assert token not in rows
    assert token.removeprefix("crv_") not in rows


def test_a_tokens_name_means_the_same_actor_for_ever(gateway: Gateway) -> None:
    tokens = gateway.core.tokens
    token = tokens.create("ada", Role.ANNOTATOR, ActorKind.HUMAN, by="admin")
    assert tokens.caller(token)
    tokens.revoke("ada")
    tokens.revoke("ada")
    assert tokens.caller(token) is None
    with pytest.raises(AlreadyDone):
        tokens.create("ada", Role.ADMIN, ActorKind.HUMAN, by="admin")
    with pytest.raises(NotFound):
        tokens.revoke("bob")
    listed = {token.name: token for token in tokens.list()}
    assert listed["ada"].revoked_at
    assert listed["ada"].created_by == "admin"
    assert listed["viewer"].revoked_at is None


@pytest.mark.parametrize("name", ["", "Ada", "a b", "x" * 64, "ada\n", "../etc"])
def test_a_tokens_name_is_a_plain_word(gateway: Gateway, name: str) -> None:
    with pytest.raises(Invalid):
        gateway.core.tokens.create(name, Role.VIEWER, ActorKind.HUMAN, by="test")


async def test_the_log_names_request_trace_and_subject_but_never_a_token(gateway: Gateway) -> None:
    log = StringIO()
    configure_logging("INFO", "gateway", log)
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    token = gateway.tokens[Role.OPERATOR]
    async with gateway.client(Role.OPERATOR) as operator:
        run = str(story.RUN)
        await operator.get(f"/v1/workflows/{run}", headers={"X-Request-Id": "req-1", "traceparent": trace})
        await operator.get(f"/v1/workflows/{token}")
    configure_logging("INFO", "test")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    line = next(line for line in lines if line.get("request_id") == "req-1" and "status" in line)
    assert line["trace_id"] == "ab" * 16
    assert (line["subject"], line["status"], line["run"]) == ("operator", 404, run)
    assert token not in log.getvalue()
