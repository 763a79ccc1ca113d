"""One trace shows the whole way: from the request, by way of every process, to each call of a model."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from tests.eventually import eventually
from tests.living_caravan import LivingCaravan
from tests.otlp_collector import Collector, Received, by_name, way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TURN = "Name a river, secretly."
POST = "POST /v1/workflows"
REQUESTED = [POST, "command RequestWorkflow"]
LAST = {"policy propose_pairs", "run-workflow", "publish workflow.completed"}
SERVED = "POST /v1/chat/completions"
CALLER = "ab" * 8
STEP = [*REQUESTED, "run-workflow", "step answer"]


@pytest.fixture(scope="module")
def trace(caravan: LivingCaravan, collector: Collector) -> list[Received]:
    """Of a request that came with a trace of its own, until all that follows from it has happened."""
    trace_id = uuid4().hex
    body = {"kind": "mutual_ranking", "task": {"turns": [TURN]}, "max_tokens": 4}
    with caravan.api() as api:
        asked = api.post("/v1/workflows", json=body, headers={"traceparent": f"00-{trace_id}-{CALLER}-01"})
        assert asked.status_code == 202, asked.text
        assert asked.headers["traceparent"].split("-")[1] == trace_id
    asyncio.run(eventually(lambda: is_whole(collector.trace(trace_id)), 240, 0.2))
    return collector.trace(trace_id)


def is_whole(trace: list[Received]) -> bool:
    """The last spans of the run are there, and those of other processes too: each sends its own when it is time."""
    spans = {span.span_id for span in trace}
    served = {span.parent_id for span in by_name(trace).get(SERVED, [])}
    return (
        by_name(trace).keys() >= LAST
        and {span.parent_id for span in trace} <= spans | {CALLER}
        and {call.span_id for call in calls_of(trace) if answered(call)} <= served
    )


def calls_of(trace: list[Received]) -> list[Received]:
    """Of a model, by those who asked it."""
    return [span for span in trace if span.attributes.get("gen_ai.operation.name") == "chat"]


def ways(trace: list[Received], name: str) -> list[list[str]]:
    """From the request to each span of that name."""
    return [way(trace, span) for span in by_name(trace)[name]]


def answered(call: Received) -> bool:
    """A model that was away for a moment was asked again: the call that did not reach it is told with its error."""
    return "error.type" not in call.attributes


def test_a_request_goes_on_with_the_trace_that_it_came_with(trace: list[Received]) -> None:
    (request,) = by_name(trace)[POST]
    assert (request.parent_id, request.service) == (CALLER, "caravan-gateway")
    assert request.attributes["http.route"] == "/v1/workflows"
    assert request.attributes["http.response.status_code"] == 202


def test_its_command_is_appended_published_and_played_in_other_processes(trace: list[Received]) -> None:
    assert [*REQUESTED, "append"] in ways(trace, "append")
    assert ways(trace, "publish workflow.requested") == [[*REQUESTED, "publish workflow.requested"]]
    assert ways(trace, "run-workflow") == [[*REQUESTED, "run-workflow"]]
    assert by_name(trace)["publish workflow.requested"][0].service == "caravan-projectors"
    assert by_name(trace)["run-workflow"][0].service == "caravan-worker"


def test_each_answer_is_an_agents_turn_a_call_of_the_model_and_work_of_its_server(trace: list[Received]) -> None:
    turns = [span for span in trace if span.name.startswith("invoke_agent") and way(trace, span)[:-1] == STEP]
    assert len(turns) == 4
    calls, served = calls_of(trace), by_name(trace)[SERVED]
    assert {call.parent_id for call in calls} == {turn.span_id for turn in turns}
    assert {each.parent_id for each in served} >= {call.span_id for call in calls if answered(call)}
    assert {each.parent_id for each in served} <= {call.span_id for call in calls}
    assert {each.service for each in served} == {"caravan-model-server"}
    assert ways(trace, "command RecordStep").count([*STEP, "command RecordStep"]) == 4


def test_a_call_is_told_in_opentelemetrys_words_and_without_what_was_said(trace: list[Received]) -> None:
    (run,) = {span.attributes["caravan.run"] for span in by_name(trace)["run-workflow"]}
    call = next(call for call in calls_of(trace) if answered(call))
    assert call.name == f"chat {call.attributes['gen_ai.request.model']}"
    assert call.attributes["gen_ai.conversation.id"] == run
    assert call.attributes["gen_ai.request.max_tokens"] == 4
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert {"gen_ai.agent.name", "gen_ai.provider.name", "gen_ai.response.finish_reasons"} <= call.attributes.keys()
    assert TURN not in str(trace)
    assert "crv_" not in str(trace)


def test_what_a_policy_does_afterwards_is_part_of_it(trace: list[Received]) -> None:
    assert ways(trace, "policy propose_pairs")[0][:4] == [*REQUESTED, "run-workflow", "command CompleteWorkflow"]
