from __future__ import annotations

import json

import pytest

from tests.unit.ui.pairs import ID, PAIRS, part
from tests.unit.ui.screen import button, field, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

pytestmark = pytest.mark.usefixtures("eva")


def pairs(count: int, next: str | None) -> dict[str, object]:
    """A page of a list of pairs that wait."""
    item = PAIRS[None] | {"proposed_at": "2026-01-01T00:00:00Z"}
    return {"items": [item | {"preference_id": f"{n}"} for n in range(count)], "next": next, "position": 9}


def labels(screen) -> list[str]:
    return [button.label for button in screen.button]


def queued(count: int) -> dict[str, object]:
    """A queue of so many, of which a page holds two."""
    item = PAIRS[None] | {"proposed_at": "2026-01-01T00:00:00Z", "judged": 1, "reasons": ["1 of 2 judges disagree"]}
    return {"items": [item, item], "next": "c", "count": count, "position": 9}


def test_how_many_wait_is_told_and_why_each_comes_where_it_does(gateway: ScriptedGateway):
    gateway.standing["/v1/annotations/queue"] = queued(1204)
    screen = opened("annotate")
    assert "Annotate (1,204 waiting)" in labels(screen)
    assert list(screen.dataframe[0].value["why"]) == ["1 of 2 judges disagree"] * 2
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None]
    assert "1,204 waiting" in texts(opened("annotate", pair=ID).caption)


def test_agreement_is_counted_when_it_is_asked_for(gateway: ScriptedGateway):
    overall = {"annotators": 2, "pairs": 3, "unanimous": 1, "alpha": 0.412}
    judge = {"judge": "ada", "method": "likelihood/1", "pairs": 3, "agreed": 2, "kappa": None}
    found = {"overall": overall, "criteria": [overall | {"rubric": 1, "criterion": "truth"}], "judges": [judge]}
    gateway.standing["/v1/annotations/agreement"] = found | {"position": 9}
    screen = opened("annotate")
    assert not any("agreement" in request.path for request in gateway.requests)
    screen.toggle[0].set_value(True).run()
    alpha, kappa = (each.value for each in screen.dataframe[-2:])
    assert list(alpha["of"]) == ["The verdict", "truth (rubric 1)"]
    assert list(kappa["judge"]) == ["ada"]


def test_another_state_begins_with_its_newest_pairs_again(gateway: ScriptedGateway):
    gateway.standing["/v1/preferences"] = pairs(50, "c2")
    screen = opened("annotate", cursor="c1", state="Settled")
    assert any("state=settled&cursor=c1" in request.path for request in gateway.requests)
    gateway.requests.clear()
    screen.segmented_control[0].set_value("rejected").run()
    assert "cursor" not in screen.query_params
    assert not any("cursor=" in request.path for request in gateway.requests)


def test_a_list_tells_of_a_pair_that_is_still_to_be_judged_nothing_that_speaks_for_an_answer(gateway: ScriptedGateway):
    item = PAIRS[None] | {"proposed_at": "2026-01-01T00:00:00Z"}
    mine, settled = item | {"spoken_by": ["eva"]}, item | {"state": "settled"}
    gateway.standing["/v1/preferences"] = {"items": [item, mine, settled], "next": None, "position": 9}
    screen = opened("annotate", state="All")
    shown = screen.dataframe[-1].value
    assert list(shown["chosen_agent"].fillna("")) == ["", "ada", "ada"]
    assert list(shown["rejected_agent"].fillna("")) == ["", "bob", "bob"]


def test_a_pair_written_by_hand_is_proposed_and_shown(gateway: ScriptedGateway):
    screen = opened("annotate")
    for label, text in (("Prompt", "Name a prime."), ("Its better answer", "7"), ("Its worse answer", "9")):
        field(screen, "text_area", label).input(text).run()
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None]
    gateway.answers_with({"id": ID, "version": 1, "position": 9})
    button(screen, "Propose").click().run()
    sent = next(request for request in gateway.requests if request.method == "POST")
    assert json.loads(sent.body) == {
        "prompt": [{"role": "user", "content": "Name a prime."}],
        "chosen": [{"role": "assistant", "content": "7"}],
        "rejected": [{"role": "assistant", "content": "9"}],
    }
    assert screen.query_params == {"pair": ID}


@pytest.mark.parametrize(
    ("better", "told"), [("", "Write its better answer first."), ("9", "Both answers say the same")]
)
def test_a_pair_that_nothing_can_be_learnt_from_is_not_proposed_and_the_person_is_told_why(gateway, better, told):
    screen = opened("annotate")
    for label, text in (("Prompt", "Name a prime."), ("Its better answer", better), ("Its worse answer", "9")):
        field(screen, "text_area", label).input(text).run()
    button(screen, "Propose").click().run()
    assert told in texts(part(screen, "Propose").error)[0]
    assert [request for request in gateway.requests if request.method == "POST"] == []


def test_a_pair_is_withdrawn_in_the_version_that_was_seen(gateway: ScriptedGateway):
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None]
    screen = opened("annotate", pair=ID)
    field(screen, "text_input", "Reason").input("names a person").run()
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Withdraw the pair").click().run()
    sent = next(request for request in gateway.requests if request.method == "DELETE")
    assert sent.path == f"/v1/preferences/{ID}?reason=names+a+person"
    assert sent.headers["if-match"] == '"2"'
    assert "pair" not in screen.query_params


def test_of_a_withdrawn_pair_nothing_more_can_be_said(gateway: ScriptedGateway):
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["accepted"] | {"state": "withdrawn"}
    screen = opened("annotate", pair=ID)
    assert all(
        button(screen, label).disabled
        for label in ("Left is better", "Right is better", "Neither", "Withdraw the pair")
    )
