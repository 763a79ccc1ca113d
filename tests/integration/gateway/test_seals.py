"""Seals and proofs over HTTP, and how the command line looks at the log again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import verify_proof
from domain.access import Role
from domain.steps import Task
from domain.workflow import Workflow
from gateway.cli import app
from tests import story
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.sealing import seal


@pytest.fixture
def sealed(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A gateway after the whole story, all of it sealed; the command line is its own."""
    settings = told.core.settings
    monkeypatch.setenv("CARAVAN_HOME", str(settings.home))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("NATS_URL", str(settings.nats_url))
    seal(told)
    return told


def requested(name: str) -> Workflow:
    return Workflow.request(story.id_of(name), "mutual_ranking", Task(("?",)), 1, (), "", None, at=story.at(0))


def said(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["audit", *words], env={"TERM": "dumb", "COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def tamper(gateway: Gateway, statement: str) -> None:
    with gateway.core.engine.begin() as db:
        db.exec_driver_sql(statement)


async def test_a_viewer_sees_how_far_the_log_is_sealed(told: Gateway) -> None:
    head = told.core.store.head()
    async with told.client(Role.VIEWER) as viewer:
        before = (await viewer.get("/v1/seals/latest")).json()
        seal(told)
        after = (await viewer.get("/v1/seals/latest")).json()
        metrics = (await viewer.get("/metrics")).text
    assert (before["sealed"], before["unsealed"], before["latest"]) == (0, head, None)
    assert (after["sealed"], after["unsealed"], after["anchored"]) == (head, 0, {})
    assert "caravan_seal_lag 0.0" in metrics


async def test_seals_are_paged_from_the_newest_on(told: Gateway) -> None:
    for number in range(3):
        told.core.store.session(story.ENVELOPE).save(requested(f"run {number}"))
        seal(told)
    async with told.client(Role.VIEWER) as viewer:
        first = (await viewer.get("/v1/seals", params={"limit": 2})).json()
        second = (await viewer.get("/v1/seals", params={"limit": 2, "cursor": first["next"]})).json()
        odd = await viewer.get("/v1/seals", params={"cursor": "x"})
    assert [seal["number"] for seal in first["items"]] == [3, 2]
    assert [seal["number"] for seal in second["items"]] == [1]
    assert second["next"] is None
    assert odd.status_code == 422


async def test_an_event_is_proven_over_http(sealed: Gateway) -> None:
    pems = sealed.core.settings.seal_keyring.read_bytes()
    async with sealed.client(Role.VIEWER) as viewer:
        proof = (await viewer.get("/v1/events/3/proof")).json()
        bare = (await viewer.get("/v1/events/3/proof", params={"data": False})).json()
        missing = await viewer.get("/v1/events/99999/proof")
        sealed.core.store.session(story.ENVELOPE).save(requested("late"))
        late = await viewer.get(f"/v1/events/{sealed.core.store.head()}/proof")
    assert verify_proof.check(proof, pems).endswith("the data is what was recorded")
    assert (bare["data"], bare["salt"]) == (None, None)
    assert (missing.status_code, late.status_code) == (404, 409)


def test_a_sound_log_is_said_to_be_sound(sealed: Gateway) -> None:
    code, output, _ = said("verify")
    head = sealed.core.store.head()
    assert code == 0
    assert f"{head} events" in output
    code, output, _ = said("verify", "--json")
    assert (code, json.loads(output)["sealed"]) == (0, head)


def test_a_changed_event_is_named_and_the_exit_code_says_so(sealed: Gateway) -> None:
    tamper(sealed, "UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = 7")
    code, _, complaint = said("verify")
    assert code == 1
    assert "position 7: its envelope is not the one that was sealed" in complaint
    code, output, _ = said("verify", "--json")
    assert (code, json.loads(output)["position"]) == (1, 7)


def test_a_log_that_was_cut_is_found_by_an_anchor(sealed: Gateway, tmp_path: Path) -> None:
    assert said("anchor")[0] == 0
    for table in ("seals", "seal_tiles", "stored_events"):
        tamper(sealed, f"DELETE FROM {table}")
    code, _, complaint = said("verify")
    assert code == 1
    assert "the log was cut, or an older copy restored" in complaint
    (tmp_path / "none").touch()
    assert said("verify", "--anchors", str(tmp_path / "none"))[0] == 0


def test_an_anchor_file_that_is_gone_is_missed(sealed: Gateway) -> None:
    assert said("anchor")[0] == 0
    assert said("verify")[0] == 0
    sealed.core.settings.anchors.unlink()
    code, _, complaint = said("verify")
    assert code == 1
    assert "the anchors are missing" in complaint


def test_a_proof_from_the_command_line_is_checked_without_it(sealed: Gateway, tmp_path: Path) -> None:
    proof, keys = tmp_path / "proof.json", tmp_path / "keys.pem"
    proof.write_text(said("prove", "5")[1])
    keys.write_text(said("key")[1])
    assert verify_proof.main([str(proof), str(keys)]) == 0
    proof.write_text(said("prove", "5", "--without-data")[1])
    assert "salt" not in json.loads(proof.read_text())
    proof.write_text(said("consistency", "1")[1])
    assert verify_proof.main([str(proof), str(keys)]) == 0


def test_what_cannot_be_done_is_told_in_a_sentence(told: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARAVAN_HOME", str(told.core.settings.home))
    monkeypatch.setenv("DATABASE_URL", str(told.core.settings.database_url))
    monkeypatch.setenv("NATS_URL", str(told.core.settings.nats_url))
    assert said("prove", "5")[2].startswith("✗ the event at 5 is not sealed yet")
    assert "nothing was ever sealed" in said("key")[2]
