"""What an auditor asks over HTTP: what was done by whom, and what led to what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from eventsourcing.domain import BaseAggregate
from sqlalchemy import delete, update

from adapters.event_tables import STORED_EVENTS
from domain.access import Role
from domain.events import event_id
from domain.preference import Verdict
from gateway import requests
from projections import audit, causation, dpo_annotations
from projections.engine import catch_up
from tests import story
from tests.integration.gateway.conftest import AGENTS, Gateway

COMPLETED = event_id(story.RUN, 9)


async def answer(gateway: Gateway, place: str, role: Role = Role.VIEWER, **params: Any) -> dict[str, Any]:
    async with gateway.client(role) as client:
        response = await client.get(f"/v1/{place}", params=params)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def events(gateway: Gateway, **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await answer(gateway, "events", **params))["items"]
    return found


async def test_what_an_agent_did_with_a_tool_on_a_day_tells_model_adapter_and_prompt(library: Gateway) -> None:
    (first, *_) = await events(library)
    day = {"since": first["time"], "until": "2100-01-01T00:00:00Z"}
    found = await events(library, agent="bob", tool="search", **day)
    assert [event["data"]["step"]["agent"] for event in found] == ["bob"]
    told = ("agent", "tools", "model", "adapter", "rosterrevision", "promptrevision")
    assert [found[0][name] for name in told] == ["bob", "search", "team", "team@1", 2, 2]
    assert await events(library, agent="bob", tool="hammer", **day) == []
    assert await events(library, agent="bob", until=first["time"]) == []


async def test_the_log_itself_is_complete_where_the_read_models_have_yet_to_come(gateway: Gateway) -> None:
    gateway.core.store.session(story.ENVELOPE).save(story.completed_run())
    whole = await answer(gateway, "events", aggregate=story.RUN, after=9)
    assert (len(whole["items"]), whole["position"]) == (9, 9)
    async with gateway.client() as client:
        early = await client.get("/v1/events", params={"after": 10})
    assert early.status_code == 503
    assert early.json()["detail"].startswith("the log ends at 9: nothing is at position 10 yet")
    behind = await answer(gateway, "events", agent="ada")
    assert (behind["items"], behind["position"]) == ([], 0)
    gateway.catch_up()
    told = await answer(gateway, "events", agent="ada", after=9)
    assert (len(told["items"]), told["position"]) == (3, 9)


async def test_what_was_just_done_is_waited_for_and_a_read_model_that_stands_still_is_told(
    told: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "CATCH_UP_SECONDS", 0.0)
    async with told.client(Role.ANNOTATOR) as annotator:
        path = f"/v1/preferences/{story.id_of('waiting')}"
        written = (await annotator.post(f"{path}/annotations", json={"verdict": "rejected"})).json()
        after = {"after": written["position"]}
        refused = await annotator.get("/v1/events", params={"actor": "annotator", **after})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:caravan:problem:not-caught-up")
        newest = event_id(story.id_of("waiting"), written["version"])
        assert (await annotator.get(f"/v1/events/{written['position']}")).json()["id"] == str(newest)
        assert (await annotator.get(f"/v1/events/{written['position']}/causes")).status_code == 503
        assert (await annotator.get("/v1/events", params=after)).status_code == 200
        told.catch_up()
        (event,) = await events(told, actor="annotator", **after)
    assert (event["id"], event["type"], event["actorkind"]) == (str(newest), "preference.annotated", "human")


async def test_filters_are_combined_and_pages_go_both_ways(library: Gateway) -> None:
    for order in ("oldest", "newest"):
        seen: list[int] = []
        cursor: dict[str, str] = {}
        while True:
            page = await answer(library, "events", run=story.RUN, order=order, limit=4, **{"from": 3, **cursor})
            seen += [event["position"] for event in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        pairs = [event["position"] for event in await events(library, type="preference")]
        assert seen == sorted([*range(4, 12), *pairs], reverse=order == "newest")
    of_two = await events(library, type=["dataset", "workflow.failed"])
    assert {event["type"].partition(".")[0] for event in of_two} == {"dataset", "workflow"}
    assert [event["position"] for event in await events(library, **{"from": 3, "to": 5})] == [4, 5]
    assert {event["type"] for event in await events(library, adapter="team@1", type="lora_adapter")} == {
        "lora_adapter.reserved",
        "lora_adapter.registered",
        "lora_adapter.promoted",
    }


async def test_an_event_is_found_by_position_and_by_id(library: Gateway) -> None:
    by_id = await answer(library, f"events/{COMPLETED}")
    assert by_id == await answer(library, f"events/{by_id['position']}")
    assert (by_id["type"], by_id["rosterrevision"]) == ("workflow.completed", 2)
    async with library.client(Role.VIEWER) as viewer:
        for unknown in (story.id_of("nothing"), 10_000):
            for question in ("", "/causes", "/effects"):
                missing = await viewer.get(f"/v1/events/{unknown}{question}")
                assert (missing.status_code, missing.json()["detail"]) == (404, f"there is no event {unknown}")


async def test_a_pair_goes_back_to_the_request_and_the_run_leads_on_to_its_pairs(library: Gateway) -> None:
    pair = story.id_of("flipped")
    causes = await answer(library, f"events/{event_id(pair, 2)}/causes")
    assert [(step["depth"], step["event"]["type"]) for step in causes["items"]] == [
        (0, "preference.annotated"),
        (1, "workflow.completed"),
    ]
    assert causes["began_with"]["actor"] == "ada"
    assert causes["began_with"]["correlation_id"] == str(story.ENVELOPE.correlation_id)
    first = await answer(library, f"events/{COMPLETED}/effects", limit=12)
    rest = await answer(library, f"events/{COMPLETED}/effects", limit=12, cursor=first["next"])
    found = [step["event"]["type"] for step in first["items"] + rest["items"]]
    assert found == [event["type"] for event in await events(library, type="preference")]
    assert (rest["next"], rest["cut"]) == (None, False)


async def test_who_changed_an_agents_prompt_is_told_with_the_difference(told: Gateway) -> None:
    briefer = AGENTS.replace("Be exact and brief.", "Be brief.")
    async with told.client(Role.ADMIN) as admin:
        for revision, text in ((2, AGENTS), (3, briefer)):
            params = {"reason": f"after {revision}"}
            await admin.put("/v1/agents", content=text, params=params, headers={"If-Match": f'"{revision}"'})
    told.catch_up()
    gone, joined = (await answer(told, "agents/bob/history"))["items"]
    assert (gone["revision"], gone["after"], gone["author"]) == (3, None, "admin")
    assert (joined["revision"], joined["before"], joined["reason"]) == (2, None, "bob joins")
    assert joined["prompt_diff"].splitlines()[-1] == "+You are a critic."
    changed, began = (await answer(told, "agents/physicist/history"))["items"]
    assert (changed["revision"], changed["reason"], changed["changed"]) == (4, "after 3", ["system_message"])
    assert [line[-9:] for line in changed["prompt_diff"].splitlines()[-2:]] == ["nd brief.", "Be brief."]
    assert (began["revision"], began["before"]) == (3, None)
    async with told.client(Role.VIEWER) as viewer:
        assert (await viewer.get("/v1/agents/nobody/history")).status_code == 404


async def test_pages_pass_over_nothing_that_one_read_model_has_yet_to_learn(gateway: Gateway) -> None:
    def save(*aggregates: BaseAggregate[UUID]) -> int:
        return gateway.core.store.session(story.ENVELOPE).save(*aggregates).position

    pair, *unknown = story.preferences()
    known = save(story.completed_run(), pair)
    catch_up(gateway.core.engine, gateway.core.store, dpo_annotations.PROJECTOR)
    pair.annotate(Verdict.ACCEPTED, "", at=story.at(30))
    save(*unknown, pair)
    catch_up(gateway.core.engine, gateway.core.store, audit.PROJECTOR)
    first = await answer(gateway, "events", run=story.RUN)
    assert first["position"] == known
    assert [event["position"] for event in first["items"]] == list(range(1, known + 1))


async def test_questions_wait_only_for_the_read_models_that_answer_them(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "CATCH_UP_SECONDS", 0.0)
    last = gateway.core.store.session(story.ENVELOPE).save(story.completed_run()).position
    catch_up(gateway.core.engine, gateway.core.store, audit.PROJECTOR)
    assert (await answer(gateway, f"events/{COMPLETED}/causes", after=last))["position"] == last
    assert (await answer(gateway, "events", agent="bob", after=last))["position"] == last
    async with gateway.client(Role.VIEWER) as viewer:
        for filter in ({"run": story.RUN}, {"revision": 2}):
            assert (await viewer.get("/v1/events", params={**filter, "after": last})).status_code == 503


async def test_an_id_that_may_be_newer_than_the_audit_is_not_said_to_be_of_nothing(gateway: Gateway) -> None:
    gateway.core.store.session(story.ENVELOPE).save(story.completed_run())
    async with gateway.client(Role.VIEWER) as viewer:
        early = await viewer.get(f"/v1/events/{COMPLETED}")
        assert (early.status_code, early.json()["type"]) == (503, "urn:caravan:problem:not-caught-up")
        assert "?after=9" in early.json()["detail"]
        gateway.catch_up()
        assert (await viewer.get(f"/v1/events/{COMPLETED}")).status_code == 200


async def test_a_walk_does_not_take_what_it_could_not_read_for_a_beginning(told: Gateway) -> None:
    pair = event_id(story.id_of("flipped"), 2)
    (completed,) = await events(told, type="workflow.completed")
    forget = delete(audit.TABLE).where(audit.TABLE.c.position == completed["position"])
    with told.core.engine.begin() as db:
        db.execute(forget)
    causes = await answer(told, f"events/{pair}/causes")
    assert ([step["depth"] for step in causes["items"]], causes["began_with"]) == ([0], None)
    async with told.client(Role.VIEWER) as viewer:
        for walk in ("causes", "effects"):
            refused = await viewer.get(f"/v1/events/{completed['position']}/{walk}")
            assert (refused.status_code, refused.json()["type"]) == (409, "urn:caravan:problem:not-in-the-audit")


async def test_a_root_as_far_back_as_a_walk_goes_is_the_beginning(
    library: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causation, "DEPTH", 1)
    pair = event_id(story.id_of("flipped"), 2)
    assert (await answer(library, f"events/{pair}/causes"))["began_with"]["actor"] == "ada"


async def test_an_event_without_an_envelope_was_done_by_nobody_known(told: Gateway) -> None:
    with told.core.engine.begin() as db:
        nothing = dict.fromkeys(("event_id", "actor_subject", "actor_kind", "correlation_id"))
        db.execute(update(STORED_EVENTS).where(STORED_EVENTS.c.originator_id == story.RUN).values(nothing))
    causes = await answer(told, f"events/{COMPLETED}/causes")
    assert causes["items"][0]["event"]["id"] == str(COMPLETED)
    began = causes["began_with"]
    assert [began[name] for name in ("actor", "actor_kind", "correlation_id")] == [
        "unknown",
        "automation",
        str(story.RUN),
    ]


def test_every_filter_is_a_question_of_the_api(library: Gateway) -> None:
    parameters = library.app.openapi()["paths"]["/v1/events"]["get"]["parameters"]
    asked = {parameter["name"] for parameter in parameters}
    renamed = {"types": "type", "actor_kind": "kind"}
    assert {renamed.get(name, name) for name in audit.Filter.__dataclass_fields__} < asked
