"""Agreement, by the figures that were published for it."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from adapters.agreement import Agreement

KRIPPENDORFF = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
"""Four observers and twelve units, one of them without a pair: Krippendorff, Computing Krippendorff's Alpha-Reliability
(2011), example C; ordinal alpha is 0.815."""


def given(*observers: tuple[int | None, ...]) -> dict[str, dict[UUID, int]]:
    return {
        f"o{n}": {UUID(int=unit): value for unit, value in enumerate(values) if value is not None}
        for n, values in enumerate(observers)
    }


def test_alpha_of_ordinal_data_with_gaps_is_what_krippendorff_found() -> None:
    assert Agreement().alpha(given(*KRIPPENDORFF)) == pytest.approx(0.815, abs=0.0005)


@pytest.mark.parametrize(
    "values",
    [{}, given((1, 2, 3)), given((1, None), (None, 2)), given((1, 1), (1, 1)), given((1, None), (1, 5))],
)
def test_where_nothing_is_shared_or_nothing_differs_alpha_says_nothing(values: dict[str, dict[UUID, int]]) -> None:
    assert Agreement().alpha(values) is None


def test_kappa_is_what_cohen_found() -> None:
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    pairs = [pair for pair, count in table.items() for _ in range(count)]
    assert Agreement().kappa(pairs) == pytest.approx(0.4)


def test_kappa_of_chance_is_nothing_and_of_one_mind_is_one() -> None:
    chance = random.Random(7)
    guesses = [(chance.choice("ab"), chance.choice("ab")) for _ in range(20_000)]
    assert abs(Agreement().kappa(guesses) or 1) < 0.03
    assert Agreement().kappa([("a", "a"), ("b", "b")]) == 1
    assert Agreement().kappa([("a", "a"), ("a", "a")]) is None
    assert Agreement().kappa([]) is None
