"""What a person puts into a form and has not sent survives a reload, whatever kind of field holds it."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.unit.ui.screen import button, field, opened, reloaded
from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui.session import Role, Session

pytestmark = pytest.mark.usefixtures("eva")

AGENTS = [
    {"name": name, "role": "", "model": {"name": "tiny"}, "adapter": None, "tools": ["math"]} for name in ("ada", "bob")
]
ROSTER = {"revision": 1, "text": "", "agents": AGENTS}
WHEN = "2026-01-01T00:00:00Z"
WRITTEN = {"id": "1", "version": 1, "position": 9}


def listed(*items: object) -> dict[str, object]:
    return {"items": list(items), "next": None, "position": 0}


def dataset(id: str) -> dict[str, object]:
    return {"dataset_id": id, "state": "built", "pairs": 2, "annotated": 1, "as_of": 9, "requested_at": WHEN}


def test_a_run_about_to_be_started(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/agents/revisions"] = listed(ROSTER)
    screen = opened("runs")
    field(screen, "text_area", "Task").input("Why?").run()
    field(screen, "multiselect", "Agents").set_value(["bob"]).run()
    field(screen, "number_input", "Tokens an answer, at most").set_value(12).run()
    screen = reloaded(screen, "runs")
    assert field(screen, "text_area", "Task").value == "Why?"
    assert field(screen, "multiselect", "Agents").value == ["bob"]
    assert field(screen, "number_input", "Tokens an answer, at most").value == 12


def test_an_agent_that_left_the_roster_meanwhile_is_left_out(gateway: ScriptedGateway) -> None:
    gateway.standing["/v1/agents/revisions"] = listed(ROSTER)
    screen = opened("runs")
    field(screen, "multiselect", "Agents").set_value(["ada", "bob"]).run()
    gateway.standing["/v1/agents/revisions"] = listed(ROSTER | {"agents": [{"name": "ada"}]})
    assert field(reloaded(screen, "runs"), "multiselect", "Agents").value == ["ada"]


def test_a_dataset_about_to_be_built(gateway: ScriptedGateway) -> None:
    screen = opened("datasets")
    field(screen, "slider", "Least weight").set_value(0.4).run()
    field(screen, "toggle", "Only pairs that somebody settled").set_value(True).run()
    screen = reloaded(screen, "datasets")
    assert field(screen, "slider", "Least weight").value == 0.4
    assert field(screen, "toggle", "Only pairs that somebody settled").value is True


def test_a_training_about_to_be_started(gateway: ScriptedGateway) -> None:
    usual = {"max_steps": 24, "max_pairs": 64, "max_length": 256, "learning_rate": 2e-5, "beta": 0.1, "seed": 7}
    properties = {name: {"default": value} for name, value in usual.items()}
    gateway.standing["/openapi.json"] = {"components": {"schemas": {"TrainingConfig": {"properties": properties}}}}
    gateway.standing["/v1/datasets"] = listed(dataset("one"), dataset("two"))
    numbers = {"Steps": 3, "Most pairs": 99, "Most tokens": 512, "Learning rate": 1e-4, "Beta": 0.5, "Seed": 1}
    screen = opened("training")
    assert [one.value for one in screen.number_input] == list(usual.values())
    field(screen, "selectbox", "Dataset").set_value("two").run()
    field(screen, "text_input", "Adapter alias").input("tutors").run()
    for label, number in numbers.items():
        field(screen, "number_input", label).set_value(number).run()
    screen = reloaded(screen, "training")
    assert field(screen, "selectbox", "Dataset").value == "two"
    assert field(screen, "text_input", "Adapter alias").value == "tutors"
    assert {one.label: one.value for one in screen.number_input} == numbers


def test_the_reason_to_promote_an_adapter_also_when_somebody_retires_another(gateway: ScriptedGateway) -> None:
    passport = {
        "config": {"max_steps": 1, "seed": 1},
        "steps": 1,
        "pairs": 2,
        "training_run": "t",
        "dataset_id": "d",
        "made_with": {},
        **dict.fromkeys(("sha256", "dataset_sha256", "base_sha256", "base_model", "position"), "x"),
    }
    adapter = {"name": "team@1", "alias": "team", "version": 1, "state": "registered", "in_use": False, "reason": ""}
    gateway.standing["/v1/adapters/team@1"] = adapter | {"registered_at": WHEN, "passport": passport}
    nothing = {"history": [], "runs": 0, "newest_runs": [], "reproductions": []}
    gateway.standing["/v1/adapters/team@1/passport"] = nothing
    screen = opened("adapters", adapter="team@1")
    field(screen, "text_input", "Reason").input("it is better").run()
    gateway.standing["/v1/adapters/team@1"] |= {"version": 2}
    assert field(reloaded(screen, "adapters"), "text_input", "Reason").value == "it is better"


def test_what_was_sent_is_no_draft_any_more(gateway: ScriptedGateway) -> None:
    screen = opened("datasets")
    field(screen, "slider", "Least weight").set_value(0.4).run()
    gateway.answers_with(WRITTEN)
    gateway.standing["/v1/datasets/1"] = dataset("1") | {"state": "requested", "filter": _everything()}
    button(screen, "Build from the pairs as they are now").click().run()
    assert field(opened("datasets"), "slider", "Least weight").value == 0.0


def _everything() -> dict[str, object]:
    return {"min_weight": 0, "annotated_only": False, "runs": []}


def test_what_was_saved_stays_saved_when_its_fields_are_gone(gateway: ScriptedGateway, eva: Session) -> None:
    eva.role = Role.ADMIN
    roster = ROSTER | {"text": "agents: []\n", "author": "ada", "recorded_at": WHEN, "reason": ""}
    gateway.standing |= {"/v1/agents": roster, "/v1/agents/revisions": listed(roster)}
    screen = opened("agents")
    field(screen, "text_area", "agents.yaml").input("agents: [] # Mine.\n").run()
    field(screen, "text_input", "Reason").input("mine").run()
    gateway.answers_with({"id": "1", "version": 2, "position": 9})
    button(screen, "Save").click().run()
    screen.segmented_control[0].set_value("Revisions").run()
    assert not screen.exception
    assert eva.drafts == {}


def test_a_change_that_arrives_after_its_form_was_sent_is_no_draft(eva: Session) -> None:
    def sent_meanwhile() -> None:
        import streamlit as st

        from ui.once import Once

        form = Once("form")
        arguments = form.field("note")
        st.text_input("Note", **arguments)
        form.renew()
        arguments["on_change"](*arguments["args"])

    screen = AppTest.from_function(sent_meanwhile).run()
    assert not screen.exception
    assert eva.drafts == {}
