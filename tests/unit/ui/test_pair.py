"""What a button says of a pair is what happens to it, also where the pair is settled already."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.unit.ui.screen import button, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

ID = "dc2ba57e-ec67-5992-b093-661aa91ba58e"
BLUE, SKY = "Blue light scatters most.", "The sky is the sea’s mirror."
BETTER = "Shorter waves scatter more."

pytestmark = pytest.mark.usefixtures("eva")


def completion(text: str, agent: str | None) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": text}], "agent": agent, "step": None}


def pair(verdict: str | None, chosen: str, rejected: str, method: str = "bradley-terry/1") -> dict[str, Any]:
    """As the API tells it: ada's BLUE was proposed as the better one, bob's SKY as the worse one."""
    prompt = [{"role": "user", "content": "Why is the sky blue?"}]
    authors = {BLUE: "ada", SKY: "bob", BETTER: "ada"}
    proposed = {"prompt": prompt, "chosen": completion(BLUE, "ada"), "rejected": completion(SKY, "bob")}
    first = {"type": "preference.proposed", "actor": "worker", "time": "2026-01-01T00:00:00Z"}
    return {
        "preference_id": ID,
        "version": 2,
        "state": {None: "waiting", "rejected": "rejected"}.get(verdict, "settled"),
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "chosen_agent": authors[chosen],
        "rejected_agent": authors[rejected],
        "method": method,
        "probability": 0.9,
        "verdict": verdict,
        "annotated_by": verdict and "eva",
        "annotator_kind": verdict and "human",
        "annotated_at": verdict and "2026-01-01T00:00:10Z",
        "history": [first | {"data": {"pair": proposed, "method": method}}],
    }


PAIRS = {
    None: pair(None, BLUE, SKY),
    "accepted": pair("accepted", BLUE, SKY),
    "flipped": pair("flipped", SKY, BLUE),
    "rejected": pair("rejected", BLUE, SKY),
    "edited": pair("edited", BETTER, SKY),
}


def shown(gateway: ScriptedGateway, verdict: str | None) -> AppTest:
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[verdict]
    return opened("annotate", pair=ID)


def sides(screen: AppTest) -> list[tuple[str, str]]:
    """The heading and the text of the answers that the verdicts speak of, the left one first."""
    headings = [text for text in texts(screen.markdown) if "· ada" in text or "· bob" in text]
    answers = [text for text in texts(screen.text) if text in (BLUE, SKY, BETTER)]
    return list(zip(headings, answers, strict=True))[-2:]


@pytest.mark.parametrize(
    ("verdict", "left", "right"),
    [
        (None, "Better", "Worse"),
        ("accepted", "Better", "Worse"),
        ("flipped", "Worse", "Better"),
        ("rejected", "Left out", "Left out"),
        ("edited", "Proposed as better", "Proposed as worse"),
    ],
)
def test_the_answer_that_was_proposed_as_the_better_one_stays_at_the_left(gateway, verdict, left, right):
    screen = shown(gateway, verdict)
    assert sides(screen) == [(f"**{left}** · ada", BLUE), (f"**{right}** · bob", SKY)]
    assert button(screen, "Accept").help.startswith("The left answer is better")


def test_an_edited_pair_shows_the_texts_that_count_above_those_that_were_proposed(gateway):
    screen = shown(gateway, "edited")
    headings, answers = texts(screen.markdown), texts(screen.text)
    assert headings.index("**Better** · ada") < headings.index("**Proposed as better** · ada")
    assert answers.index(BETTER) < answers.index(BLUE)


def test_a_verdict_on_a_flipped_pair_is_sent_as_the_person_meant_it(gateway):
    screen = shown(gateway, "flipped")
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Accept").click().run()
    sent = next(request for request in gateway.requests if request.method == "POST")
    assert json.loads(sent.body) == {"verdict": "accepted", "note": ""}
    assert sent.headers["if-match"] == '"2"'


def test_nobody_is_said_to_have_voted_on_a_pair_written_by_hand(gateway):
    gateway.standing[f"/v1/preferences/{ID}"] = pair(None, BLUE, SKY, method="by-hand/1")
    told = " ".join(texts(opened("annotate", pair=ID).caption))
    assert "ballots" not in told
    assert "by hand" in told


def test_an_edit_begins_with_the_texts_that_count(gateway):
    screen = shown(gateway, None)
    button(screen, "Edit the texts").click().run()
    assert [area.value for area in screen.text_area] == [BLUE, SKY]


def test_an_edit_that_changes_no_letter_is_not_sent(gateway):
    screen = shown(gateway, None)
    button(screen, "Edit the texts").click().run()
    button(screen, "Save the edit").click().run()
    assert [request for request in gateway.requests if request.method == "POST"] == []
    assert "Both texts stand as they were" in " ".join(texts(screen.info))
