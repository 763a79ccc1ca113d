"""The gateway keeps what its OpenAPI and AsyncAPI documents promise."""

from __future__ import annotations

from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from adapters.policy_checkpoints import PolicyCheckpoints
from domain.access import Role
from domain.catalogue import EVENT_TYPES
from domain.events import event_id
from domain.training_config import TrainingConfig
from gateway.auth import OPEN_PATHS
from gateway.requests import MAX_POSITION
from projections import checkpoints
from projections.checkpoints import Poison
from tests import story
from tests.integration.gateway.conftest import AGENTS, Gateway
from tests.integration.gateway.sealing import seal

PATHS = {
    "/v1/workflows/{run_id}/diff": f"/v1/workflows/{story.id_of('forked run')}/diff",
    "/v1/workflows/{run_id}": f"/v1/workflows/{story.RUN}",
    "/v1/workflows/{run_id}/steps": f"/v1/workflows/{story.RUN}/steps",
    "/v1/workflows/{run_id}/ballots": f"/v1/workflows/{story.RUN}/ballots",
    "/v1/rankings/compare": "/v1/rankings/compare?method=bradley-terry/1",
    "/v1/batches/{batch_id}": f"/v1/batches/{story.id_of('batch')}",
    "/v1/preferences/{preference_id}": f"/v1/preferences/{story.id_of('edited')}",
    "/v1/preferences/{preference_id}/opinions": f"/v1/preferences/{story.id_of('accepted')}/opinions",
    "/v1/datasets/{dataset_id}": f"/v1/datasets/{story.id_of('dataset')}",
    "/v1/jobs/{job_id}": f"/v1/jobs/{story.id_of('replayed job')}",
    "/v1/jobs/{job_id}/result": f"/v1/jobs/{story.id_of('replayed job')}/result",
    "/v1/training-runs/{run_id}": f"/v1/training-runs/{story.id_of('completed training')}",
    "/v1/training-runs/{run_id}/metrics": f"/v1/training-runs/{story.id_of('completed training')}/metrics",
    "/v1/training-runs/{run_id}/health": f"/v1/training-runs/{story.id_of('completed training')}/health",
    "/v1/adapters/{name}": "/v1/adapters/team@production",
    "/v1/adapters/{name}/passport": "/v1/adapters/team@3/passport",
    "/v1/evaluations/{evaluation_id}": f"/v1/evaluations/{story.id_of('completed evaluation')}",
    "/v1/agents/revisions/{revision}": "/v1/agents/revisions/1",
    "/v1/events/{position}/proof": "/v1/events/1/proof",
    "/v1/agents/revisions/{revision}/diff": "/v1/agents/revisions/2/diff",
    "/v1/agents/{name}": "/v1/agents/bob",
    "/v1/agents/{name}/history": "/v1/agents/bob/history",
    "/v1/events/{event}": "/v1/events/1",
    "/v1/events/{event}/causes": f"/v1/events/{event_id(story.id_of('waiting'), 1)}/causes",
    "/v1/events/{event}/effects": f"/v1/events/{event_id(story.RUN, 9)}/effects",
}
FILES_OF_DATASETS = {
    *("/v1/datasets/{dataset_id}/download", "/v1/datasets/{dataset_id}/manifest", "/v1/datasets/{dataset_id}/export"),
    *("/v1/datasets/{dataset_id}/diff", "/v1/preferences/{preference_id}/lineage"),
}
"""The story only says that there are such files: what reads them is in test_downloads and test_lineage."""
NOT_JSON = {
    "/v1/stream",
    "/metrics",
    *FILES_OF_DATASETS,
    "/v1/imports/{import_id}/set-aside",
    "/v1/training-runs/{run_id}/log",
    "/v1/training-runs/{run_id}/log/stream",
    "/v1/evaluations/{evaluation_id}/items",
}


def assert_as_promised(document: dict[str, Any], path: str, method: str, answer: httpx.Response) -> None:
    promised = document["paths"][path][method.lower()]["responses"]
    assert str(answer.status_code) in promised, f"{method} {path} answered {answer.status_code}"
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = promised[str(answer.status_code)]["content"][media_type]["schema"]
    Draft202012Validator(document | schema, format_checker=FormatChecker()).validate(answer.json())


async def openapi(gateway: Gateway) -> dict[str, Any]:
    async with gateway.client(Role.VIEWER) as viewer:
        document: dict[str, Any] = (await viewer.get("/openapi.json")).json()
    return document


async def test_every_read_answers_as_promised(library: Gateway) -> None:
    seal(library)
    document = await openapi(library)
    async with library.client(Role.VIEWER) as viewer:
        for path in [path for path, operations in document["paths"].items() if "get" in operations]:
            if path not in NOT_JSON:
                answer = await viewer.get(PATHS.get(path, path))
                assert_as_promised(document, path, "GET", answer)
                assert answer.status_code == 200 or path == "/health"
                if "items" in answer.json():
                    assert answer.json()["items"], f"the story says nothing of {path}"


