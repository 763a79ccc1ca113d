"""Commands over HTTP: no lost edit, and reads that know what was just written."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.types import Message

from adapters.loop_waits import is_on_loop
from commands.preferences import ProposePreference
from commands.roster import ReviseRoster
from commands.workflows import EndAtLimit, StartWorkflow
from domain.access import Role
from domain.limits import Limit
from domain.ports.events import Written
from gateway import requests
from tests import story
from tests.builders import an_id
from tests.fakes import an_envelope
from tests.integration.gateway.conftest import AGENTS, PAIR, Gateway, put_agents

TASK = {"turns": ["Why is the sky blue?", "And at night?"], "ref": "sky-1"}


async def test_a_run_is_requested_followed_and_stopped(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await put_agents(client)
        asked = await client.post("/v1/workflows", json={"task": TASK, "batch": "b", "max_tokens": 40})
        assert asked.status_code == 202
        written = asked.json()
        assert asked.headers["location"] == f"/v1/workflows/{written['id']}"
        assert asked.headers["x-caravan-position"] == str(written["position"])

        gateway.catch_up()
        read = await client.get(asked.headers["location"], params={"after": written["position"]})
        run = read.json()
        assert (run["state"], run["actor"], run["ref"], run["turns"]) == ("requested", "admin", "sky-1", 2)
        assert read.headers["etag"] == '"1"'

        stale = await client.post(f"{asked.headers['location']}/stop", headers={"If-Match": '"7"'})
        assert stale.status_code == 412
        stopped = await client.post(
            f"{asked.headers['location']}/stop", headers={"If-Match": read.headers["etag"]}, json={"reason": "enough"}
        )
        assert (stopped.status_code, stopped.json()["version"]) == (200, 2)
        again = await client.post(f"{asked.headers['location']}/stop")
        assert (again.status_code, again.json()["type"]) == (409, "urn:caravan:problem:already-done")


async def test_a_run_is_limited_paused_resumed_and_retried(gateway: Gateway) -> None:
    async with gateway.client(Role.OPERATOR) as operator, gateway.client() as admin:
        await put_agents(admin)
        limits = {"tokens": 500, "steps": 1, "seconds": 60, "step_seconds": 2.5}
        asked = await operator.post("/v1/workflows", json={"task": TASK, "limits": limits})
        here, id = asked.headers["location"], UUID(asked.json()["id"])

        async def run() -> dict[str, Any]:
            gateway.catch_up()
            found: dict[str, Any] = (await operator.get(here)).json()
            return found

        assert (await run())["limits"] == limits
        assert (await operator.post(f"{here}/pause", json={"reason": "a deployment"})).status_code == 200
        assert {"state": "paused", "reason": "a deployment"}.items() <= (await run()).items()
        assert (await operator.post(f"{here}/pause")).json()["detail"] == "the run is paused"
        assert (await operator.get("/v1/workflows", params={"state": "paused"})).json()["items"][0]["run_id"] == str(id)
        assert (await operator.post(f"{here}/resume", headers={"If-Match": '"2"'})).status_code == 200
        assert (await operator.post(f"{here}/resume")).status_code == 409
        assert (await operator.post(f"{here}/retry")).status_code == 409

        for command in (StartWorkflow(id, "worker-1", ()), EndAtLimit(id, 1, Limit.STEP_SECONDS)):
            gateway.core.bus.execute(command, an_envelope())
        assert (await run())["reason"] == "a step took longer than its limit of 2.5 s"
        again = await operator.post(f"{here}/retry", json={"limits": {"steps": 9}, "reason": "more"})
        assert again.status_code == 200
        assert {"state": "requested", "finished_at": None, "reason": None}.items() <= (await run()).items()
        assert (await run())["limits"] == dict.fromkeys(limits) | {"steps": 9}


@pytest.mark.parametrize(
    "limits", [{"steps": 0}, {"seconds": -1}, {"tokens": 1.5}, {"step_seconds": 1e300}, {"cost": 1}]
)
async def test_limits_that_make_no_sense_are_refused(gateway: Gateway, limits: dict[str, float]) -> None:
    async with gateway.client() as client:
        await put_agents(client)
        answer = await client.post("/v1/workflows", json={"task": TASK, "limits": limits})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/limits/{next(iter(limits))}"


async def test_a_run_is_forked_and_compared_with_what_it_was_forked_from(gateway: Gateway) -> None:
    gateway.tell()
    shared = [str(step) for step in story.STEPS.values()]
    async with gateway.client(Role.OPERATOR) as operator:
        body = {"step": shared[-1], "changes": [{"agent": "ada", "system_message": "Be kind.", "adapter": None}]}
        asked = await operator.post(f"/v1/workflows/{story.RUN}/fork", json=body)
        assert asked.status_code == 202, asked.text
        gateway.catch_up()
        fork = (await operator.get(asked.headers["location"])).json()
        assert (fork["forked_from"], fork["forked_at"], fork["shared"]) == (str(story.RUN), shared[-1], shared)
        forks = (await operator.get("/v1/workflows", params={"forked_from": str(story.RUN)})).json()["items"]
        assert [run["run_id"] for run in forks] == [fork["run_id"], str(story.id_of("forked run"))]

        steps = (await operator.get(f"/v1/workflows/{story.id_of('forked run')}/steps")).json()["items"]
        assert [step["run_id"] for step in steps] == [str(story.RUN)] * 2 + [str(story.id_of("forked run"))]
        compared = (await operator.get(f"/v1/workflows/{story.id_of('forked run')}/diff")).json()
        assert (compared["against"], compared["shared"]) == (str(story.RUN), 2)
        (item,) = compared["items"]
        assert (item["phase"], item["mine"]["score"], item["theirs"]["score"]) == ("score", -1.25, -1.5)

        whole = (await operator.get(f"/v1/workflows/{story.RUN}/diff", params={"against": fork["run_id"]})).json()
        assert (whole["shared"], [item["theirs"] for item in whole["items"]]) == (2, [None])
        alone = await operator.get(f"/v1/workflows/{story.RUN}/diff")
        assert (alone.status_code, "no fork" in alone.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agent": "eve"}, "not in the run: eve; there is ada, bob"),
        ({"agent": "ada", "adapter": "team@77"}, "there is no adapter team@77"),
        ({"agent": "ada", "model": {"platform": "embedded", "name": "x", "url": "http://127.0.0.1/v1"}}, "embedded"),
        ({"agent": "ada", "system_message": "  "}, "must not be blank"),
        ({"agent": "ada", "tools": ["shell"]}, "not known"),
    ],
)
async def test_a_fork_that_cannot_be_made_says_why(gateway: Gateway, change: dict[str, object], said: str) -> None:
    gateway.tell()
    async with gateway.client(Role.OPERATOR) as operator:
        answer = await operator.post(f"/v1/workflows/{story.RUN}/fork", json={"step": None, "changes": [change]})
    assert answer.status_code == 422
    assert said in answer.text


@pytest.mark.parametrize("batch", ["a&b", "Größe 日本", "two\nlines", "50%"])
async def test_a_batch_of_any_name_is_found_at_its_location(gateway: Gateway, batch: str) -> None:
    async with gateway.client() as client:
        await put_agents(client)
        answer = await client.post("/v1/workflows/batch", json={"tasks": [TASK, TASK], "batch": batch})
        assert (answer.status_code, answer.json()["batch"]) == (202, batch)
        gateway.catch_up()
        found = (await client.get(answer.headers["location"])).json()
        assert (found["name"], found["tasks"], found["waiting"]) == (batch, 2, 2)
        for wanted in (batch, found["batch_id"]):
            runs = (await client.get("/v1/workflows", params={"batch": wanted})).json()["items"]
            assert [run["batch"] for run in runs] == [batch, batch]


async def test_a_batch_with_one_bad_task_starts_nothing(gateway: Gateway) -> None:
    async with gateway.client() as client:
        await put_agents(client)
        head = gateway.core.store.head()
        answer = await client.post("/v1/workflows/batch", json={"tasks": [TASK, {"turns": ["  "]}]})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/tasks/1/turns/0"
    assert gateway.core.store.head() == head


async def test_the_envelope_says_who_why_and_in_which_trace(gateway: Gateway) -> None:
    correlation, trace = uuid4(), "ab" * 16
    headers = {
        "Idempotency-Key": "k",
        "X-Correlation-Id": str(correlation),
        "traceparent": f"00-{trace}-{'cd' * 8}-01",
    }
    async with gateway.client(Role.ANNOTATOR) as annotator:
        answer = await annotator.post("/v1/preferences", json=PAIR, headers=headers)
    (recorded,) = gateway.core.store.read()
    envelope = recorded.envelope
    assert envelope.actor.subject == "annotator"
    assert envelope.correlation_id == correlation
    assert envelope.command_id is not None
    assert envelope.traceparent == answer.headers["traceparent"]
    assert envelope.traceparent.split("-")[1] == trace


async def test_every_opinion_on_a_pair_is_kept_and_shown(gateway: Gateway) -> None:
    gateway.tell(story.preference("waiting"))
    path = f"/v1/preferences/{story.id_of('waiting')}"
    async with gateway.client(Role.ANNOTATOR) as annotator:
        flip = await annotator.post(
            f"{path}/annotations", json={"verdict": "flipped", "note": "no"}, headers={"If-Match": '"1"'}
        )
        assert (flip.status_code, flip.json()["version"]) == (201, 2)
        late = await annotator.post(f"{path}/annotations", json={"verdict": "accepted"}, headers={"If-Match": '"1"'})
        assert (late.status_code, late.json()["type"]) == (412, "urn:caravan:problem:version-conflict")
        edit = {"verdict": "edited", "chosen": "It pours.", "note": "better"}
        assert (await annotator.post(f"{path}/annotations", json=edit)).status_code == 201
        assert (await annotator.delete(path, params={"reason": "a test"})).status_code == 200
        gone = await annotator.post(f"{path}/annotations", json={"verdict": "accepted"})
        assert gone.status_code == 409
        gateway.catch_up()
        pair = (await annotator.get(path)).json()
    assert (pair["state"], pair["annotated_by"], pair["chosen"][-1]["content"]) == (
        "withdrawn",
        "annotator",
        "It pours.",
    )
    assert [event["type"] for event in pair["history"]] == [
        "preference.proposed",
        "preference.annotated",
        "preference.revised",
        "preference.withdrawn",
    ]


async def test_an_edit_without_texts_and_a_made_up_verdict_are_refused(gateway: Gateway) -> None:
    path = f"/v1/preferences/{story.id_of('waiting')}/annotations"
    async with gateway.client() as client:
        for body in ({"verdict": "edited"}, {"verdict": "loved"}, {"verdict": "accepted", "chosen": "x"}, {}):
            assert (await client.post(path, json=body)).status_code == 422


async def test_a_read_after_a_write_waits_for_the_read_model(gateway: Gateway) -> None:
    async with gateway.client() as client:
        position = (await client.post("/v1/preferences", json=PAIR)).json()["position"]
        later = threading.Timer(0.5, gateway.catch_up)
        began = time.monotonic()
        later.start()
        answer = await client.get("/v1/preferences", params={"after": position})
        later.join()
    assert time.monotonic() - began >= 0.4
    assert len(answer.json()["items"]) == 1
    assert answer.json()["position"] >= position


async def test_a_client_that_reads_its_answer_slowly_holds_no_connection(gateway: Gateway) -> None:
    pool = gateway.core.engine.pool
    in_use: list[int] = []

    async def slowly(message: Message) -> None:
        in_use.append(pool.checkedout())  # type: ignore[attr-defined]

    async def nothing() -> Message:
        return {"type": "http.request"}

    token = f"Bearer {gateway.tokens[Role.VIEWER]}".encode()
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/datasets",
        "query_string": b"",
        "headers": [(b"authorization", token)],
    }
    await gateway.app(scope, nothing, slowly)
    assert in_use == [0, 0]


async def test_a_read_model_that_does_not_come_is_told_as_503(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "CATCH_UP_SECONDS", 0.3)
    async with gateway.client() as client:
        position = (await client.post("/v1/preferences", json=PAIR)).json()["position"]
        answer = await client.get("/v1/preferences", params={"after": position})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:caravan:problem:not-caught-up"


async def test_a_training_is_requested_watched_and_cancelled(gateway: Gateway) -> None:
    gateway.tell(story.dataset())
    body = {"dataset_id": str(story.id_of("dataset")), "alias": "team", "config": {"max_steps": 3, "beta": 0.2}}
    async with gateway.client(Role.OPERATOR) as operator:
        asked = await operator.post("/v1/training-runs", json=body)
        assert asked.status_code == 202, asked.text
        path = asked.headers["location"]
        gateway.catch_up()
        run = (await operator.get(path)).json()
        config = run["config"]
        assert (run["base_model"], run["start_from"]) == ("smollm2-135m-instruct", None)
        assert (config["max_steps"], config["per_device_train_batch_size"]) == (3, 4)
        assert (await operator.get(f"{path}/log")).text == ""
        log = gateway.core.training_log(UUID(run["run_id"]))
        log.parent.mkdir(parents=True)
        log.write_text("step 1\nstep 2\n")
        assert (await operator.get(f"{path}/log", params={"tail": 7})).text == "step 2\n"
        assert (await operator.post(f"{path}/cancel", json={"reason": "too slow"})).status_code == 200
        assert (await operator.post(f"{path}/cancel")).status_code == 409
        for config in ({"max_steps": 0}, {"max_steps": 10**30}, {"no_such_setting": 1}, {"learning_rate": "fast"}):
            assert (await operator.post("/v1/training-runs", json=body | {"config": config})).status_code == 422, config
        old = await operator.post("/v1/training-runs", json=body | {"config": {"steps": 3, "lora_rank": 4}})
        assert (old.status_code, "lora_rank is r, steps is max_steps" in old.text) == (422, True)
        nowhere = await operator.post("/v1/training-runs", json=body | {"start_from": "team@9"})
        assert (nowhere.status_code, "team@9" in nowhere.text) == (404, True)
        refused = await operator.post("/v1/training-runs", json=body | {"base_model": "gpt-2"})
        assert (refused.status_code, "there is smollm2-135m-instruct" in refused.text) == (422, True)


async def test_an_adapter_is_promoted_and_retired(gateway: Gateway) -> None:
    gateway.tell(story.adapter(1))
    async with gateway.client(Role.OPERATOR) as operator:
        (adapter,) = (await operator.get("/v1/adapters")).json()["items"]
        path = f"/v1/adapters/{adapter['name']}"
        tag = (await operator.get(path)).headers["etag"]
        why = {"reason": "better"}
        for silent in ({}, {"reason": ""}, {"reason": "  "}):
            assert (await operator.post(f"{path}/promote", json=silent)).status_code == 422
        assert (await operator.post(f"{path}/promote", json=why, headers={"If-Match": tag})).status_code == 200
        assert (await operator.post(f"{path}/promote", json=why, headers={"If-Match": tag})).status_code == 412
        again = await operator.post(f"{path}/promote", json=why)
        assert (again.status_code, "operator promoted it at" in again.json()["detail"]) == (409, True)
        assert (await operator.post(f"{path}/retire", json={"reason": "old"})).status_code == 200
        assert (await operator.post(f"{path}/promote", json=why)).status_code == 409
        gateway.catch_up()
        assert (await operator.get(path)).json()["in_use"] is False


async def test_agents_yaml_keeps_its_comments_and_no_edit_is_lost(gateway: Gateway) -> None:
    edited = AGENTS.replace("physicist", "chemist")
    async with gateway.client() as admin:
        assert (await admin.get("/v1/agents")).status_code == 404
        first = await admin.put("/v1/agents", content=AGENTS, params={"reason": "the first"})
        assert first.headers["etag"] == '"1"'
        assert (await admin.put("/v1/agents", content=edited)).status_code == 428
        assert (await admin.put("/v1/agents", content=edited, headers={"If-Match": '"3"'})).status_code == 412
        assert (await admin.put("/v1/agents", content=edited, headers={"If-Match": '"1"'})).status_code == 200
        gateway.catch_up()
        text = await admin.get("/v1/agents", headers={"Accept": "application/yaml"})
        assert (text.text, text.headers["content-type"]) == (edited, "application/yaml")
        assert (await admin.get("/v1/agents", headers={"If-None-Match": '"2"'})).status_code == 304
        as_json = (await admin.get("/v1/agents")).json()
        assert (as_json["revision"], as_json["agents"][0]["name"], as_json["author"]) == (2, "chemist", "admin")
        old = await admin.get("/v1/agents/revisions/1", headers={"Accept": "application/yaml"})
        assert old.text == AGENTS
        assert [one["revision"] for one in (await admin.get("/v1/agents/revisions")).json()["items"]] == [2, 1]
        assert (await admin.get("/v1/agents/revisions/0")).status_code == 404
        assert (await admin.get(f"/v1/agents/revisions/{2**40}")).status_code == 404


async def test_a_star_replaces_whichever_agents_yaml_there_is_but_not_none(gateway: Gateway) -> None:
    whichever = {"If-Match": "*"}
    async with gateway.client() as admin:
        assert (await admin.put("/v1/agents", content=AGENTS, headers=whichever)).status_code == 412
        await put_agents(admin)
        replaced = await admin.put("/v1/agents", content=AGENTS + "\n", headers=whichever)
        assert (replaced.status_code, replaced.json()["version"]) == (200, 2)


async def test_of_two_first_revisions_at_once_one_is_kept_and_a_repeat_of_it_gets_its_first_answer(
    gateway: Gateway,
) -> None:
    texts = [AGENTS, AGENTS.replace("physicist", "chemist")]
    async with gateway.client() as admin:
        answers = await asyncio.gather(
            *(
                admin.put("/v1/agents", content=text, headers={"Idempotency-Key": str(n)})
                for n, text in enumerate(texts)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 428]
        kept = [answer.status_code for answer in answers].index(200)
        again = await admin.put("/v1/agents", content=texts[kept], headers={"Idempotency-Key": str(kept)})
    assert (again.status_code, again.json()) == (200, answers[kept].json())


async def test_a_mistake_in_agents_yaml_is_told_with_its_line(gateway: Gateway) -> None:
    async with gateway.client() as admin:
        answer = await admin.put("/v1/agents", content=AGENTS.replace("ballot: likelihood", "ballot: dice", 1))
        assert answer.status_code == 422
        assert "line" in answer.json()["detail"]
        assert (await admin.put("/v1/agents", content=b"agents: \xff")).status_code == 422
        assert (await admin.put("/v1/agents", content=b"agents: \x00")).status_code == 422
    assert gateway.core.store.head() == 0


async def test_a_command_runs_on_the_loop_and_one_that_takes_long_to_decide_in_a_thread(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []

    def handled(_command: object, _session: object) -> Written:
        where.append(is_on_loop())
        return Written(an_id("anything"), 1, 1)

    monkeypatch.setitem(gateway.core.bus._handlers, ProposePreference, handled)
    monkeypatch.setitem(gateway.core.bus._handlers, ReviseRoster, handled)
    async with gateway.client() as client:
        await client.post("/v1/preferences", json=PAIR)
        await put_agents(client)
    assert where == [True, False]
