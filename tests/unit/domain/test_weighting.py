"""Which pairs a training takes by their weights."""

from __future__ import annotations

import random
from operator import itemgetter

from hypothesis import given
from hypothesis import strategies as st

from domain.weighting import heaviest, lot_of
from tests.builders import an_id


@given(weights=st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=12), limit=st.integers(1, 12), order=st.randoms())
def test_the_same_pairs_are_taken_in_whichever_order_they_come(
    weights: list[float], limit: int, order: random.Random
) -> None:
    pairs = [(weight, an_id(str(n))) for n, weight in enumerate(weights)]
    shuffled = order.sample(pairs, len(pairs))
    taken = heaviest(shuffled, itemgetter(0), lambda pair: lot_of(pair[1]), limit)
    assert taken == [pair for pair in shuffled if pair in taken]
    assert set(taken) == set(heaviest(pairs, itemgetter(0), lambda pair: lot_of(pair[1]), limit))
    assert sorted((weight for weight, _ in taken), reverse=True) == sorted(filter(None, weights), reverse=True)[:limit]


def test_of_a_sorted_file_of_equal_pairs_some_of_everywhere_are_taken() -> None:
    """A thousand of one model and then a thousand of another, as imported files may be."""
    taken = heaviest([an_id(str(n)) for n in range(2000)], lambda _: 1.0, lot_of, limit=200)
    first = {an_id(str(n)) for n in range(1000)}
    assert 70 < len(first.intersection(taken)) < 130
