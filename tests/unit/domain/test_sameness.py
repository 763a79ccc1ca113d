"""When prompts and pairs are the same, and which of those that are stay."""

from __future__ import annotations

from itertools import permutations

import pytest

from domain.dataset_recipe import Contradictions, Duplicates, Recipe
from domain.model_call import Message
from domain.sameness import Dropped, Rival, choice_key, losers, prompt_key
from tests.builders import a_pair


def key(*messages: tuple[str, str]) -> bytes:
    return prompt_key([Message(role, content) for role, content in messages])


def test_a_prompt_is_the_same_whatever_its_case_white_space_and_system_message() -> None:
    assert key(("user", "Why?  Caf\u00e9")) == key(("system", "Be kind."), ("user", " why?\ncafe\u0301"))
    assert key(("user", "Why?")) != key(("assistant", "Why?"))
    assert key(("user", "Why?"), ("user", "How?")) != key(("user", "Why?How?"))


def test_a_pair_and_its_flip_are_one_choice() -> None:
    one, swapped = choice_key(b"", a_pair("Paris.", "Rome."))
    other, also = choice_key(b"", a_pair("Rome.", "Paris."))
    assert one == other
    assert swapped is not also
    assert choice_key(b"", a_pair("paris.", "Rome."))[0] != one


def rival(number: int, swapped: bool = False, weight: float = 0.5, settled: bool = False) -> Rival:
    return Rival(number, swapped, 1.0 if settled else weight, settled, position=10 * number)


@pytest.mark.parametrize(
    ("rivals", "stay"),
    [
        ([rival(0), rival(1)], [0]),
        ([rival(0), rival(1, weight=0.6)], [1]),
        ([rival(0), rival(1, swapped=True)], []),
        ([rival(0, settled=True), rival(1, swapped=True), rival(2)], [0]),
        ([rival(0, settled=True), rival(1, swapped=True, settled=True)], [1]),
        ([rival(0, settled=True), rival(1, settled=True), rival(2, swapped=True)], [0]),
    ],
)
def test_the_heaviest_stays_or_what_somebody_said_last(rivals: list[Rival], stay: list[int]) -> None:
    for order in permutations(rivals):
        gone = dict(losers(order, Recipe()))
        assert sorted({each.number for each in rivals} - gone.keys()) == stay


def test_each_rule_can_be_turned_off() -> None:
    rivals = [rival(0), rival(1), rival(2, swapped=True, settled=True)]
    assert dict(losers(rivals, Recipe(contradictions=Contradictions.KEEP))) == {1: Dropped.DUPLICATE}
    keep = Recipe(duplicates=Duplicates.KEEP)
    assert dict(losers(rivals, keep)) == dict.fromkeys((0, 1), Dropped.CONTRADICTED)
    strict = Recipe(contradictions=Contradictions.DROP)
    assert dict(losers(rivals, strict)) == dict.fromkeys((0, 1, 2), Dropped.CONTRADICTED)
