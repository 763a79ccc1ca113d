"""A pair as the API tells of it, what people said, and what the console's page shows. Eva has drawn the answer that was
proposed as the better one for the right side."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.unit.ui.screen import A_PAIR, opened, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway

ID = A_PAIR
BLUE, SKY = "Blue light scatters most.", "The sky is the sea’s mirror."
BETTER = "Shorter waves scatter more."
HEADINGS = ("Left", "Right", "Better", "Worse", "Proposed")
"""How the heading of an answer begins."""


def completion(text: str, agent: str | None) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": text}], "agent": agent, "step": None}


def pair(verdict: str | None, chosen: str, rejected: str, method: str = "bradley-terry/1") -> dict[str, Any]:
    """As the API tells it: ada's BLUE was proposed as the better one, bob's SKY as the worse one."""
    prompt = [{"role": "user", "content": "Why is the sky blue?"}]
    authors = {BLUE: "ada", SKY: "bob", BETTER: "ada"}
    proposed = {"prompt": prompt, "chosen": completion(BLUE, "ada"), "rejected": completion(SKY, "bob")}
    choice = "flipped" if chosen == SKY else "accepted"
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
        "assigned_to": ["dan"],
        "spoken_by": [],
        "wanted": 1,
        "annotator_kind": verdict and "human",
        "annotated_at": verdict and "2026-01-01T00:00:10Z",
        "history": [
            first | {"data": {"pair": proposed, "method": method}},
            first | {"type": "preference.annotated", "data": {"consensus": {"choice": verdict and choice}}},
        ],
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
    """The heading and the text of the answers that a choice is of, the left one first."""
    headings = [text for text in texts(screen.markdown) if text.partition("**")[2].startswith(HEADINGS)]
    answers = [text for text in texts(screen.text) if text in (BLUE, SKY, BETTER)]
    return list(zip(headings, answers, strict=True))[-2:]


def part(screen: AppTest, label: str) -> Any:
    """The part of the page that opens under a label which begins so."""
    labelled = [(one, one.label) for one in screen.expander]
    labelled += [(one, one.proto.popover.label) for one in screen.get("popover")]
    return next(one for one, its in labelled if its.startswith(label))


def an_opinion(annotator: str, verdict: str, **more: Any) -> dict[str, Any]:
    given = {"annotator": annotator, "verdict": verdict, "choice": verdict, "note": "", "undone": False}
    given |= {"ratings": {}, "rubric": None}
    return given | {"recorded_at": "2026-01-01T00:00:10Z"} | more


def sent_by(gateway: ScriptedGateway, method: str = "POST") -> tuple[str, Any]:
    """Where to, and what."""
    request = next(request for request in gateway.requests if request.method == method)
    return request.path, json.loads(request.body or b"null")
