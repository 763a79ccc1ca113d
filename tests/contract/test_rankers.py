"""What every Ranker promises, whatever its statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bradley_terry import BradleyTerry
from adapters.cross_checks import Borda, Copeland
from adapters.reliable_bradley_terry import ReliableBradleyTerry
from domain.ports.statistics import Ranker
from domain.ranking import Ballot, Outcome, ranked_pairs, tally

NAMESPACE = UUID(int=1)
A, B, C, D = ANSWERS = [uuid5(NAMESPACE, name) for name in "abcd"]
TURNED = {outcome: outcome for outcome in Outcome} | {Outcome.FIRST: Outcome.SECOND, Outcome.SECOND: Outcome.FIRST}
RANKERS: list[Ranker] = [BradleyTerry(), ReliableBradleyTerry(), Borda(), Copeland()]


def ballot(n: int, first: UUID, second: UUID, outcome: Outcome) -> Ballot:
    return Ballot(uuid5(NAMESPACE, f"ballot {n}"), "judge", "verdict/1", first, second, outcome, ())


def ballots(*opinions: tuple[UUID, UUID, Outcome]) -> list[Ballot]:
    return [ballot(n, *opinion) for n, opinion in enumerate(opinions)]


def strengths(ranker: Ranker, ballots: Iterable[Ballot]) -> Mapping[UUID, float]:
    return ranker.rank(tally(ballots)).strengths


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
    found = strengths(ranker, ballots((A, B, Outcome.FIRST), (C, B, Outcome.SECOND)))
    assert found[A] > found[B] > found[C]


@every_ranker
def test_both_orders_that_disagree_are_a_tie(ranker: Ranker) -> None:
    position_bias = ballots((A, B, Outcome.FIRST), (B, A, Outcome.FIRST))
    ranking = ranker.rank(tally(position_bias))
    assert ranking.strengths[A] == pytest.approx(ranking.strengths[B], abs=1e-4)
    assert ranked_pairs(ranking, position_bias) == []


@every_ranker
def test_a_tie_is_half_a_win_for_each(ranker: Ranker) -> None:
    tied = strengths(ranker, ballots((A, B, Outcome.TIE), (A, B, Outcome.TIE)))
    one_each = strengths(ranker, ballots((A, B, Outcome.FIRST), (A, B, Outcome.SECOND)))
    assert tied == pytest.approx(one_each, abs=1e-4)


@every_ranker
def test_ballots_that_cannot_be_parsed_say_nothing(ranker: Ranker) -> None:
    parsed = ballots((A, B, Outcome.FIRST))
    with_noise = [*parsed, ballot(9, B, A, Outcome.UNPARSEABLE), ballot(10, A, B, Outcome.UNPARSEABLE)]
    assert strengths(ranker, with_noise) == pytest.approx(strengths(ranker, parsed), abs=1e-6)


@every_ranker
def test_more_ballots_of_one_mind_are_not_less_sure(ranker: Ranker) -> None:
    def margin(votes: int) -> float:
        found = strengths(ranker, ballots(*[(A, B, Outcome.FIRST)] * votes))
        return found[A] - found[B]

    assert 0 < margin(1) <= margin(2) <= margin(4) < 20


@every_ranker
@given(ballots=opinions)
@settings(max_examples=60, deadline=None)
def test_strengths_are_finite_for_every_answer_named_and_follow_from_the_ballots_alone(
    ranker: Ranker, ballots: list[Ballot]
) -> None:
    found = strengths(ranker, ballots)
    assert set(found) == {answer for b in ballots for answer in (b.first, b.second)}
    assert all(math.isfinite(strength) for strength in found.values())
    assert sum(found.values()) == pytest.approx(0, abs=1e-3)
    assert strengths(ranker, reversed(ballots)) == pytest.approx(found, abs=1e-3)


@every_ranker
@given(ballots=opinions, names=st.permutations(ANSWERS))
@settings(max_examples=40, deadline=None)
def test_it_does_not_matter_what_the_answers_are_called(
    ranker: Ranker, ballots: list[Ballot], names: list[UUID]
) -> None:
    called = dict(zip(ANSWERS, names, strict=True))
    renamed = [replace(b, first=called[b.first], second=called[b.second]) for b in ballots]
    expected = {called[answer]: strength for answer, strength in strengths(ranker, ballots).items()}
    assert strengths(ranker, renamed) == pytest.approx(expected, abs=1e-3)


@every_ranker
@given(ballots=opinions)
@settings(max_examples=40, deadline=None)
def test_a_likelihood_ballot_reads_the_same_from_either_side(ranker: Ranker, ballots: list[Ballot]) -> None:
    """With ballots of a judge that is shown both answers at once the order may matter: that is its bias."""
    seen_alone = [replace(b, method="likelihood/1") for b in ballots]
    turned = [replace(b, first=b.second, second=b.first, outcome=TURNED[b.outcome]) for b in seen_alone]
    assert strengths(ranker, turned) == pytest.approx(strengths(ranker, seen_alone), abs=1e-3)
