"""Pairs at a terminal: judged knowing nothing, and told of afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.sides import Sides
from tests.unit.gateway.terminal import run
from tests.unit.ui.scripted_gateway import ScriptedGateway

ID = "dc2ba57e-ec67-5992-b093-661aa91ba58e"
"""Eva draws the answer that was proposed as the better one for the right side, and dan for the left one."""
BLUE, SKY = "Blue light scatters most.", "The sky is the sea’s mirror."
WRITTEN = {"id": ID, "version": 3, "position": 7}
CRITERIA = [
    {"name": "which", "question": "Which one is true?", "levels": ["right", "both", "left"], "compares": True},
    {"name": "tone", "question": "How do they sound?", "levels": ["rude", "plain", "kind"], "compares": False},
]
NAMES = ("left", "right", "chosen", "rejected", "better", "worse")
SPEAKS = ("ada", "bob", "0.9", "chosen", "rejected")
"""What would tell which answer the ballots prefer, or whose it is."""


def spoken(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def a_pair(state: str = "waiting", *spoken_by: str) -> dict[str, Any]:
    """As the API tells it: ada's BLUE was proposed as the better one, bob's SKY as the worse one."""
    answers = {
        "chosen": {"messages": spoken(BLUE), "agent": "ada"},
        "rejected": {"messages": spoken(SKY), "agent": "bob"},
    }
    return {
        "preference_id": ID,
        "state": state,
        "prompt": [{"role": "user", "content": "Why is the sky blue?"}],
        "chosen": spoken(BLUE),
        "rejected": spoken(SKY),
        "chosen_agent": "ada",
        "rejected_agent": "bob",
        "method": "bradley-terry/2",
        "probability": 0.9,
        "support": {"agree": 3, "against": 1, "tied": 0, "touching": 0},
        "verdict": None,
        "spoken_by": list(spoken_by),
        "wanted": 2,
        "history": [{"type": "preference.proposed", "data": {"pair": answers}}],
    }


@pytest.fixture(autouse=True)
def asked(gateway: ScriptedGateway) -> None:
    """Eva is asked about the pair."""
    signed_in(gateway, "eva")
    holds(gateway, a_pair())
    gateway.standing["/v1/annotations/rubric"] = {"version": 4, "annotators": 2, "criteria": CRITERIA}


def signed_in(gateway: ScriptedGateway, name: str, role: str = "annotator") -> None:
    gateway.standing["/v1/me"] = {"subject": name, "kind": "human", "role": role}


def holds(gateway: ScriptedGateway, pair: dict[str, Any]) -> None:
    in_queue = {name: pair[name] for name in ("preference_id", "state", "prompt", "chosen", "rejected", "probability")}
    queued = in_queue | {"reasons": ["1 of 4 judges disagree"]}
    gateway.standing |= {
        f"/v1/preferences/{ID}": pair,
        "/v1/preferences": {"items": [pair], "next": None},
        "/v1/annotations/queue": {"items": [queued], "next": None, "count": 1},
    }


def sent(gateway: ScriptedGateway) -> Any:
    return next(json.loads(request.body) for request in gateway.requests if request.method == "POST")


def order(output: str) -> list[str]:
    """Each answer's first word with what it stands beside, as they come."""
    lines = (line.split() for line in output.splitlines())
    return [" ".join(line[: 3 if line[1].endswith(":") else 2]) for line in lines if line and line[0] in NAMES]


@pytest.mark.parametrize("command", [("annotations", "next"), ("preferences",)])
@pytest.mark.parametrize("state", ["waiting", "disputed", "imported"])
def test_who_may_speak_first_sees_left_and_right_by_lot_and_nothing_that_speaks_for_either(
    gateway: ScriptedGateway, command: tuple[str, ...], state: str
) -> None:
    holds(gateway, a_pair(state, "ben"))
    assert Sides.drawn("eva", ID).turned
    screen = run(*command).output
    assert order(screen) == ["left The", "right Blue"]
    assert not [word for word in SPEAKS if word in screen]
    signed_in(gateway, "dan")
    assert order(run(*command).output) == ["left Blue", "right The"]


@pytest.mark.parametrize("command", [("annotations", "next"), ("preferences",)])
def test_who_wants_to_know_or_has_spoken_or_may_not_sees_whose_the_answers_are_and_which_is_the_better_one(
    gateway: ScriptedGateway, command: tuple[str, ...]
) -> None:
    asked = run(*command, "--as-proposed").output
    assert order(asked) == ["chosen ada: Blue", "rejected bob: The"]
    assert "P = 0.90" in asked
    holds(gateway, a_pair("waiting", "eva"))
    assert run(*command).output == asked
    holds(gateway, a_pair())
    signed_in(gateway, "eva", "viewer")
    assert run(*command).output == asked


