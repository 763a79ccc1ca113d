"""Evaluations: figures with honest intervals, when they are enough, and an evaluation's life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bootstrap_interval import resampling
from domain.errors import AlreadyDone, Invalid
from domain.evaluation import Evaluation, EvaluationState, Plan, Subject
from domain.evaluation_figures import (
    Duel,
    Judged,
    Likelihood,
    PromotionRule,
    ScoredPair,
    figures,
    interval,
)
from domain.job import ResultFile
from domain.ranking import Outcome
from tests.builders import NOW, an_id, topics
from tests.story import FIGURES

FILE = ResultFile("ab" * 32, 10)
BOOTSTRAP = resampling(7)
SUBJECT = Subject("team@2", "base", "tiny", an_id("dataset"), "test", 1, ("ada",))


def narrow(values: Sequence[float]) -> tuple[float, float]:
    return fmean(values), fmean(values)


def an_evaluation() -> Evaluation:
    return Evaluation.request(an_id("evaluation"), SUBJECT, Plan(), an_id("job"), at=NOW)


def a_pair(
    base: tuple[float, float],
    adapter: tuple[float, float],
    lengths: tuple[int, int] = (10, 10),
    prompt: str = "Which city?",
) -> ScoredPair:
    """By the totals of chosen and rejected, in answers of so many tokens."""

    def both(totals: tuple[float, float]) -> tuple[Likelihood, Likelihood]:
        chosen, rejected = (Likelihood(total, total / n) for total, n in zip(totals, lengths, strict=True))
        return chosen, rejected

    return ScoredPair(an_id("pair"), prompt, {"base": both(base), "team@2": both(adapter)})


def a_duel(*ballots: tuple[Outcome, bool], other: str = "Lyon.") -> Duel:
    judged = tuple(Judged("ada", "verdict/1", outcome, first) for outcome, first in ballots)
    return Duel("Which city?", "Paris.", other, judged)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1), min_size=1, max_size=30))
def test_an_interval_contains_its_estimate_and_stays_within_bounds(values: list[float]) -> None:
    found = interval(values, 0, 1, lambda differing: BOOTSTRAP(differing))
    assert found
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == len(values)


def test_the_same_values_give_the_same_interval_and_it_covers_what_the_textbook_says() -> None:
    values = [1.0] * 14 + [0.0] * 6
    assert resampling(3)(values) == resampling(3)(values)
    low, high = resampling(3)(values)
    assert (low, high) == (pytest.approx(0.5, abs=0.06), pytest.approx(0.875, abs=0.06))


def test_values_that_are_all_the_same_are_not_certain() -> None:
    few, many = (interval([1.0] * n, 0, 1, BOOTSTRAP) for n in (5, 100))
    assert few
    assert many
    assert (few.value, few.high, round(few.low, 3)) == (1.0, 1.0, 0.478)  # Clopper and Pearson's, of 5 out of 5
    assert few.low < many.low < 1.0
    still = interval([0.0] * 10, -1, 1, BOOTSTRAP)
    assert still
    assert (still.low, still.high) == (-still.high, -still.low)
    assert interval([], 0, 1, BOOTSTRAP) is None


@pytest.mark.parametrize(
    ("values", "least", "bounds"),
    [([0.5] * 39 + [1.0], 0, (0.476, 0.560)), ([0.0] * 199 + [1.0], -1, (-0.010, 0.025))],
)
def test_one_value_that_differs_does_not_make_the_others_certain(
    values: list[float], least: float, bounds: tuple[float, float]
) -> None:
    """39 ties and a win are not at least a tie, nor is one pair gained of 200 no loss at the worst."""
    found = interval(values, least, 1, BOOTSTRAP)
    assert found
    assert (found.low, found.high) == pytest.approx(bounds, abs=0.006)
    assert found.low < min(values)


def test_accuracy_is_of_the_total_of_the_mean_and_of_the_reward() -> None:
    """The base prefers the shorter, rejected answer by its total, and a little per token; the adapter neither."""
    pair = a_pair(base=(-22, -10), adapter=(-9, -10), lengths=(20, 10))
    found = figures([pair], [], "team@2", "base", "base", 3, 1, narrow)
    base, adapter = found.accuracies
    assert (base.by_total.value, base.by_mean.value, base.by_reward) == (0.0, 0.0, None)
    assert (adapter.by_total.value, adapter.by_mean.value) == (1.0, 1.0)
    assert adapter.by_reward
    assert adapter.by_reward.value == 1.0
    assert found.gain
    assert (found.gain.value, found.seen, found.refused, found.win_rate) == (1.0, 3, 1, None)


def test_a_longer_answer_may_be_likelier_per_token_and_less_likely_as_a_whole() -> None:
    pair = a_pair(base=(-12, -10), adapter=(-12, -10), lengths=(20, 10))
    base, adapter = figures([pair], [], "team@2", "base", "base", 0, 0, narrow).accuracies
    assert (base.by_total.value, base.by_mean.value) == (adapter.by_total.value, adapter.by_mean.value) == (0.0, 1.0)


def test_pairs_on_one_prompt_are_one_word_of_many() -> None:
    """They share answers: resampled one by one they would seem to be more than they are."""
    gained = a_pair(base=(-2, -1), adapter=(-1, -2), prompt="one with many answers")
    same = a_pair(base=(-1, -2), adapter=(-1, -2), prompt="another")
    found = figures([gained] * 9 + [same], [], "team@2", "base", "base", 0, 0, narrow)
    assert found.gain
    assert (found.pairs, found.gain.value, found.gain.n) == (10, 0.5, 2)
    base, adapter = found.accuracies
    assert [(one.by_mean.value, one.by_mean.n) for one in (base, adapter)] == [(0.5, 2), (1.0, 2)]


def test_equal_likelihoods_count_half() -> None:
    found = figures([a_pair((-1, -1), (-1, -1))], [], "team@2", "base", "base", 0, 0, narrow)
    assert [one.by_total.value for one in found.accuracies] == [0.5, 0.5]


def test_a_win_is_the_adapters_whichever_was_shown_first() -> None:
    assert a_duel((Outcome.FIRST, True), (Outcome.SECOND, False)).score == 1.0
    assert a_duel((Outcome.FIRST, True), (Outcome.FIRST, False)).score == 0.5
    assert a_duel((Outcome.UNPARSEABLE, True), (Outcome.TIE, True)).score == 0.5
    assert a_duel((Outcome.UNPARSEABLE, True)).score is None
    assert a_duel(other="Paris. ").score == 0.5


def test_who_says_nothing_has_lost_and_needs_no_judge() -> None:
    assert a_duel(other=" ").score == 1.0
    assert replace(a_duel(), answer="").score == 0.0
    assert replace(a_duel(other=""), answer="\n").score == 0.5


def test_duels_are_counted_and_what_cannot_be_read_is_told() -> None:
    duels = [
        a_duel((Outcome.FIRST, True)),
        a_duel((Outcome.SECOND, True)),
        a_duel((Outcome.UNPARSEABLE, True)),
        a_duel(other="Paris."),
    ]
    found = figures([a_pair((-1, -2), (-1, -2))], duels, "team@2", "base", "base", 0, 0, narrow)
    assert (found.prompts, found.won, found.tied, found.lost, found.same) == (3, 1, 1, 1, 1)
    assert (found.ballots, found.unparseable) == (3, 1)


def test_an_adapter_is_promoted_by_the_lower_ends_of_both_intervals() -> None:
    rule = PromotionRule(win_rate=0.5, gain=0.0)
    assert rule.allows(FIGURES)
    assert not PromotionRule(0.51, 0.0).allows(FIGURES)
    assert not PromotionRule(0.5, 0.06).allows(FIGURES)
    assert not rule.allows(replace(FIGURES, win_rate=None))
    said = rule.reason(FIGURES, "base", UUID(int=7))
    assert all(part in said for part in (str(UUID(int=7)), "0.650 [0.500, 0.800]", "against base"))


@pytest.mark.parametrize(
    "plan",
    [Plan(pairs=0, prompts=0), Plan(pairs=-1), Plan(prompts=-1), Plan(max_tokens=0), Plan(seed=-1), Plan(pairs=10**9)],
)
def test_an_evaluation_asks_about_something_and_not_about_everything(plan: Plan) -> None:
    with pytest.raises(Invalid):
        Evaluation.request(an_id("evaluation"), SUBJECT, plan, an_id("job"), at=NOW)


def test_nothing_is_evaluated_against_itself_nor_before_a_crowd() -> None:
    for subject in (replace(SUBJECT, against="team@2"), replace(SUBJECT, judges=tuple("abcdefghi"))):
        with pytest.raises(Invalid):
            Evaluation.request(an_id("evaluation"), subject, Plan(), an_id("job"), at=NOW)


def test_a_result_comes_once_however_often_the_job_is_done() -> None:
    evaluation = an_evaluation()
    evaluation.complete(FIGURES, FILE, at=NOW)
    evaluation.complete(replace(FIGURES, pairs=1), FILE, at=NOW)
    assert topics(evaluation) == ["requested", "completed"]
    with pytest.raises(AlreadyDone):
        evaluation.fail("late", at=NOW)


def test_a_job_that_is_taken_out_of_the_dead_letters_may_still_bring_a_result() -> None:
    evaluation = an_evaluation()
    evaluation.fail("the model server is away", at=NOW)
    evaluation.complete(FIGURES, FILE, at=NOW)
    assert evaluation.state is EvaluationState.COMPLETED


def test_a_cancelled_evaluation_stays_without_a_result_also_one_that_had_failed() -> None:
    for failed in (False, True):
        evaluation = an_evaluation()
        if failed:
            evaluation.fail("the model server is away", at=NOW)
        evaluation.cancel("not needed", at=NOW)
        for late in (
            lambda evaluation: evaluation.complete(FIGURES, FILE, at=NOW),
            lambda evaluation: evaluation.fail("late", at=NOW),
            lambda evaluation: evaluation.cancel("again", at=NOW),
        ):
            with pytest.raises(AlreadyDone):
                late(evaluation)
        assert evaluation.state is EvaluationState.CANCELLED


def test_an_evaluation_that_has_its_figures_is_not_cancelled() -> None:
    evaluation = an_evaluation()
    evaluation.complete(FIGURES, FILE, at=NOW)
    with pytest.raises(AlreadyDone):
        evaluation.cancel("not needed", at=NOW)
