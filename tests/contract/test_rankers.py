"""What every Ranker promises, whatever its statistics."""

from __future__ import annotations

import math
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bradley_terry import BradleyTerry
from domain.ports import Ranker
from domain.ranking import Ballot, Outcome, ranked_pairs

NAMESPACE = UUID(int=1)
A, B, C, D = ANSWERS = [uuid5(NAMESPACE, name) for name in "abcd"]
RANKERS: list[Ranker] = [BradleyTerry()]


def ballot(n: int, first: UUID, second: UUID, outcome: Outcome) -> Ballot:
    return Ballot(uuid5(NAMESPACE, f"ballot {n}"), "judge", "verdict/1", first, second, outcome, ())


def ballots(*opinions: tuple[UUID, UUID, Outcome]) -> list[Ballot]:
    return [ballot(n, *opinion) for n, opinion in enumerate(opinions)]


opinions = st.lists(
    st.tuples(st.permutations(ANSWERS), st.sampled_from(Outcome)).map(lambda drawn: (*drawn[0][:2], drawn[1])),
    max_size=24,
).map(lambda drawn: ballots(*drawn))

every_ranker = pytest.mark.parametrize("ranker", RANKERS, ids=lambda ranker: ranker.method)


@every_ranker
def test_the_method_names_its_version(ranker: Ranker) -> None:
    name, _, version = ranker.method.partition("/")
    assert name
    assert int(version) >= 1


@every_ranker
def test_whoever_wins_is_stronger(ranker: Ranker) -> None:
    strengths = ranker.strengths(ballots((A, B, Outcome.FIRST), (C, B, Outcome.SECOND)))
    assert strengths[A] > strengths[B] > strengths[C]


@every_ranker
def test_both_orders_that_disagree_are_a_tie(ranker: Ranker) -> None:
    position_bias = ballots((A, B, Outcome.FIRST), (B, A, Outcome.FIRST))
    strengths = ranker.strengths(position_bias)
    assert strengths[A] == pytest.approx(strengths[B], abs=1e-4)
    assert ranked_pairs(strengths, position_bias) == []


@every_ranker
def test_a_tie_is_half_a_win_for_each(ranker: Ranker) -> None:
    tied = ranker.strengths(ballots((A, B, Outcome.TIE), (A, B, Outcome.TIE)))
    one_each = ranker.strengths(ballots((A, B, Outcome.FIRST), (A, B, Outcome.SECOND)))
    assert tied == pytest.approx(one_each, abs=1e-4)


@every_ranker
def test_ballots_that_cannot_be_parsed_say_nothing(ranker: Ranker) -> None:
    parsed = ballots((A, B, Outcome.FIRST))
    with_noise = [*parsed, ballot(9, B, A, Outcome.UNPARSEABLE), ballot(10, A, B, Outcome.UNPARSEABLE)]
    assert ranker.strengths(with_noise) == pytest.approx(ranker.strengths(parsed), abs=1e-6)


@every_ranker
def test_two_judges_of_one_mind_are_surer_than_one(ranker: Ranker) -> None:
    def margin(votes: int) -> float:
        strengths = ranker.strengths(ballots(*[(A, B, Outcome.FIRST)] * votes))
        return strengths[A] - strengths[B]

    assert 0 < margin(1) < margin(2) < margin(4) < 20


@every_ranker
@given(ballots=opinions)
@settings(max_examples=60, deadline=None)
def test_strengths_are_finite_for_every_answer_named_and_follow_from_the_ballots_alone(
    ranker: Ranker, ballots: list[Ballot]
) -> None:
    strengths = ranker.strengths(ballots)
    assert set(strengths) == {answer for b in ballots for answer in (b.first, b.second)}
    assert all(math.isfinite(strength) for strength in strengths.values())
    assert ranker.strengths(list(reversed(ballots))) == pytest.approx(strengths, abs=1e-3)
