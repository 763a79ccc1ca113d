"""The command line against a Caravan that runs; what it prints with --json is what the OpenAPI document promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from gateway.cli import app
from tests.living_caravan import LivingCaravan
from tests.loop import eventually
from tests.requirements import needs_real_inputs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def openapi(caravan: LivingCaravan) -> dict[str, Any]:
    document: dict[str, Any] = caravan.api().get("/openapi.json").json()
    return document


def test_a_run_is_started_watched_listed_and_read(caravan: LivingCaravan, openapi: dict[str, Any]) -> None:
    (run,) = printed(caravan, "run", "Name a bird.", "--max-tokens", "8")
    assert run["state"] == "completed"
    must_fit(openapi, "/v1/workflows/{run_id}", run)
    assert run in printed(caravan, "runs", "--batch", run["batch"])
    assert printed(caravan, "runs", "--until", "2020-01-01T00:00:00Z") == []
    entries = printed(caravan, "logs", "--run", run["run_id"], "--limit", "200")
    assert len(entries) == run["steps"]
    assert {entry["phase"] for entry in entries} == {"answer", "score"}


def test_real_tasks_with_two_turns_are_read_from_a_file(caravan: LivingCaravan, tmp_path: Path) -> None:
    lines = (needs_real_inputs() / "mt_bench_questions.jsonl").read_text().splitlines()
    two = tmp_path / "two.jsonl"
    two.write_text("\n".join(lines[:2]))
    runs = printed(caravan, "run", "--tasks", str(two), "--max-tokens", "4")
    assert sorted(run["ref"] for run in runs) == ["81", "82"]
    assert {(run["state"], run["turns"]) for run in runs} == {("completed", 2)}


def test_a_pair_is_annotated_and_a_dataset_built_and_saved(
    caravan: LivingCaravan, openapi: dict[str, Any], tmp_path: Path
) -> None:
    printed(caravan, "run", "Name a fish.", "--max-tokens", "8")
    pair, *_ = eventually(lambda: printed(caravan, "preferences"))
    printed(caravan, "annotate", pair["preference_id"], "flipped", "--note", "the other one swims")
    file = tmp_path / "pairs.jsonl"
    dataset = printed(caravan, "dataset", "build", "--annotated-only", "--output", str(file))
    must_fit(openapi, "/v1/datasets/{dataset_id}", dataset)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert dataset["pairs"] == len(rows) >= 1
    assert dataset in printed(caravan, "dataset", "list")


def test_agents_events_read_models_and_processes_can_be_looked_at(caravan: LivingCaravan) -> None:
    assert "agents:" in caravan_says(caravan, "agents", "show").stdout
    assert "4 agents" in caravan_says(caravan, "agents", "validate", "configs/agents.yaml").stdout
    (event,) = printed(caravan, "events", "--type", "agent_roster", "--limit", "1")
    assert event["type"] == "agent_roster.revised"
    assert {model["name"] for model in printed(caravan, "projections", "list")} >= {"workflow_runs", "lora_adapters"}
    assert {child["name"] for child in printed(caravan, "status")} >= {"postgres", "nats", "gateway", "worker"}


def test_read_models_are_rebuilt_while_everything_runs(caravan: LivingCaravan) -> None:
    before = printed(caravan, "runs")
    caravan_says(caravan, "projections", "rebuild", "workflow_runs", "interaction_logs")
    assert printed(caravan, "runs") == before


def test_tokens_come_and_go(caravan: LivingCaravan) -> None:
    made = printed(caravan, "tokens", "create", "grace", "--role", "viewer")
    assert refused(caravan, "stop", "01890a5d-ac96-774b-bcce-b302099a8057", token=made["token"]).count("operator") == 1
    caravan_says(caravan, "tokens", "revoke", "grace")
    (grace,) = [token for token in printed(caravan, "tokens", "list") if token["name"] == "grace"]
    assert grace["revoked_at"]
    assert made["token"] not in json.dumps(grace)


def test_what_cannot_be_done_is_said_in_one_sentence(caravan: LivingCaravan, tmp_path: Path) -> None:
    assert "mutual_ranking" in refused(caravan, "run", "Hello", "--kind", "duel")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("not a task")
    assert f"{bad.name}:1" in refused(caravan, "run", "--tasks", str(bad)).replace("\n", "")
    assert "no token" in refused(caravan, "runs", token="")
    assert caravan_says(caravan, "run", check=False).exit_code == 2


def test_every_kind_of_job_that_needs_no_file_is_done_by_the_workers(
    caravan: LivingCaravan, openapi: dict[str, Any]
) -> None:
    kinds = [kind for kind in printed(caravan, "jobs", "kinds") if kind["queue"] != "exchange"]
    for kind in kinds:
        job = printed(caravan, "jobs", "run", kind["name"])
        assert (job["state"], job["attempt"]) == ("succeeded", 1), job
        assert json.loads(caravan_says(caravan, "jobs", "result", job["job_id"]).stdout) == job["result"]
        shown = printed(caravan, "jobs", "show", job["job_id"])
        must_fit(openapi, "/v1/jobs/{job_id}", shown)
    assert {queue["queue"] for queue in printed(caravan, "jobs", "queues")} >= {kind["queue"] for kind in kinds}


def printed(caravan: LivingCaravan, *arguments: str) -> Any:
    """What the command prints with --json."""
    return json.loads(caravan_says(caravan, *arguments, "--json").stdout)


def refused(caravan: LivingCaravan, *arguments: str, token: str | None = None) -> str:
    """Why it fails, with exit code 1."""
    done = caravan_says(caravan, *arguments, check=False, token=token)
    assert done.exit_code == 1, done.stdout
    return done.stderr


def caravan_says(caravan: LivingCaravan, *arguments: str, check: bool = True, token: str | None = None) -> Result:
    """What `caravan ARGUMENTS` says, without a Python of its own each time."""
    named = {"CARAVAN_TOKEN": caravan.token if token is None else token, "DATABASE_URL": None, "NATS_URL": None}
    done = CliRunner().invoke(app, arguments, env={**caravan.environment, **named})
    assert done.exc_info is None or done.exc_info[0] is SystemExit, "a terminal would show a traceback"
    if check:
        assert done.exit_code == 0, done.stderr
    return done


def must_fit(openapi: dict[str, Any], path: str, answer: object) -> None:
    """Raises ValidationError unless it is what GET of that path promises."""
    content = openapi["paths"][path]["get"]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": openapi["components"]}
    Draft202012Validator(schema).validate(answer)
