"""What people do with a pair besides the verdict: ratings, opinions, skips, assignments and notes."""

from __future__ import annotations

import pytest

from tests.unit.ui.pairs import ID, PAIRS, an_opinion, part, sent_by, shown
from tests.unit.ui.screen import NOTHING, button, field, opened, texts

pytestmark = pytest.mark.usefixtures("eva")


def test_whoever_has_judged_sees_what_others_said_and_can_take_their_own_word_back(gateway):
    rated = {"ratings": {"truth": 3}, "rubric": 3}
    said = {"mine": an_opinion("eva", "accepted", **rated), "others": [an_opinion("dan", "flipped")], "hidden": 0}
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    screen = shown(gateway, "accepted")
    told = [text for text in texts(screen.markdown) if " by " in text]
    assert told[0].startswith("**right is better** by eva")
    assert told[0].endswith("truth\\: right")
    assert told[1].startswith("**left is better** by dan")
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Take my opinion back").click().run()
    assert sent_by(gateway) == (f"/v1/preferences/{ID}/undo", {"reason": ""})


def test_a_level_of_a_rubric_that_has_changed_is_told_as_one_of_the_pair_as_proposed(gateway):
    mine = an_opinion("eva", "accepted", ratings={"clarity": 5}, rubric=2)
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = {"mine": mine, "others": [], "hidden": 0}
    (told,) = [text for text in texts(shown(gateway, "accepted").markdown) if " by eva" in text]
    assert told.endswith("clarity 5 \\(as proposed\\)")


def test_what_is_not_known_of_a_word_that_counts_again_is_left_out(gateway):
    unknown = {"annotated_by": "ada", "annotator_kind": None, "annotated_at": None}
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["accepted"] | unknown
    assert "right is better; the last word was ada’s" in texts(opened("annotate", pair=ID).caption)


def test_a_rating_goes_with_the_verdict_as_of_the_pair_as_proposed_and_names_the_rubric(gateway):
    screen = shown(gateway, None)
    field(screen, "segmented_control", "Which one is true?").set_value(1).run()
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Left is better").click().run()
    _, body = sent_by(gateway)
    assert body == {"verdict": "flipped", "note": "", "ratings": {"truth": 3}, "rubric": 3}


def test_a_pair_says_why_it_is_in_the_queue_and_can_be_left_to_others(gateway):
    queued = {"preference_id": ID, "reasons": ["1 of 2 judges disagree", "margin 0.20"]}
    gateway.standing["/v1/annotations/queue"] = {"items": [queued], "next": None, "count": 1, "position": 9}
    screen = shown(gateway, None)
    assert any(told.startswith("In your queue: 1 of 2 judges disagree; margin") for told in texts(screen.caption))
    field(screen, "text_input", "Reason for skipping").input("I wrote it").run()
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Skip the pair").click().run()
    assert sent_by(gateway) == (f"/v1/preferences/{ID}/skip", {"reason": "I wrote it"})
    assert "pair" not in screen.query_params


def test_an_operator_assigns_a_pair_and_takes_it_from_somebody(gateway):
    screen = shown(gateway, None)
    field(screen, "text_input", "Annotator").input("cyd").run()
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Assign").click().run()
    assert sent_by(gateway, "PUT") == (f"/v1/preferences/{ID}/assignees/cyd", None)
    gateway.answers_with({"id": ID, "version": 4, "position": 10})
    button(screen, "Unassign").click().run()
    assert sent_by(gateway, "DELETE") == (f"/v1/preferences/{ID}/assignees/dan", None)


def test_a_person_takes_a_pair_that_is_asked_about_and_leaves_it(gateway):
    screen = shown(gateway, None)
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Take it").click().run()
    assert sent_by(gateway, "PUT") == (f"/v1/preferences/{ID}/assignees/eva", None)
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None] | {"assigned_to": ["eva"]}
    gateway.answers_with({"id": ID, "version": 4, "position": 10})
    button(opened("annotate", pair=ID), "Leave it").click().run()
    assert sent_by(gateway, "DELETE") == (f"/v1/preferences/{ID}/assignees/eva", None)
    assert button(shown(gateway, "accepted"), "Take it").disabled


def test_a_note_is_kept_without_a_verdict(gateway):
    screen = shown(gateway, None)
    field(screen, "text_input", "What others should know").input("ask a poet").run()
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Keep the note").click().run()
    assert sent_by(gateway) == (f"/v1/preferences/{ID}/notes", {"note": "ask a poet"})


@pytest.mark.parametrize(
    ("inside", "pressed", "status", "told"),
    [
        ("Skip", "Skip the pair", 409, "Go on with the next one"),
        ("Opinions", "Take my opinion back", 409, "There is nothing to take back"),
        ("Assigned", "Take it", 409, "Reload the page"),
        ("Withdraw", "Withdraw the pair", 412, "Reload the page"),
    ],
)
def test_a_refusal_says_what_to_do_inside_the_form_that_it_is_about(gateway, inside, pressed, status, told):
    said = {"mine": an_opinion("eva", "flipped"), "others": [], "hidden": 0}
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    queued = {"items": [{"preference_id": ID, "reasons": []}], "count": 1}
    gateway.standing["/v1/annotations/queue"] = NOTHING | queued
    screen = shown(gateway, None)
    gateway.answers_with({"title": "Conflict", "detail": "the preference was withdrawn"}, status=status)
    button(screen, pressed).click().run()
    (error,) = texts(screen.error)
    assert told in error
    assert texts(part(screen, inside).error) == [error]


def test_a_name_that_nobody_has_is_told_beside_its_field(gateway):
    screen = shown(gateway, None)
    button(screen, "Assign").click().run()
    assert texts(part(screen, "Assigned").error) == ["Write first whose it shall be."]
    field(screen, "text_input", "Annotator").input("zoe").run()
    gateway.answers_with({"title": "Unprocessable Content", "detail": "no token in force"}, status=422)
    button(screen, "Assign").click().run()
    assert "Write the name of an annotator" in texts(part(screen, "Assigned").error)[0]


def test_a_note_that_says_nothing_is_not_kept_and_the_person_is_told(gateway):
    screen = shown(gateway, None)
    button(screen, "Keep the note").click().run()
    assert texts(part(screen, "Note without a verdict").error) == ["Write first what others should know."]