async def test_every_problem_answers_as_promised(library: Gateway) -> None:
    document = await openapi(library)
    async with (
        library.client(Role.ADMIN) as admin,
        library.client(Role.VIEWER) as viewer,
        library.client(None) as stranger,
    ):
        for path, operations in document["paths"].items():
            if path in OPEN_PATHS:
                continue
            url = path.replace("{name}", "no@9").replace("{revision}", "999").replace("{", "").replace("}", "")
            for method in map(str.upper, operations):
                assert_as_promised(document, path, method, await stranger.request(method, url))
                if method != "GET":
                    assert_as_promised(document, path, method, await viewer.request(method, url))
                    assert_as_promised(document, path, method, await admin.request(method, url, json={"no": 1}))
            if "{" in path and "get" in operations:
                assert_as_promised(document, path, "GET", await admin.get(url))


async def test_every_command_answers_as_promised(told: Gateway) -> None:
    document = await openapi(told)
    said = {"prompt": ("user", "x"), "chosen": ("assistant", "y"), "rejected": ("assistant", "z")}
    pair = {name: [{"role": role, "content": content}] for name, (role, content) in said.items()}
    task = {"turns": ["Why?"]}
    commands: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
        ("POST", "/v1/workflows", {}, {"task": task}),
        ("POST", "/v1/workflows/batch", {}, {"tasks": [task, task]}),
        ("POST", "/v1/preferences", {}, pair),
        ("POST", "/v1/preferences/{preference_id}/annotations", {"preference_id": "waiting"}, {"verdict": "accepted"}),
        ("DELETE", "/v1/preferences/{preference_id}", {"preference_id": "waiting"}, {}),
        ("POST", "/v1/datasets", {}, {}),
        ("POST", "/v1/training-runs", {}, {"dataset_id": str(story.id_of("dataset")), "alias": "team"}),
        ("POST", "/v1/adapters/{alias}/rollback", {"alias": "@team"}, {"reason": "x", "adapter": "team@1"}),
        ("POST", "/v1/adapters/{name}/promote", {"name": "team@1"}, {"reason": "x"}),
        ("POST", "/v1/adapters/{name}/reproduce", {"name": "team@1"}, {"anyway": True}),
        ("POST", "/v1/adapters/{name}/retire", {"name": "team@1"}, {}),
        ("POST", "/v1/jobs", {}, {"kind": "clean-up", "payload": {"log_days": 7}, "priority": "low"}),
        ("POST", "/v1/jobs/{job_id}/replay", {"job_id": "dead job"}, {}),
        ("POST", "/v1/jobs/{job_id}/cancel", {"job_id": "dead job"}, {"reason": "x"}),
    ]
    async with told.client() as admin:
        revised = await admin.put("/v1/agents", content=AGENTS, headers={"If-Match": '"2"'})
        assert_as_promised(document, "/v1/agents", "PUT", revised)
        assert revised.status_code == 200
        for method, path, names, body in commands:
            url = path.format(
                **{key: name.removeprefix("@") if "@" in name else story.id_of(name) for key, name in names.items()}
            )
            answer = await admin.request(method, url, json=body)
            assert answer.is_success, answer.text
            assert_as_promised(document, path, method, answer)
            position = int(answer.headers["x-caravan-position"])
            assert 0 < position <= MAX_POSITION


async def test_the_document_is_complete(library: Gateway) -> None:
    document = await openapi(library)
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["tags"], path
            assert operation["description"], f"{method} {path} says nothing of itself"
            assert path in OPEN_PATHS or (operation["security"] and operation["x-required-role"]), path
            assert "HTTPValidationError" not in str(operation["responses"])


async def test_the_document_gives_the_defaults_that_the_console_begins_with(library: Gateway) -> None:
    fields = (await openapi(library))["components"]["schemas"]["TrainingConfig"]["properties"]
    usual = TrainingConfig()
    assert {name: fields[name]["default"] for name in ("max_steps", "learning_rate", "beta", "seed")} == {
        "max_steps": usual.max_steps,
        "learning_rate": usual.learning_rate,
        "beta": usual.beta,
        "seed": usual.seed,
    }


