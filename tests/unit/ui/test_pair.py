"""What a button says of a pair is what happens to it, also where the pair is settled already; and who is shown what."""

from __future__ import annotations

import json

import pytest

from tests.unit.ui.pairs import BLUE, ID, PAIRS, SKY, an_opinion, pair, sent_by, shown, sides
from tests.unit.ui.screen import button, field, opened, reloaded, texts
from tests.unit.ui.scripted_gateway import ScriptedGateway
from ui import person
from ui.session import Role

pytestmark = pytest.mark.usefixtures("eva")


def test_an_imported_pair_says_where_it_comes_from_and_can_be_annotated(gateway: ScriptedGateway) -> None:
    source = {"import_id": "j1", "sha256": "c0de", "line": 1204, "annotator": "gpt*4"}
    imported = PAIRS[None] | {"state": "imported", "method": "imported/alpaca-eval/1", "source": source}
    gateway.standing[f"/v1/preferences/{ID}"] = imported
    screen = opened("annotate", pair=ID)
    assert any("line 1,204 of a file, judged by gpt\\*4" in caption for caption in texts(screen.caption))
    assert not button(screen, "Left is better").disabled


@pytest.mark.parametrize(
    ("verdict", "left", "right"),
    [
        ("accepted", "Worse", "Better"),
        ("flipped", "Better", "Worse"),
        ("rejected", "Left out", "Left out"),
        ("edited", "Proposed as worse", "Proposed as better"),
    ],
)
def test_an_answer_stays_at_its_side_whatever_is_said_of_it(gateway, verdict, left, right):
    assert sides(shown(gateway, verdict)) == [(f"**{left}** · bob", SKY), (f"**{right}** · ada", BLUE)]


def test_whoever_has_not_spoken_is_told_neither_authors_nor_what_is_thought_to_be_better(gateway):
    screen = shown(gateway, None)
    assert sides(screen) == [("**Left**", SKY), ("**Right**", BLUE)]
    told = " ".join([*texts(screen.caption), *texts(screen.markdown)])
    assert "Proposed by the ballots of its run, bradley" in told
    assert not any(word in told for word in ("ada", "bob", "better", "90 %"))
    assert not any(one.label.startswith("History") for one in screen.expander)


@pytest.mark.parametrize(("role", "state"), [("viewer", "waiting"), ("operator", "settled")])
def test_whoever_is_not_asked_is_told_both(gateway, monkeypatch, role, state):
    monkeypatch.setattr(person.session(), "role", Role[role.upper()])
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None] | {"state": state}
    screen = opened("annotate", pair=ID)
    assert sides(screen) == [("**Proposed as worse** · bob", SKY), ("**Proposed as better** · ada", BLUE)]
    assert any("right is better (90 % sure)" in caption for caption in texts(screen.caption))


@pytest.mark.parametrize("before", [None, "flipped"])
@pytest.mark.parametrize(
    ("pressed", "verdict"), [("Left is better", "flipped"), ("Right is better", "accepted"), ("Neither", "rejected")]
)
def test_a_choice_is_sent_as_the_person_meant_it(gateway, before, pressed, verdict):
    screen = shown(gateway, before)
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, pressed).click().run()
    sent = next(request for request in gateway.requests if request.method == "POST")
    assert json.loads(sent.body) == {"verdict": verdict, "note": ""}
    assert sent.headers.get("if-match") == ('"2"' if before else None)


def test_what_others_do_meanwhile_does_not_come_between_a_first_word(gateway):
    screen = shown(gateway, None)
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["accepted"] | {"version": 3}
    others = [an_opinion("dan", "accepted")]
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = {"mine": None, "others": others, "hidden": 0}
    field(screen, "text_input", "Note").input("seen").run()
    assert sides(screen) == [("**Left**", SKY), ("**Right**", BLUE)]
    assert not any(one.label.startswith(("History", "Opinions")) for one in screen.expander)
    gateway.answers_with({"id": ID, "version": 4, "position": 9})
    button(screen, "Left is better").click().run()
    assert sent_by(gateway)[1] == {"verdict": "flipped", "note": "seen"}


def test_whoever_knows_what_others_said_is_told_that_the_pair_is_another_by_now(gateway):
    screen = shown(gateway, "accepted")
    assert not screen.info
    changed = PAIRS["flipped"] | {"version": 3}
    gateway.standing[f"/v1/preferences/{ID}"] = changed
    button(screen, "Left is better").click().run()
    assert [request for request in gateway.requests if request.method == "POST"] == []
    assert "worker changed this pair since you last saw it" in " ".join(texts(screen.info))


def test_nobody_is_said_to_have_voted_on_a_pair_written_by_hand(gateway):
    gateway.standing[f"/v1/preferences/{ID}"] = pair(None, BLUE, SKY, method="by-hand/1")
    told = " ".join(texts(opened("annotate", pair=ID).caption))
    assert "ballots" not in told
    assert "by hand" in told


def test_whoever_looks_sees_what_is_thought_and_leaves_the_judgment_to_others(gateway):
    screen = shown(gateway, None)
    button(screen, "Look, and leave it to others").click().run()
    for seen in (screen, reloaded(screen, "annotate")):
        assert sides(seen) == [("**Proposed as worse** · bob", SKY), ("**Proposed as better** · ada", BLUE)]
        assert all(button(seen, label).disabled for label in ("Left is better", "Right is better", "Edit the texts"))
        assert "leave this pair to those who have not" in " ".join(texts(seen.info))
        assert not any(one.label.startswith(("Look", "Judge")) for one in seen.button)


def test_what_others_said_is_hidden_from_whoever_has_not_judged_a_pair_that_is_open(gateway):
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = {"mine": None, "others": [], "hidden": 2}
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["flipped"] | {"state": "disputed"}
    screen = opened("annotate", pair=ID)
    assert sides(screen) == [("**Left**", SKY), ("**Right**", BLUE)]
    assert "Judged by others: 2. What they said is shown once you have judged it." in texts(screen.caption)
    assert not any("by eva" in caption for caption in texts(screen.caption))
    assert not any(one.label.startswith(("History", "Opinions")) for one in screen.expander)
    assert button(screen, "Edit the texts").disabled


def test_a_verdict_that_is_refused_says_what_to_do_beside_its_buttons(gateway):
    screen = shown(gateway, "accepted")
    gateway.answers_with({"title": "Precondition Failed", "detail": "it is at version 3"}, status=412)
    button(screen, "Left is better").click().run()
    assert "Reload the page, see what it is now, and say it again" in texts(screen.error)[0]
    assert not screen.main.error
    assert not any(button(screen, label).disabled for label in ("Left is better", "Right is better", "Neither"))