def settled(verdict: str, better: str, worse: str) -> dict[str, Any]:
    """As the API tells it since that verdict, which leaves these as its answers."""
    pair = a_pair("settled", "ben") | {"verdict": verdict, "chosen": spoken(better), "rejected": spoken(worse)}
    return pair | ({"chosen_agent": "bob", "rejected_agent": "ada"} if verdict == "flipped" else {})


def test_what_was_proposed_stays_first_though_people_said_otherwise(gateway: ScriptedGateway) -> None:
    holds(gateway, settled("flipped", SKY, BLUE))
    assert order(run("preferences", "--as-proposed").output) == ["chosen ada: Blue", "rejected bob: The"]
    assert order(run("preferences").output) == ["chosen bob: The", "rejected ada: Blue"]
    holds(gateway, settled("accepted", BLUE, SKY))
    assert order(run("preferences", "--as-proposed").output) == ["chosen ada: Blue", "rejected bob: The"]


def test_answers_that_people_rewrote_are_called_neither_of_those_that_were_proposed(gateway: ScriptedGateway) -> None:
    holds(gateway, settled("edited", "Light scatters.", SKY))
    assert order(run("preferences", "--as-proposed").output) == ["better ada: Light", "worse bob: The"]
    assert order(run("preferences").output) == ["chosen ada: Light", "rejected bob: The"]


def test_scripts_are_told_of_pairs_as_they_were_proposed(gateway: ScriptedGateway) -> None:
    assert (
        json.loads(run("annotations", "next", "--json").output) == gateway.standing["/v1/annotations/queue"]["items"][0]
    )
    assert json.loads(run("preferences", "--json").output) == [a_pair()]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        *(("left", "flipped"), ("right", "accepted"), ("neither", "rejected")),
        *((verdict, verdict) for verdict in ("accepted", "flipped", "rejected")),
    ],
)
def test_left_and_right_are_kept_as_they_were_shown_and_other_words_as_the_pair_was_proposed(
    gateway: ScriptedGateway, said: str, kept: str
) -> None:
    gateway.answers_with(WRITTEN)
    assert run("annotate", ID, said).exit_code == 0
    assert sent(gateway)["verdict"] == kept


@pytest.mark.parametrize(("said", "which"), [("left", 3), ("neither", 3), ("flipped", 1)])
def test_a_rating_that_compares_turns_along_with_the_answers(gateway: ScriptedGateway, said: str, which: int) -> None:
    gateway.answers_with(WRITTEN)
    assert run("annotate", ID, said, "--rate", "which=1", "--rate", "tone=1").exit_code == 0
    assert sent(gateway)["ratings"] == {"which": which, "tone": 1}


def test_what_cannot_be_rated_is_sent_as_it_was_typed_and_so_refused_in_these_words(gateway: ScriptedGateway) -> None:
    gateway.answers_with({"title": "Invalid", "detail": "which is rated from 1 to 3, and not 4"}, status=422)
    refused = run("annotate", ID, "left", "--rate", "which=4", "--rate", "wit=1")
    assert (refused.exit_code, "not 4" in refused.output) == (1, True)
    assert (sent(gateway)["ratings"], sent(gateway)["rubric"]) == ({"which": 4, "wit": 1}, 4)


def test_who_has_spoken_is_told_whose_the_answers_are_and_what_the_ballots_say(gateway: ScriptedGateway) -> None:
    gateway.answers_with(WRITTEN)
    holds(gateway, a_pair("waiting", "eva"))
    told = {line.split()[0]: " ".join(line.split()[1:]) for line in run("annotate", ID, "left").output.splitlines()}
    assert (told["left"], told["right"]) == ("bob", "ada")
    assert told["proposed"] == "right is better (bradley-terry/2, P = 0.90)"
    assert told["judges"] == "3 agree, 1 against, 0 undecided"


def test_a_verdict_is_told_as_written_though_the_read_models_are_behind(gateway: ScriptedGateway) -> None:
    del gateway.standing[f"/v1/preferences/{ID}"]
    gateway.answers_with(WRITTEN)
    gateway.answers_with({"title": "Unavailable"}, status=503)
    late = run("annotate", ID, "left")
    assert (late.exit_code, "position  7" in late.output, "ada" in late.output) == (0, True, False)


def test_an_edit_says_which_words_are_the_better_ones(gateway: ScriptedGateway) -> None:
    assert run("annotate", ID, "edited").exit_code == 2
    assert run("annotate", ID, "left", "--chosen", BLUE).exit_code == 2
    gateway.answers_with(WRITTEN)
    assert run("annotate", ID, "edited", "--chosen", BLUE).exit_code == 0
    assert (sent(gateway)["verdict"], sent(gateway)["chosen"]) == ("edited", BLUE)