async def test_every_event_of_the_story_is_as_asyncapi_says(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:
        document = (await viewer.get("/asyncapi.json")).json()
        events = (await viewer.get("/v1/events", params={"limit": 200})).json()["items"]
    assert {event["type"] for event in events} == set(EVENT_TYPES)
    for event in events:
        message = document["channels"][event["type"]]["messages"][event["type"]]["$ref"]
        assert message == f"#/components/messages/{event['type']}"
        payload = document["components"]["messages"][event["type"]]["payload"]
        Draft202012Validator(document | payload, format_checker=FormatChecker()).validate(event)
    wrong = events[0] | {"data": {"text": 1}}
    schema = {"$ref": f"#/components/schemas/{wrong['type']}"}
    assert not Draft202012Validator(document | schema).is_valid(wrong)


async def test_the_audit_log_is_paged_both_ways_without_gap_or_repeat(library: Gateway) -> None:
    head = library.core.store.head()
    async with library.client(Role.VIEWER) as viewer:
        for order in ("oldest", "newest"):
            seen: list[int] = []
            cursor: dict[str, str] = {}
            while True:
                page = (await viewer.get("/v1/events", params={"limit": 7, "order": order, **cursor})).json()
                seen += [event["position"] for event in page["items"]]
                if page["next"] is None:
                    break
                cursor = {"cursor": page["next"]}
            assert seen == sorted(range(1, head + 1), reverse=order == "newest")


async def test_pages_of_a_list_follow_each_other(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:
        first = (await viewer.get("/v1/preferences", params={"limit": 4})).json()
        second = (await viewer.get("/v1/preferences", params={"limit": 4, "cursor": first["next"]})).json()
        waiting = (await viewer.get("/v1/preferences", params={"state": "waiting"})).json()
    ids = [pair["preference_id"] for pair in first["items"] + second["items"]]
    assert (len(ids), len(set(ids)), second["next"]) == (8, 8, None)
    assert [pair["preference_id"] for pair in waiting["items"]] == [
        str(story.id_of(name)) for name in ("taken back", "waiting")
    ]


async def test_the_log_is_searched(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:

        async def found(**params: Any) -> int:
            return len((await viewer.get("/v1/logs", params=params)).json()["items"])

        everything = await found()
        assert everything == 6
        assert await found(agent="bob") == 1
        assert await found(phase="score") == 2
        assert await found(text="SOFT RAIN") == 1
        assert await found(workflow=story.RUN) == 3
        assert await found(tool="search", min_tokens=10_000) == 0
        assert await found(as_of=1) == 0
        assert await found(workflow=story.id_of("stopped run")) == 0


async def test_runs_are_found_by_when_they_were_asked_for(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:

        async def found(**params: Any) -> list[str]:
            return [run["run_id"] for run in (await viewer.get("/v1/workflows", params=params)).json()["items"]]

        *_, first = (await viewer.get("/v1/workflows")).json()["items"]
        moment = first["requested_at"]
        assert await found(until=moment) == []
        assert first["run_id"] in await found(since=moment)
        assert (await viewer.get("/v1/workflows", params={"since": "2026-01-01"})).status_code == 422


async def test_prometheus_sees_requests_work_and_errors(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:
        await viewer.get(f"/v1/workflows/{story.RUN}")
        await viewer.get(f"/v1/workflows/{story.id_of('none')}")
        text = (await viewer.get("/metrics")).text
    assert 'route="/v1/workflows/{run_id}",status="200"' in text
    assert 'caravan_errors_total{kind="not-found"}' in text
    assert 'caravan_workflow_seconds_count{kind="mutual_ranking",state="completed"} 1.0' in text
    assert "caravan_training_samples_per_second 0.0" in text
    assert 'type="input"}' in text
    assert 'caravan_step_seconds_bucket{le="0.25",phase=' in text
    assert 'caravan_queue_waiting{queue="runs"}' in text
    assert 'caravan_queue_oldest_seconds{queue="trainings"}' in text
    assert 'caravan_takeovers_total{queue="runs"}' in text
    assert 'caravan_calls_repeated_total{kind="mutual_ranking"} 1.0' in text
    assert 'caravan_jobs_dead{queue="maintenance"} 1.0' in text
    assert 'caravan_job_attempts_failed_total{queue="maintenance"} 3.0' in text
    assert 'caravan_projection_lag{projection="workflow_runs"} 0.0' in text
    assert f"caravan_relay_lag {library.core.store.head()}.0" in text
    assert str(story.RUN) not in text


async def test_prometheus_sees_what_projections_and_policies_set_aside(gateway: Gateway) -> None:
    gateway.tell(story.roster())
    PolicyCheckpoints(gateway.core.engine).park("propose_pairs", 1, "no such run")
    with gateway.core.engine.begin() as db:
        checkpoints.park(db, "workflow_runs", Poison(1, "workflow.requested", story.RUN, ValueError("odd")))
    async with gateway.client(Role.VIEWER) as viewer:
        text = (await viewer.get("/metrics")).text
        health = (await viewer.get("/health")).json()
    assert health["policies"] == [{"policy": "propose_pairs", "position": 1, "parked": 1}]
    assert health["status"] == "degraded"
    assert 'caravan_policy_parked{policy="propose_pairs"} 1.0' in text
    assert 'caravan_policy_lag{policy="propose_pairs"} 1.0' in text
    assert 'caravan_projection_parked{projection="workflow_runs"} 1.0' in text


async def test_health_tells_each_parts_state_and_latency(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as viewer:
        answer = await viewer.get("/health")
    health = answer.json()
    assert (answer.status_code, health["status"]) == (503, "degraded")
    states = {check["name"]: check["state"] for check in health["checks"]}
    assert states == {"postgres": "ok", "files": "ok", "nats": "failed", "model_server": "failed", "stream": "failed"}
    assert all(check["latency_ms"] >= 0 for check in health["checks"])
    assert health["relay"] == {"position": 0, "lag": library.core.store.head()}
    assert {one["lag"] for one in health["projections"]} == {0}
