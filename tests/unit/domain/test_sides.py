"""Where an answer stands is drawn by lot, and changes nothing of what is said of it."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.opinion import Standing
from domain.sides import LEFT, NEITHER, RIGHT, Sides, may_speak_first

BOTH_WAYS = pytest.mark.parametrize("sides", [Sides(turned=False), Sides(turned=True)], ids=["as proposed", "turned"])


def test_each_person_finds_a_pair_as_they_left_it_and_half_of_all_are_turned() -> None:
    drawn = [Sides.drawn("eva", str(UUID(int=number))) for number in range(1000)]
    assert drawn == [Sides.drawn("eva", str(UUID(int=number))) for number in range(1000)]
    assert 450 < sum(sides.turned for sides in drawn) < 550
    assert drawn != [Sides.drawn("ben", str(UUID(int=number))) for number in range(1000)]


@BOTH_WAYS
def test_a_choice_speaks_of_the_answer_that_stands_there(sides: Sides) -> None:
    left, right = sides.in_order("accepted", "flipped")
    assert [sides.verdict(choice) for choice in (LEFT, RIGHT, NEITHER)] == [left, right, "rejected"]
    assert [sides.told(verdict) for verdict in (left, right, "rejected", "edited")] == [
        "left is better",
        "right is better",
        "neither",
        "edited",
    ]


@given(st.booleans(), st.booleans(), st.integers(1, 3))
def test_a_rating_is_turned_back_by_what_turned_it(turned: bool, compares: bool, level: int) -> None:
    sides = Sides(turned)
    criterion = {"levels": ["right", "both", "left"], "compares": compares}
    kept = sides.level(level, criterion)
    assert sides.level(kept, criterion) == level
    assert kept == (4 - level if turned and compares else level)


@pytest.mark.parametrize("state", Standing)
def test_a_first_word_is_asked_of_whoever_has_not_spoken_while_nothing_is_decided(state: Standing) -> None:
    undecided = state in (Standing.WAITING, Standing.DISPUTED, Standing.IMPORTED)
    assert may_speak_first("eva", state.value, ["ada"]) is undecided
    assert not may_speak_first("ada", state.value, ["ada"])
