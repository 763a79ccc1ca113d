"""Ranked pairs: what ballots tell apart, and nothing else."""

from __future__ import annotations

import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ranking import TIE_NATS, TIE_PROBABILITY, Ballot, Outcome, preferred, ranked_pairs
from tests.builders import a_ballot, an_id

ANSWERS = [an_id(name) for name in ("ada's", "ben's", "cyd's", "dot's")]
ONE, OTHER = ANSWERS[:2]
STRENGTHS = st.dictionaries(st.sampled_from(ANSWERS), st.floats(-50, 50))


@st.composite
def ballot_boxes(draw: st.DrawFn) -> list[Ballot]:
    cast = draw(st.lists(st.tuples(st.permutations(ANSWERS), st.sampled_from(Outcome))))
    return [a_ballot(order[0], order[1], outcome, name=f"ballot {n}") for n, (order, outcome) in enumerate(cast)]


@given(STRENGTHS, ballot_boxes())
def test_every_pair_has_ballots_a_stronger_answer_and_a_probability(
    strengths: dict[UUID, float], ballots: list[Ballot]
) -> None:
    pairs = ranked_pairs(strengths, ballots)
    cast = {ballot.id: ballot for ballot in ballots}
    for pair in pairs:
        assert pair.ballots
        assert all({cast[id].first, cast[id].second} == {pair.chosen, pair.rejected} for id in pair.ballots)
        assert all(cast[id].outcome is not Outcome.UNPARSEABLE for id in pair.ballots)
        assert strengths[pair.chosen] > strengths[pair.rejected]
        assert 0.5 < TIE_PROBABILITY <= pair.probability <= 1
        assert pair.margin == strengths[pair.chosen] - strengths[pair.rejected]
    assert len({frozenset((pair.chosen, pair.rejected)) for pair in pairs}) == len(pairs)
    assert [pair.margin for pair in pairs] == sorted((pair.margin for pair in pairs), reverse=True)


@given(STRENGTHS, ballot_boxes(), st.randoms())
def test_the_order_of_the_ballots_does_not_matter(
    strengths: dict[UUID, float], ballots: list[Ballot], chance: object
) -> None:
    shuffled = list(ballots)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    plain = [(pair.chosen, pair.rejected, set(pair.ballots)) for pair in ranked_pairs(strengths, ballots)]
    assert [(p.chosen, p.rejected, set(p.ballots)) for p in ranked_pairs(strengths, shuffled)] == plain


@pytest.mark.parametrize(("margin", "pairs"), [(0.0, 0), (0.1, 0), (0.2, 0), (0.21, 1), (-0.21, 1), (800.0, 1)])
def test_a_tie_makes_no_pair(margin: float, pairs: int) -> None:
    assert len(ranked_pairs({ONE: margin, OTHER: 0.0}, [a_ballot(ONE, OTHER)])) == pairs


def test_the_probability_is_that_of_the_margin() -> None:
    (pair,) = ranked_pairs({ONE: 0.0, OTHER: math.log(3)}, [a_ballot(ONE, OTHER)])
    assert (pair.chosen, pair.rejected) == (OTHER, ONE)
    assert pair.probability == pytest.approx(0.75)


def test_answers_that_no_readable_ballot_compared_make_no_pair() -> None:
    unread = a_ballot(ONE, OTHER, Outcome.UNPARSEABLE)
    assert ranked_pairs({ONE: 3.0, OTHER: 0.0}, [unread]) == []
    assert ranked_pairs({ONE: 3.0, OTHER: 0.0}, []) == []


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (-1.0, -2.0, Outcome.FIRST),
        (-2.0, -1.0, Outcome.SECOND),
        (-1.0, -1.0 - TIE_NATS / 2, Outcome.TIE),
        (None, -1.0, Outcome.UNPARSEABLE),
        (-1.0, None, Outcome.UNPARSEABLE),
    ],
)
def test_the_likelier_answer_is_preferred_unless_they_are_too_close(
    first: float | None, second: float | None, outcome: Outcome
) -> None:
    said, margin = preferred(first, second)
    assert said is outcome
    assert margin == (None if first is None or second is None else abs(first - second))
