"""Where an answer stands is drawn by lot, and changes nothing of what is said of it."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.views.sides import LEFT, NEITHER, RIGHT, Sides

BOTH_WAYS = pytest.mark.parametrize("sides", [Sides(turned=False), Sides(turned=True)], ids=["as proposed", "turned"])
LEVELS = ["the right one", "both", "the left one"]


def test_each_person_finds_a_pair_as_they_left_it_and_half_of_all_are_turned() -> None:
    drawn = [Sides.drawn("eva", str(UUID(int=number))) for number in range(1000)]
    assert drawn == [Sides.drawn("eva", str(UUID(int=number))) for number in range(1000)]
    assert 450 < sum(sides.turned for sides in drawn) < 550
    assert drawn != [Sides.drawn("ben", str(UUID(int=number))) for number in range(1000)]


@BOTH_WAYS
def test_a_choice_speaks_of_the_answer_that_stands_there(sides: Sides) -> None:
    left, right = sides.in_order("accepted", "flipped")
    assert [sides.verdict(choice) for choice in (LEFT, RIGHT, NEITHER)] == [left, right, "rejected"]
    assert [sides.words(verdict) for verdict in (left, right, "rejected", "edited")] == [
        "left is better",
        "right is better",
        "neither",
        "edited",
    ]


@given(st.booleans(), st.booleans(), st.integers(1, 3))
def test_a_rating_is_turned_back_by_what_turned_it(turned: bool, compares: bool, level: int) -> None:
    sides, criterion = Sides(turned), {"levels": LEVELS, "compares": compares}
    kept = sides.level(criterion, level)
    assert sides.level(criterion, kept) == level
    assert kept == (4 - level if turned and compares else level)
