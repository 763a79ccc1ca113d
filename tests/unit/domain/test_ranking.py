"""Ranked pairs: what ballots tell apart, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.estimates import Judge, Ranking
from domain.ranking import TIE_NATS, Ballot, Outcome, RankedPair, Vote, bar_of, preferred, ranked_pairs, tally
from tests.builders import a_ballot, an_id

ANSWERS = [an_id(name) for name in ("ada's", "ben's", "cyd's", "dot's")]
ONE, OTHER = ANSWERS[:2]
STRENGTHS = st.dictionaries(st.sampled_from(ANSWERS), st.floats(-50, 50))
METHODS = pytest.mark.parametrize("method", ["bradley-terry/1", "bradley-terry/2"])
FORMER, TODAYS = "bradley-terry/1", "bradley-terry/2"


def pairs_of(strengths: dict[UUID, float], ballots: list[Ballot], method: str = FORMER) -> list[RankedPair]:
    return ranked_pairs(Ranking(method, strengths), ballots)


@st.composite
def ballot_boxes(draw: st.DrawFn) -> list[Ballot]:
    cast = draw(st.lists(st.tuples(st.permutations(ANSWERS), st.sampled_from(Outcome))))
    judges = draw(st.lists(st.sampled_from(["ada", "ben", "cyd"]), min_size=len(cast), max_size=len(cast)))
    return [
        replace(a_ballot(order[0], order[1], outcome, name=f"ballot {n}"), judge=judge)
        for n, ((order, outcome), judge) in enumerate(zip(cast, judges, strict=True))
    ]


@METHODS
@given(strengths=STRENGTHS, ballots=ballot_boxes())
def test_every_pair_has_ballots_a_stronger_answer_and_a_probability(
    method: str, strengths: dict[UUID, float], ballots: list[Ballot]
) -> None:
    pairs = pairs_of(strengths, ballots, method)
    cast = {ballot.id: ballot for ballot in ballots}
    for pair in pairs:
        assert pair.ballots
        assert all({cast[id].first, cast[id].second} & {pair.chosen, pair.rejected} for id in pair.ballots)
        assert all(cast[id].outcome is not Outcome.UNPARSEABLE for id in pair.ballots)
        assert strengths[pair.chosen] > strengths[pair.rejected]
        assert 0.5 < bar_of(method).probability <= pair.probability <= 1
        assert pair.margin == strengths[pair.chosen] - strengths[pair.rejected]
    assert len({frozenset((pair.chosen, pair.rejected)) for pair in pairs}) == len(pairs)
    assert [pair.margin for pair in pairs] == sorted((pair.margin for pair in pairs), reverse=True)


@given(STRENGTHS, ballot_boxes(), st.randoms())
def test_the_order_of_the_ballots_does_not_matter(
    strengths: dict[UUID, float], ballots: list[Ballot], chance: object
) -> None:
    shuffled = list(ballots)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    plain = [(pair.chosen, pair.rejected, set(pair.ballots)) for pair in pairs_of(strengths, ballots)]
    assert [(p.chosen, p.rejected, set(p.ballots)) for p in pairs_of(strengths, shuffled)] == plain


@pytest.mark.parametrize(("margin", "pairs"), [(0.0, 0), (0.1, 0), (0.2, 0), (0.21, 1), (-0.21, 1), (800.0, 1)])
def test_a_tie_makes_no_pair(margin: float, pairs: int) -> None:
    assert len(pairs_of({ONE: margin, OTHER: 0.0}, [a_ballot(ONE, OTHER)])) == pairs


def test_the_probability_is_that_of_the_margin() -> None:
    (pair,) = pairs_of({ONE: 0.0, OTHER: math.log(3)}, [a_ballot(ONE, OTHER)])
    assert (pair.chosen, pair.rejected) == (OTHER, ONE)
    assert pair.probability == pytest.approx(0.75)


def test_answers_that_no_readable_ballot_compared_make_no_pair() -> None:
    unread = a_ballot(ONE, OTHER, Outcome.UNPARSEABLE)
    assert pairs_of({ONE: 3.0, OTHER: 0.0}, [unread]) == []
    assert pairs_of({ONE: 3.0, OTHER: 0.0}, []) == []


def by(judge: str, first: UUID, second: UUID, outcome: Outcome = Outcome.FIRST) -> Ballot:
    return replace(a_ballot(first, second, outcome, name=f"{judge}'s on {first} and {second}"), judge=judge)


@pytest.mark.parametrize(("probability", "pairs"), [(0.69, 0), (0.71, 1)])
def test_the_better_answer_must_be_expected_to_win_seven_ballots_in_ten(probability: float, pairs: int) -> None:
    strengths = {ONE: math.log(probability / (1 - probability)), OTHER: 0.0}
    assert len(pairs_of(strengths, [by("cyd", ONE, OTHER), by("dot", ONE, OTHER)], TODAYS)) == pairs


def test_one_judge_alone_proposes_nothing_however_often_it_says_so() -> None:
    alone = [by("cyd", ONE, OTHER), by("cyd", OTHER, ONE, Outcome.SECOND)]
    unread = by("dot", ONE, OTHER, Outcome.UNPARSEABLE)
    assert pairs_of({ONE: 3.0, OTHER: 0.0}, [*alone, unread], TODAYS) == []
    assert len(pairs_of({ONE: 3.0, OTHER: 0.0}, [*alone, by("dot", ONE, OTHER)], TODAYS)) == 1


def test_in_a_team_of_three_each_pair_is_before_one_judge_and_the_others_bear_on_it() -> None:
    adas, bens, cyds, _ = ANSWERS
    ballots = [by("cyd", adas, bens), by("ben", adas, cyds), by("ada", bens, cyds)]
    pairs = pairs_of({adas: 2.0, bens: 0.0, cyds: -2.0}, ballots, TODAYS)
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(adas, cyds), (adas, bens), (bens, cyds)]
    assert [pair.ballots for pair in pairs] == [(ballots[1].id,), (ballots[0].id,), (ballots[2].id,)]


def test_the_best_stands_against_the_worst_by_way_of_a_third_unless_nothing_leads_there() -> None:
    best, middle, worst, apart = ANSWERS
    ballots = [by("ada", best, middle), by("ben", middle, worst)]
    strengths = {best: 3.0, middle: 0.0, worst: -3.0, apart: -6.0}
    surest = pairs_of(strengths, ballots, TODAYS)[0]
    assert (surest.chosen, surest.rejected, surest.ballots) == (best, worst, tuple(ballot.id for ballot in ballots))
    assert not any(apart in (pair.chosen, pair.rejected) for pair in pairs_of(strengths, ballots, TODAYS))
    assert all(len(pair.ballots) == 1 for pair in pairs_of(strengths, ballots, FORMER)), "as it always was"


def test_what_a_ranking_is_unsure_of_is_nearer_to_a_toss() -> None:
    covariance = {(ONE, ONE): 1.0, (OTHER, OTHER): 1.0, (ONE, OTHER): -1.0, (OTHER, ONE): -1.0}
    sure, unsure = Ranking(TODAYS, {ONE: 1.0, OTHER: -1.0}), Ranking(TODAYS, {ONE: 1.0, OTHER: -1.0}, covariance)
    assert sure.probability(ONE, OTHER) == pytest.approx(1 / (1 + math.exp(-2)))
    assert 0.5 < unsure.probability(ONE, OTHER) < sure.probability(ONE, OTHER)
    assert unsure.probability(ONE, OTHER) + unsure.probability(OTHER, ONE) == pytest.approx(1)
    assert unsure.margin(ONE, OTHER).low == pytest.approx(2 - 1.96 * 2, abs=1e-3)


def test_a_tally_counts_equal_votes_together_and_keeps_those_that_nobody_can_read() -> None:
    counted = tally([by("ada", ONE, OTHER), by("ada", ONE, OTHER), by("ada", ONE, OTHER, Outcome.UNPARSEABLE)])
    judge = Judge("ada", "verdict/1")
    assert counted == {Vote(judge, ONE, OTHER, Outcome.FIRST): 2, Vote(judge, ONE, OTHER, Outcome.UNPARSEABLE): 1}


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
