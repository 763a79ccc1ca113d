"""After a verdict the next pair follows, and the word just given can be taken back."""

from __future__ import annotations

import pytest

from tests.unit.ui.pairs import BLUE, ID, PAIRS, SKY, an_opinion, sent_by, shown, sides
from tests.unit.ui.screen import NOTHING, button, opened, pressing, texts

NEXT = "01a223be-2a0b-71a9-97d5-d7de487ec045"


@pytest.fixture(autouse=True)
def two_wait(gateway, eva):
    """ID, and NEXT after it."""
    items = [{"preference_id": id, "reasons": []} for id in (ID, NEXT)]
    gateway.standing["/v1/annotations/queue"] = NOTHING | {"items": items, "count": 2}
    gateway.standing[f"/v1/preferences/{NEXT}"] = PAIRS[None] | {"preference_id": NEXT}
    gateway.standing[f"/v1/preferences/{NEXT}/opinions"] = {"mine": None, "others": [], "hidden": 0}


def spoken(gateway, **more):
    mine = an_opinion("eva", "flipped", **more)
    gateway.standing[f"/v1/preferences/{ID}/opinions"] = {"mine": mine, "others": [], "hidden": 0}


def test_a_second_press_on_what_the_browser_still_shows_leads_to_the_next_pair_too(gateway):
    screen = shown(gateway, None)
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    press = pressing(screen, "Left is better")
    for _ in range(3):
        screen.query_params["pair"] = ID
        press()
        assert screen.query_params == {"pair": NEXT, "judged": ID}
    assert len([request for request in gateway.requests if request.method == "POST"]) == 1


@pytest.mark.parametrize("place", [{"pair": NEXT}, {}])
def test_the_last_word_is_told_and_taken_back_at_its_pair(gateway, place):
    spoken(gateway)
    screen = opened("annotate", judged=ID, run="r1", **place)
    assert "Of the pair before you said: **left is better**" in texts(screen.caption)
    gateway.answers_with({"id": ID, "version": 4, "position": 10})
    button(screen, "Undo").click().run()
    assert sent_by(gateway) == (f"/v1/preferences/{ID}/undo", {"reason": ""})
    assert screen.query_params == {"pair": ID, "run": "r1"}


def test_a_word_that_was_taken_back_already_is_not_offered_again(gateway):
    assert "Undo" not in [one.label for one in opened("annotate", pair=NEXT, judged=ID).button]
    spoken(gateway, undone=True)
    assert "Undo" not in [one.label for one in opened("annotate", pair=NEXT, judged=ID).button]


def test_whoever_took_their_word_back_is_as_blind_as_they_were_also_where_others_settled_the_pair(gateway):
    screen = shown(gateway, None)
    gateway.answers_with({"id": ID, "version": 3, "position": 9})
    button(screen, "Left is better").click().run()
    gateway.standing[f"/v1/preferences/{ID}"] = PAIRS["accepted"]
    screen.query_params["pair"] = ID
    screen.run()
    assert sides(screen) == [("**Left**", SKY), ("**Right**", BLUE)]
