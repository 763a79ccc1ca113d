from __future__ import annotations

import json

import pytest

import ui.api
from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui.api import Api, ApiError, InFlight, TokenRefused, Unavailable

PROBLEM = {
    "type": "urn:caravan:problem:invalid",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "the request is not valid",
    "errors": [
        {"pointer": "/task/turns", "detail": "a task needs a turn"},
        {"parameter": "limit", "detail": "must be at least 1"},
    ],
}


@pytest.fixture
def api(gateway: ScriptedGateway) -> Api:
    return Api(gateway.url, "crv_secret")


def test_every_request_carries_the_token_and_queries_leave_out_what_is_empty(gateway, api):
    gateway.answers_with({"items": [], "next": None})
    api.page("logs", agent="teacher", phase=None, text="")
    (request,) = gateway.requests
    assert request.path == "/v1/logs?limit=50&agent=teacher"
    assert request.headers["authorization"] == "Bearer crv_secret"


def test_a_command_names_itself_and_the_version_that_it_was_made_from(gateway, api):
    gateway.answers_with({"id": "1", "version": 4, "position": 9})
    written = api.command("POST", "adapters", "team@1", "promote", key="k-1", body={"reason": "better"}, version=3)
    (request,) = gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/adapters/team@1/promote")
    assert request.headers["idempotency-key"] == "k-1"
    assert request.headers["if-match"] == '"3"'
    assert json.loads(request.body) == {"reason": "better"}
    assert written.version == 4


def test_a_command_that_is_being_worked_on_is_asked_for_again_under_its_key(gateway, api, monkeypatch):
    monkeypatch.setattr(ui.api, "PAUSE_SECONDS", 0.01)
    in_flight = {"type": "urn:caravan:problem:in-flight", "title": "Conflict", "detail": "come again"}
    gateway.answers_with(in_flight, in_flight, status=409)
    gateway.answers_with({"id": "1", "version": 1, "position": 9})
    assert api.command("POST", "datasets", key="k-1", body={}).id == "1"
    assert {request.headers["idempotency-key"] for request in gateway.requests} == {"k-1"}


def test_a_command_that_is_worked_on_for_long_is_told_so(gateway, api, monkeypatch):
    monkeypatch.setattr(ui.api, "IN_FLIGHT_SECONDS", 0)
    gateway.answers_with({"type": "urn:caravan:problem:in-flight", "title": "Conflict"}, status=409)
    with pytest.raises(InFlight):
        api.command("POST", "datasets", key="k-1", body={})


def test_reads_after_a_command_ask_for_what_it_wrote(gateway, api):
    gateway.answers_with({"id": "1", "version": 1, "position": 9}, {"state": "requested"})
    api.command("POST", "datasets", key="k", body={})
    api.one("datasets", "1")
    assert gateway.requests[1].path == "/v1/datasets/1?after=9"


def test_yaml_is_sent_as_it_was_written(gateway, api):
    gateway.answers_with({"id": "1", "version": 2, "position": 3})
    api.command("PUT", "agents", key="k", yaml="agents: [] # ü\n", version=1, reason="shorter")
    (request,) = gateway.requests
    assert request.path == "/v1/agents?reason=shorter"
    assert request.headers["content-type"] == "application/yaml"
    assert request.body.decode() == "agents: [] # ü\n"


def test_every_item_of_a_list_comes_page_by_page_up_to_a_limit(gateway, api):
    gateway.answers_with({"items": [{"n": 1}, {"n": 2}], "next": "c"}, {"items": [{"n": 3}, {"n": 4}], "next": None})
    assert [item["n"] for item in api.every("preferences", most=3)] == [1, 2, 3]
    assert "cursor=c" in gateway.requests[1].path


def test_a_refusal_says_what_is_wrong_and_where(gateway, api):
    gateway.answers_with(PROBLEM, status=422)
    with pytest.raises(ApiError) as refused:
        api.one("workflows", "1")
    assert refused.value.status == 422
    assert str(refused.value) == "the request is not valid"
    assert [(fault.place, fault.detail) for fault in refused.value.faults] == [
        ("/task/turns", "a task needs a turn"),
        ("limit", "must be at least 1"),
    ]


def test_a_forms_defaults_are_those_of_the_api_and_are_asked_for_once(gateway, api):
    fields = {"max_steps": {"type": "integer", "default": 24}, "alias": {"type": "string"}}
    gateway.answers_with({"components": {"schemas": {"TrainingConfig": {"properties": fields}}}})
    assert api.defaults("TrainingConfig") == api.defaults("TrainingConfig") == {"max_steps": 24}
    (request,) = gateway.requests
    assert request.path == "/openapi.json"


@pytest.mark.parametrize(("status", "kind"), [(401, TokenRefused), (503, Unavailable), (502, Unavailable)])
def test_refused_tokens_and_outages_are_told_apart(gateway, api, status, kind):
    gateway.answers_with(b"<html>not JSON</html>", status=status)
    with pytest.raises(kind):
        api.me()


def test_no_gateway_at_all_is_an_outage_that_says_how_to_start_one():
    api = Api("http://127.0.0.1:1", "crv_secret")
    assert not api.answers()
    with pytest.raises(Unavailable, match="caravan up"):
        api.me()


def test_health_is_told_when_a_part_is_down_too(gateway, api):
    gateway.answers_with({"status": "degraded", "checks": [], "projections": []}, status=503)
    assert api.health()["status"] == "degraded"


def test_a_gateway_that_cannot_even_tell_its_health_is_an_outage(gateway, api):
    problem = {"title": "Service Unavailable", "detail": "the database does not answer"}
    gateway.answers_with(problem, b"<html>not JSON</html>", status=503)
    with pytest.raises(Unavailable, match="the database does not answer"):
        api.health()
    with pytest.raises(Unavailable, match="not JSON"):
        api.health()


def test_an_id_from_the_address_cannot_leave_its_place_in_the_path(gateway, api):
    gateway.answers_with({})
    api.one("workflows", "x/steps?cursor=1")
    assert gateway.requests[0].path == "/v1/workflows/x%2Fsteps%3Fcursor%3D1"
