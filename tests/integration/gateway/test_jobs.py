"""Jobs over HTTP: asked for, read, replayed and cancelled; how the queues and the schedules stand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.presence import Presence
from commands.lora_adapters import RetireAdapter
from commands.policies.held_job import Attempt
from domain.access import Role
from gateway.job_handlers import job_handlers
from tests import story
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import Gateway
from tests.scripted_agents import ScriptedAgents

DEAD, DONE = story.id_of("dead job"), story.id_of("replayed job")


async def test_a_job_is_asked_for_and_read_with_its_history(gateway: Gateway) -> None:
    async with gateway.client(Role.OPERATOR) as client:
        asked = await client.post("/v1/jobs", json={"kind": "clean-up", "payload": {"log_days": 7}})
        assert asked.status_code == 202
        gateway.catch_up()
        job = (await client.get(asked.headers["location"])).json()
    assert (job["state"], job["queue"], job["priority"]) == ("waiting", "maintenance", "normal")
    assert (job["payload"], job["actor"]) == ({"log_days": 7}, "operator")
    assert [event["type"] for event in job["history"]] == ["job.requested"]


async def test_a_job_can_be_asked_for_later(gateway: Gateway) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    async with gateway.client() as client:
        body = {"kind": "clean-up", "not_before": later.isoformat()}
        assert (await client.post("/v1/jobs", json=body)).status_code == 202
        gateway.catch_up()
        (queue,) = (await client.get("/v1/jobs/queues")).json()["items"]
    assert (queue["depth"], queue["resting"], queue["oldest_seconds"]) == (0, 1, 0)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            {"kind": "launder"},
            "there is audit-check, clean-up, import, orphans, parked-report, reconcile-adapters, withdraw-import",
        ),
        ({"kind": "clean-up", "payload": {"log_days": "all"}}, "Expected `int`, got `str` - at `$.log_days`"),
        ({"kind": "clean-up", "payload": {"root": "/"}}, "unknown field `root`"),
    ],
)
async def test_what_no_worker_could_do_is_refused(gateway: Gateway, body: dict[str, Any], why: str) -> None:
    async with gateway.client() as client:
        answer = await client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert why in answer.json()["detail"]


async def test_a_viewer_may_read_jobs_and_nothing_else(told: Gateway) -> None:
    async with told.client(Role.ANNOTATOR) as client:
        assert (await client.get("/v1/jobs")).status_code == 200
        for path in ("/v1/jobs", f"/v1/jobs/{DEAD}/replay", f"/v1/jobs/{DEAD}/cancel"):
            assert (await client.post(path, json={"kind": "clean-up"})).status_code == 403


async def test_jobs_are_found_by_state_queue_kind_priority_and_schedule(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as client:

        async def found(**query: str) -> list[str]:
            return [job["state"] for job in (await client.get("/v1/jobs", params=query)).json()["items"]]

        assert await found() == ["succeeded", "dead", "cancelled", "succeeded"]
        assert await found(state="dead") == ["dead"]
        assert await found(kind="clean-up") == []
        assert len(await found(queue="maintenance", kind="orphans", priority="normal", schedule="orphans")) == 4


async def test_a_result_and_every_attempt_can_be_read(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as client:
        job = (await client.get(f"/v1/jobs/{DONE}")).json()
    assert (job["result"], job["failures"], job["attempt"]) == ({"runs": [], "trainings": []}, 2, 1)
    assert [event["type"].removeprefix("job.") for event in job["history"]] == [
        *("requested", "started", "progressed", "released", "started", "attempt_failed"),
        *("started", "attempt_failed", "dead_lettered", "replayed", "started", "succeeded"),
    ]


async def test_adapters_are_compared_with_what_is_registered_now(gateway: Gateway) -> None:
    """Also where the read models are behind."""
    core = gateway.core
    gateway.tell(story.adapter(2))
    core.bus.execute(RetireAdapter("team@2"), an_envelope())
    core.store.session(story.ENVELOPE).save(story.promoted_adapter())
    handlers = job_handlers(core, Presence(core.engine), datetime.now(UTC), ScriptedAgents())
    found = await handlers["reconcile-adapters"]({}, Attempt(DONE, 1))
    assert found["missing"] == ["team@1"]


async def test_a_large_result_is_read_from_its_file_unless_that_is_lost_or_changed(gateway: Gateway) -> None:
    content = {"foreign": ["x" * 100] * 1000}
    file = gateway.core.job_results.keep(json.dumps(content).encode())
    job = story.dead_job()
    job.replay(at=story.at(63))
    job.start("worker-1", at=story.at(63))
    job.succeed(2, file, at=story.at(64))
    gateway.tell(job)
    async with gateway.client(Role.VIEWER) as client:
        assert (await client.get(f"/v1/jobs/{DEAD}")).json()["result_file"]["size"] == file.size > 100_000
        assert (await client.get(f"/v1/jobs/{DEAD}/result")).json() == content
        (written,) = (gateway.core.settings.artifacts / "jobs").iterdir()
        written.write_text("{}")
        assert (await client.get(f"/v1/jobs/{DEAD}/result")).status_code == 404
        written.unlink()
        assert (await client.get(f"/v1/jobs/{DEAD}/result")).status_code == 404


async def test_a_job_that_did_not_succeed_has_no_result(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as client:
        answer = await client.get(f"/v1/jobs/{DEAD}/result")
        assert (answer.status_code, answer.json()["detail"]) == (409, "the job is dead and has no result")
        assert (await client.get(f"/v1/jobs/{DONE}/result")).json() == {"runs": [], "trainings": []}


async def test_a_dead_letter_is_replayed_once_and_then_cancelled(told: Gateway) -> None:
    async with told.client(Role.OPERATOR) as client:
        assert (await client.post(f"/v1/jobs/{DEAD}/replay", headers={"If-Match": '"9"'})).status_code == 412
        assert (await client.post(f"/v1/jobs/{DEAD}/replay")).status_code == 200
        again = await client.post(f"/v1/jobs/{DEAD}/replay")
        assert (again.status_code, again.json()["detail"]) == (
            409,
            "the job is waiting; only dead letters can be replayed",
        )
        cancelled = await client.post(f"/v1/jobs/{DEAD}/cancel", json={"reason": "not needed"})
        assert cancelled.status_code == 200
        told.catch_up()
        job = (await client.get(f"/v1/jobs/{DEAD}")).json()
    assert (job["state"], job["reason"]) == ("cancelled", "not needed")


async def test_a_dead_letter_is_let_be_and_nobody_is_called_for_it_any_more(told: Gateway) -> None:
    async with told.client(Role.OPERATOR) as client:

        async def dead() -> list[int]:
            told.catch_up()
            return [queue["dead"] for queue in (await client.get("/v1/jobs/queues")).json()["items"]]

        assert await dead() == [1]
        let_be = await client.post(f"/v1/jobs/{DEAD}/cancel", json={"reason": "the disk is replaced"})
        assert let_be.status_code == 200
        assert await dead() == [0]
        job = (await client.get(f"/v1/jobs/{DEAD}")).json()
        metrics = (await client.get("/metrics")).text
    assert (job["state"], job["reason"], job["error"]) == ("cancelled", "the disk is replaced", "no database")
    assert 'caravan_jobs_dead{queue="maintenance"} 0.0' in metrics


async def test_the_schedules_say_when_they_are_due_and_what_the_last_job_came_to(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as client:
        schedules = {each["name"]: each for each in (await client.get("/v1/schedules")).json()["items"]}
    assert schedules["orphans"]["last_job"]["state"] == "succeeded"
    assert schedules["clean-up"]["last_job"] is None
    due = datetime.fromisoformat(schedules["clean-up"]["next_due"])
    assert due > datetime.now(UTC)
    assert (due.hour, due.minute) == (3, 30)


async def test_the_kinds_say_what_they_take(library: Gateway) -> None:
    async with library.client(Role.VIEWER) as client:
        kinds = {each["name"]: each for each in (await client.get("/v1/jobs/kinds")).json()["items"]}
    assert kinds["clean-up"]["queue"] == "maintenance"
    assert "log_days" in str(kinds["clean-up"]["payload"])
