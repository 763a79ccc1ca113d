"""What the command line tells of what the gateway answers, also while the read models are behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from gateway.cli import client
from gateway.cli.datasets import save
from tests.unit.gateway.terminal import run
from tests.unit.ui.scripted_gateway import ScriptedGateway

WRITTEN = {"id": "e1", "version": 1, "position": 7}


def test_an_evaluation_waits_for_its_job_to_be_known(gateway: ScriptedGateway) -> None:
    found = {"evaluation_id": "e1", "job_id": "j1", "state": "completed", "figures": None, "reason": None}
    gateway.answers_with(WRITTEN)
    gateway.standing |= {"/v1/evaluations/e1": found, "/v1/jobs/j1": {"progress": ""}}
    assert run("evaluations", "start", "team@1").exit_code == 0
    assert "/v1/jobs/j1?after=7" in [request.path for request in gateway.requests]


def rolled_back(name: str) -> Result:
    return run("adapters", "rollback", name, "--reason", "worse")


@pytest.mark.parametrize(
    ("name", "believed"), [("team", {}), ("team@production", {}), ("team@2", {"adapter": "team@2"})]
)
def test_a_rollback_names_the_adapter_that_one_believes_in_use(
    gateway: ScriptedGateway, name: str, believed: dict[str, str]
) -> None:
    gateway.answers_with(WRITTEN)
    rows = [
        {"adapter_id": "e1", "name": "team@2", "in_use": False},
        {"adapter_id": "e0", "name": "team@1", "in_use": 1},
    ]
    gateway.standing["/v1/adapters"] = {"items": rows, "next": None}
    assert rolled_back(name).stdout == "team@2 is out of use; team means team@1 from the next run on\n"
    asked = gateway.requests[0]
    assert (asked.path, json.loads(asked.body)) == ("/v1/adapters/team/rollback", {"reason": "worse", **believed})


def test_a_rollback_that_is_written_is_told_as_such_though_nobody_knows_of_it_yet(gateway: ScriptedGateway) -> None:
    gateway.answers_with(WRITTEN)
    gateway.answers_with({"title": "Unavailable"}, status=503)
    late = rolled_back("team")
    assert (late.exit_code, "position  7" in late.stdout) == (0, True)
    gateway.answers_with(WRITTEN, {"items": [], "next": None})
    unlisted = rolled_back("team")
    assert (unlisted.exit_code, unlisted.stdout) == (0, late.stdout)


def test_a_rubric_tells_which_criteria_compare_the_two_answers(gateway: ScriptedGateway) -> None:
    truth = {"name": "truth", "question": "True?", "levels": ["left", "right"], "compares": True}
    gateway.standing["/v1/annotations/rubric"] = {"version": 1, "annotators": 2, "criteria": [truth]}
    _, head, row = run("annotations", "rubric").stdout.splitlines()
    assert (head.split()[-1], row.split()[-1]) == ("compares", "True")


def test_each_part_of_a_dataset_is_saved_beside_what_is_trained_on(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.answers_with(b"to train on\n", b"to test with\n")
    built = {"dataset_id": "d1", "recipe": {"parts": [{"name": "test", "percent": 10.0}]}}
    save(client.Api(gateway.url, "crv_secret"), built, tmp_path / "pairs.jsonl")
    assert [request.path.partition("?")[2] for request in gateway.requests] == ["part=train", "part=test"]
    assert (tmp_path / "pairs.jsonl").read_text() == "to train on\n"
    assert (tmp_path / "pairs.test.jsonl").read_text() == "to test with\n"


def test_words_that_belong_to_an_edit_are_not_thrown_away(gateway: ScriptedGateway) -> None:
    pair = "5d1f7c0a-0000-4000-8000-000000000001"
    refused = run("annotate", pair, "accepted", "--chosen", "rather so")
    assert (refused.exit_code, gateway.requests) == (2, [])


def test_a_training_says_how_many_pairs_it_had_no_room_for(gateway: ScriptedGateway) -> None:
    dataset = "5d1f7c0a-0000-4000-8000-000000000002"
    ended = {"run_id": "e1", "state": "completed", "pairs": 62, "step": 2, "total_steps": 2, "reason": None}
    progress = {"loss": 0.6, "margin": 0.1}
    gateway.answers_with(WRITTEN)
    gateway.standing |= {
        f"/v1/datasets/{dataset}": {"pairs": 200},
        "/v1/training-runs/e1": ended | progress,
        "/v1/training-runs/e1/health": {"items": [], "next": None},
    }
    trained = run("train", "team", "--dataset", dataset)
    assert (trained.exit_code, "trains on 64 of its 200 pairs" in trained.stderr) == (0, True), trained.output
    assert "2 of them were left out: their prompts alone fill max_length" in trained.stderr


def test_a_run_that_fell_short_says_why(gateway: ScriptedGateway) -> None:
    short = {"run_id": "r1", "state": "timed_out", "kind": "mutual_ranking", "reason": "it took longer than 5 s"}
    gateway.answers_with(WRITTEN)
    gateway.standing["/v1/workflows"] = {"items": [short, short | {"state": "completed"}], "next": None}
    ran = run("run", "Why?", "--no-wait")
    assert (ran.exit_code, ran.stderr) == (1, "✗ run r1 timed out: it took longer than 5 s\n")


@pytest.mark.parametrize(("set_aside", "exit_code"), [(2, 1), (1, 0)])
def test_an_import_of_which_no_row_could_be_read_has_failed(
    gateway: ScriptedGateway, tmp_path: Path, set_aside: int, exit_code: int
) -> None:
    counts = {"rows": 2, "added": 2 - set_aside, "known": 0, "ties": 0, "set_aside": set_aside}
    job = {"job_id": "e1", "state": "succeeded", "progress": None, "result": counts | {"form": "hh", "faults": []}}
    gateway.answers_with({}, WRITTEN)
    gateway.standing["/v1/jobs/e1"] = job
    (tmp_path / "rows.jsonl").write_bytes(b"{}\n{}\n")
    assert run("import", str(tmp_path / "rows.jsonl")).exit_code == exit_code


def promoted() -> Result:
    return run("adapters", "promote", "team@1", "--reason", "better")


def test_who_promotes_an_adapter_that_a_server_refuses_is_told_so(gateway: ScriptedGateway) -> None:
    gateway.answers_with(WRITTEN)
    gateway.standing["/v1/serving"] = {"replicas": [{"refused": {"team@1": "it has lora_alpha 64"}}, {"refused": {}}]}
    refused = promoted()
    assert (refused.exit_code, refused.stdout) == (0, "team@1 is in use from the next run on\n")
    assert refused.stderr.endswith("refuses it: it has lora_alpha 64\n")


def test_a_promotion_is_one_though_nobody_knows_what_servers_make_of_it(gateway: ScriptedGateway) -> None:
    gateway.answers_with(WRITTEN)
    gateway.answers_with({"title": "Unavailable"}, status=503)
    assert (promoted().exit_code, gateway.answers) == (0, [])


def test_a_training_that_is_over_ends_its_log_with_its_state(gateway: ScriptedGateway) -> None:
    run_id = "5d1f7c0a-0000-4000-8000-000000000003"
    told = b'event: log\nid: 3\ndata: {"text": "7%|"}\n\nevent: over\ndata: {"state": "cancelled"}\n\n'
    gateway.answers_with(told)
    followed = run("trainings", "log", run_id, "--follow")
    assert (followed.stdout, followed.stderr) == ("7%|", "\nthe training is cancelled\n")
