"""An edit is of the pair as its author sees it, and its words stay with their answer."""

from __future__ import annotations

import pytest

from tests.unit.ui.pairs import BETTER, BLUE, ID, PAIRS, SKY, an_opinion, completion, shown
from tests.unit.ui.screen import button, field, opened, texts

pytestmark = pytest.mark.usefixtures("eva")


def test_an_edited_pair_shows_the_texts_that_count_above_those_that_were_proposed(gateway):
    screen = shown(gateway, "edited")
    headings, answers = texts(screen.markdown), texts(screen.text)
    assert headings.index("**Better** · ada") < headings.index("**Proposed as better** · ada")
    assert answers.index(BETTER) < answers.index(BLUE)


@pytest.mark.parametrize(
    ("verdict", "left", "right"),
    [
        ("accepted", ("The worse answer", SKY), ("The better answer", BLUE)),
        ("flipped", ("The better answer", SKY), ("The worse answer", BLUE)),
    ],
)
def test_an_edit_begins_with_the_texts_that_count_each_at_its_side(gateway, verdict, left, right):
    screen = shown(gateway, verdict)
    button(screen, "Edit the texts").click().run()
    assert [(area.label, area.value) for area in screen.text_area] == [left, right]


def test_where_people_disagree_an_edit_is_of_the_pair_as_its_author_sees_it(gateway):
    said = {
        "mine": an_opinion("eva", "flipped", choice="flipped"),
        "others": [an_opinion("dan", "accepted")],
        "hidden": 0,
    }
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS[None] | {"state": "disputed"}
    screen = opened("annotate", pair=ID)
    button(screen, "Edit the texts").click().run()
    assert [(area.label, area.value) for area in screen.text_area] == [
        ("The better answer", SKY),
        ("The worse answer", BLUE),
    ]


def test_an_edit_is_gone_on_with_and_seen_by_whoever_has_judged(gateway):
    written = {"chosen": completion(BETTER, "bob"), "rejected": completion(BLUE, "ada")}
    revised = {"type": "preference.revised", "actor": "eva", "time": "2026-01-01T00:00:00Z"}
    revised |= {"data": {"annotator": "eva", "pair": written, "consensus": {"choice": None}}}
    mine = an_opinion("eva", "edited", choice="flipped", note="shorter", ratings={"truth": 3}, rubric=3)
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = {"mine": mine, "others": [], "hidden": 0}
    noted = revised | {"type": "preference.noted", "data": {"annotator": "eva", "note": "ask a poet"}}
    disputed = PAIRS[None] | {"state": "disputed", "history": [*PAIRS[None]["history"], revised, noted]}
    gateway.standing[f"/v1/preferences/{ID}"] = disputed
    screen = opened("annotate", pair=ID)
    assert f"The better answer: {BETTER}" in texts(screen.text)
    assert any(
        text.startswith("**edited: left is better** by eva".replace(":", "\\:")) for text in texts(screen.markdown)
    )
    button(screen, "Edit the texts").click().run()
    assert [area.value for area in screen.text_area] == [BETTER, BLUE]
    assert (
        field(screen, "text_input", "Note").value,
        field(screen, "segmented_control", "Which one is true?").value,
    ) == (
        "shorter",
        1,
    )


def test_a_draft_of_an_edit_stays_with_its_answer_when_the_majority_turns(gateway):
    said = {"mine": an_opinion("eva", "accepted"), "others": [], "hidden": 0}
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    screen = shown(gateway, "accepted")
    button(screen, "Edit the texts").click().run()
    field(screen, "text_area", "The better answer").input(BETTER).run()
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["flipped"] | {"version": 3}
    screen.run()
    assert [(area.label, area.value) for area in screen.text_area] == [
        ("The better answer", SKY),
        ("The worse answer", BETTER),
    ]


def test_a_pair_that_was_flipped_before_several_people_judged_is_edited_as_it_stands(gateway):
    """Its events say nothing of a majority."""
    said = {"mine": an_opinion("eva", "flipped"), "others": [], "hidden": 0}
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["flipped"] | {"history": PAIRS["flipped"]["history"][:1]}
    screen = opened("annotate", pair=ID)
    button(screen, "Edit the texts").click().run()
    assert [(area.label, area.value) for area in screen.text_area] == [
        ("The better answer", SKY),
        ("The worse answer", BLUE),
    ]


def test_whoever_is_outvoted_is_told_what_an_edit_says(gateway):
    said = {"mine": an_opinion("eva", "flipped", choice="flipped"), "others": [], "hidden": 0}
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = said
    screen = shown(gateway, "accepted")
    button(screen, "Edit the texts").click().run()
    assert any("Most people chose the other answer than you" in told for told in texts(screen.caption))


@pytest.mark.parametrize(
    ("better", "told"),
    [(BLUE, "Both texts stand as they were"), (" ", "An answer is empty"), (SKY, "Both answers say the same")],
)
def test_an_edit_that_nothing_can_be_learnt_from_is_not_sent_and_the_person_is_told_what_to_do(gateway, better, told):
    screen = shown(gateway, "accepted")
    button(screen, "Edit the texts").click().run()
    field(screen, "text_area", "The better answer").input(better).run()
    button(screen, "Save the edit").click().run()
    assert [request for request in gateway.requests if request.method == "POST"] == []
    assert told in " ".join(texts(screen.error))
