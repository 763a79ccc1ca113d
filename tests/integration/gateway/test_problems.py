"""What goes wrong is told as a problem: clear, complete, and with nothing of our insides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from domain.access import Role
from projections import dpo_annotations
from tests import story
from tests.integration.gateway.conftest import Gateway

TEXT = [{"role": "user", "content": "hello"}]


def body(content: str) -> dict[str, Any]:
    return {"prompt": [{"role": "user", "content": content}], "chosen": TEXT, "rejected": TEXT}


def assert_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:caravan:problem:{kind}"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    return problem


BAD_ADDRESSES = [
    ("GET", "/v1/nothing", 404, "not-found"),
    ("GET", "/v1/workflows/", 404, "not-found"),
    ("PATCH", "/v1/workflows", 405, "method-not-allowed"),
    ("GET", f"/v1/workflows/{story.id_of('none')}", 404, "not-found"),
    ("GET", f"/v1/preferences/{story.id_of('none')}", 404, "not-found"),
    ("GET", f"/v1/datasets/{story.id_of('none')}/download", 404, "not-found"),
    ("GET", "/v1/adapters/team@9", 404, "not-found"),
    ("GET", "/v1/workflows/not-a-uuid", 422, "invalid-request"),
    ("GET", "/v1/workflows?limit=0", 422, "invalid-request"),
    ("GET", "/v1/workflows?limit=many", 422, "invalid-request"),
    ("GET", "/v1/workflows?state=asleep", 422, "invalid-request"),
    ("GET", "/v1/workflows?cursor=%F0%9F%98%80", 422, "invalid"),
    ("GET", "/v1/workflows?cursor=abcd", 422, "invalid"),
    ("GET", "/v1/events?cursor=-1", 422, "invalid"),
    ("GET", "/v1/events?type=workflow.exploded", 422, "invalid"),
    ("GET", "/v1/events/the-first", 422, "invalid"),
    ("GET", "/v1/events/999999999999999999999999/causes", 422, "invalid"),
    ("GET", "/v1/events/1/effects?cursor=x", 422, "invalid"),
    ("GET", f"/v1/workflows?after={2**63}", 422, "invalid-request"),
    ("GET", "/v1/logs?agent=a%00b", 422, "invalid-request"),
    ("GET", "/v1/logs?text=%ED%A0%80", 422, "invalid-request"),
    ("GET", "/v1/adapters/a%00b", 422, "invalid-request"),
    ("GET", "/v1/logs?since=yesterday", 422, "invalid-request"),
    ("GET", "/v1/logs?since=2026-01-01T00:00:00", 422, "invalid-request"),
    ("POST", "/v1/workflows", 422, "invalid-request"),
]


async def test_a_bad_address_is_told_in_the_callers_terms(library: Gateway) -> None:
    async with library.client() as client:
        for method, path, status, kind in BAD_ADDRESSES:
            assert_problem(await client.request(method, path), status, kind)


async def test_every_fault_of_a_body_is_told_with_its_place(gateway: Gateway) -> None:
    async with gateway.client() as client:
        answer = await client.post("/v1/workflows", json={"task": {"turns": []}, "max_tokens": -1, "more": 1})
    problem = assert_problem(answer, 422, "invalid-request")
    assert {fault["pointer"] for fault in problem["errors"]} == {"/task/turns", "/max_tokens", "/more"}


UNSTORABLE: list[str | bytes] = [
    json.dumps(body("a\x00b")),
    json.dumps(body("a\ud800b")),
    json.dumps(body("x")).replace('"x"', "NaN"),
    json.dumps(body("x")).replace('"x"', "-Infinity"),
    json.dumps(body("x")).replace('"x"', "1e999"),
    '{"pro\\u0000mpt": []}',
    "[" * 50_000,
    "{",
    "",
    b'{"prompt": "\xff"}',
    "9" * 5000,
]


async def test_what_no_database_could_hold_is_refused(gateway: Gateway) -> None:
    async with gateway.client() as client:
        for raw in UNSTORABLE:
            answer = await client.post("/v1/preferences", content=raw, headers={"Content-Type": "application/json"})
            assert_problem(answer, 422, "invalid-request")
    assert gateway.core.store.head() == 0


@pytest.mark.parametrize(
    ("raw", "pointer", "detail"),
    [
        (json.dumps(body("a\x00b")), "/prompt/0/content", "cannot be stored; remove it"),
        (json.dumps({"a/b": {"x\ud800": 1}}), "/a~1b", "cannot be stored; remove it"),
        ("[" * 50_000, "", "is nested too deeply"),
        ("{", "", "is not valid JSON: "),
        ("9" * 5000, "", "a number of 5000 digits is too long"),
        ("", "", "is missing"),
    ],
)
async def test_a_body_that_cannot_be_kept_is_told_with_the_place(
    library: Gateway, raw: str, pointer: str, detail: str
) -> None:
    async with library.client() as client:
        answer = await client.post("/v1/preferences", content=raw, headers={"Content-Type": "application/json"})
    (fault,) = assert_problem(answer, 422, "invalid-request")["errors"]
    assert fault["pointer"] == pointer
    assert detail in fault["detail"]


async def test_a_body_that_is_not_sent_as_json_is_told_so(gateway: Gateway) -> None:
    async with gateway.client() as client:
        for headers in ({"Content-Type": "text/plain"}, {}):
            answer = await client.post("/v1/preferences", content=b'{"prompt": []}', headers=headers)
            assert "Content-Type: application/json" in assert_problem(answer, 415, "unsupported-media-type")["detail"]


async def test_a_faulty_parameter_is_named(library: Gateway) -> None:
    async with library.client() as client:
        problem = assert_problem(await client.get("/v1/workflows?limit=0"), 422, "invalid-request")
    assert problem["errors"] == [{"parameter": "limit", "detail": "must be at least 1"}]
    assert problem["detail"] == "the request is not valid: limit must be at least 1"


async def test_a_parameter_that_is_not_known_is_refused_with_those_that_are(library: Gateway) -> None:
    async with library.client() as client:
        problem = assert_problem(await client.get("/v1/datasets?lmit=1&limit=1"), 422, "invalid-request")
        assert problem["errors"] == [
            {"parameter": "lmit", "detail": "is not known here; known are after, cursor, limit"}
        ]
        assert_problem(await client.post("/v1/datasets?limit=1", json={}), 422, "invalid-request")
        problem = assert_problem(await client.get("/v1/me?x=1"), 422, "invalid-request")
        assert problem["errors"] == [{"parameter": "x", "detail": "is not known here; this takes no parameters"}]


async def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(gateway: Gateway) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1000

    async with gateway.client() as client:
        assert_problem(await client.put("/v1/agents", content=b"x" * 65_537), 413, "content-too-large")
        assert_problem(await client.put("/v1/agents", content=chunks()), 413, "content-too-large")
        assert (await client.put("/v1/agents", content=b"x" * 65_536)).status_code == 422


async def test_a_defect_of_ours_tells_nothing_but_the_request_id(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret password 1234")

    monkeypatch.setattr(dpo_annotations, "pairs", explode)
    async with gateway.client() as client:
        answer = await client.get("/v1/preferences", headers={"X-Request-Id": "find-me"})
    problem = assert_problem(answer, 500, "internal-error")
    assert problem["request_id"] == "find-me"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


async def test_what_a_newer_version_wrote_is_not_changed_but_left_to_it(told: Gateway) -> None:
    newer = """
        UPDATE stored_events SET state = convert_to((data || '{"class_version": 9}')::text, 'UTF8') FROM event_log
        WHERE event_log.position = notification_id AND topic = 'workflow.requested'
    """
    with told.core.engine.begin() as db:
        db.exec_driver_sql(newer)
    async with told.client() as operator:
        answer = await operator.post(f"/v1/workflows/{story.RUN}/stop")
    problem = assert_problem(answer, 503, "unknown-event")
    assert "version 9 of workflow.requested" in problem["detail"]
    assert answer.headers["retry-after"]


async def test_while_the_database_is_away_everything_says_so_and_then_goes_on(gateway: Gateway, postgres: str) -> None:
    name = gateway.core.engine.url.database
    assert name
    async with gateway.client() as client, gateway.client(None) as stranger:
        await client.get("/v1/me")
        with outage(postgres, name):
            for path in ("/v1/workflows", "/v1/events", "/v1/projections"):
                answer = await client.get(path)
                assert_problem(answer, 503, "database-unavailable")
                assert answer.headers["retry-after"] == "1"
            assert_problem(await client.post("/v1/datasets", json={}), 503, "database-unavailable")
            assert (await client.get("/metrics")).status_code == 200
            assert (await stranger.get("/health/live")).status_code == 200
            ready = await stranger.get("/health/ready")
            assert (ready.status_code, ready.json()) == (503, {"status": "unavailable"})
            health = (await client.get("/health")).json()
            assert {check["name"]: check["state"] for check in health["checks"]} == {
                "postgres": "failed",
                "nats": "failed",
                "model_server": "failed",
                "files": "ok",
                "stream": "failed",
            }
        assert (await client.post("/v1/datasets", json={})).status_code == 202
        assert (await stranger.get("/health/ready")).status_code == 200


@contextmanager
def outage(postgres: str, database: str) -> Iterator[None]:
    """The database lets nobody in, and throws out who is in."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(allow.format(sql.Identifier(database), sql.SQL("false")))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        yield
        admin.execute(allow.format(sql.Identifier(database), sql.SQL("true")))


async def test_every_answer_carries_the_headers_that_keep_browsers_safe(gateway: Gateway) -> None:
    async with gateway.client(None) as stranger, gateway.client(Role.VIEWER) as viewer:
        for answer in (
            await stranger.get("/health/live"),
            await stranger.get("/v1/me"),
            await viewer.get("/v1/me"),
            await viewer.get("/v1/nothing"),
            await viewer.get("/docs"),
        ):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in answer.headers


async def test_the_reference_loads_nothing_from_another_host(gateway: Gateway) -> None:
    async with gateway.client(Role.VIEWER) as viewer:
        page = (await viewer.get("/docs")).text
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "/v1/preferences/{preference_id}/annotations" in page
