"""`bradley-terry/2` against ballots whose truth is known: strengths, judges, and how sure it says it is."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import kendalltau

from adapters.cross_checks import Borda, Copeland
from adapters.reliable_bradley_terry import ReliableBradleyTerry
from domain.estimates import Estimate, Judge, Ranking
from domain.ports.statistics import Ranker
from domain.ranking import Outcome, Vote
from tests.requirements import needs_real_inputs

RANKER = ReliableBradleyTerry()


@dataclass(frozen=True)
class Truth:
    """A judge's discrimination, and its biases (log-odds)."""

    name: str
    discrimination: float = 1.0
    position_bias: float = 0.0
    self_preference: float = 0.0
    method: str = "verdict/1"

    @property
    def judge(self) -> Judge:
        return Judge(self.name, self.method)


JUDGES = (Truth("ada", 1.5, 0.8), Truth("ben", 1.2, -0.5), Truth("cyd", 0.8), Truth("dot", 0.5, 1.0))
"""Their average is 1, as the strengths are told in its terms."""
CHANCE = Truth("eve", 0.0, 0.4)
STRENGTHS = np.linspace(-2.0, 2.0, 9)


def ballots(
    seed: int, a_pair: int, judges: Sequence[Truth] = JUDGES, strengths: Sequence[float] = tuple(STRENGTHS)
) -> Counter[Vote[int]]:
    """So many of each judge on each pair in each order. Who is compared is a ring with chords: no star, and not all.
    Answer 0 is the kin of every judge that favours itself."""
    chance, count = np.random.default_rng(seed), len(strengths)
    order = chance.permutation(count)
    ring = [(order[n], order[(n + step) % count]) for n in range(count) for step in (1, 3)]
    votes: Counter[Vote[int]] = Counter()
    for truth in judges:
        for first, second in (shown for one, other in ring for shown in ((one, other), (other, one))):
            kin = int(first == 0) - int(second == 0) if truth.self_preference else 0
            margin = truth.discrimination * (strengths[first] - strengths[second])
            log_odds = margin + truth.position_bias + truth.self_preference * kin
            firsts = int(chance.binomial(a_pair, 1 / (1 + np.exp(-log_odds))))
            votes[Vote(truth.judge, int(first), int(second), Outcome.FIRST, kin)] += firsts
            votes[Vote(truth.judge, int(first), int(second), Outcome.SECOND, kin)] += a_pair - firsts
    return +votes


class Opinion(NamedTuple):
    """A judge's, that is shown one answer at a time: which is better than which, the best first."""

    judge: Judge
    order: str


def opinion(judge: str, order: str) -> Opinion:
    return Opinion(Judge(judge, "likelihood/1"), order)


def cast(opinions: Mapping[Opinion, int]) -> Counter[Vote[str]]:
    """A ballot on every pair, and so many times each."""
    return Counter(
        {
            Vote(said.judge, better, worse, Outcome.FIRST): count
            for said, count in opinions.items()
            for better, worse in combinations(said.order, 2)
        }
    )


def order_of(ranking: Ranking[int]) -> list[float]:
    return [ranking.strengths[n] for n in range(len(STRENGTHS))]


def tau(ranker: Ranker, seed: int) -> float:
    """Kendall's, of the order that comes out and the true one."""
    found = kendalltau(STRENGTHS, order_of(ranker.rank(ballots(seed, 10, (*JUDGES, CHANCE)))))
    return float(found.statistic)


def holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def test_the_order_comes_out_whatever_the_judges_are_biased_for() -> None:
    taus = [tau(RANKER, seed) for seed in range(20)]
    assert np.mean(taus) >= 0.9
    assert min(taus) >= 0.85


@pytest.mark.parametrize("ranker", [Borda(), Copeland()], ids=lambda ranker: ranker.method)
def test_counting_comes_near_that_order_and_is_misled_where_not_all_have_met(ranker: Ranker) -> None:
    assert 0.7 <= np.mean([tau(ranker, seed) for seed in range(20)]) < 0.9


def test_a_judge_that_votes_by_chance_discriminates_nothing_and_the_others_do() -> None:
    found = [RANKER.rank(ballots(seed, 10, (*JUDGES, CHANCE))).judges for seed in range(20)]
    by_chance = [judges[CHANCE.judge].discrimination for judges in found]
    assert abs(np.mean([estimate.value for estimate in by_chance])) < 0.05
    assert all(abs(estimate.value) < 0.3 for estimate in by_chance)
    assert all(judges[truth.judge].discrimination.low > 0.3 for judges in found for truth in JUDGES)


def test_of_95_percent_intervals_so_many_hold_the_truth() -> None:
    """Over 500 seeds, with strengths of their own each time."""
    strengths, discriminations, biases, margins = [], [], [], []
    for seed in range(500):
        truth = np.random.default_rng([seed, 1]).normal(0, 1.2, 7)
        truth -= truth.mean()
        ranking = RANKER.rank(ballots(seed, 10, JUDGES, truth))
        strengths += [holds(ranking.strength(n), strength) for n, strength in enumerate(truth)]
        margins.append(holds(ranking.margin(0, 1), truth[0] - truth[1]))
        for judge in JUDGES:
            discriminations.append(holds(ranking.judges[judge.judge].discrimination, judge.discrimination))
            bias = ranking.judges[judge.judge].position_bias
            biases.append(bias is not None and holds(bias, judge.position_bias))
    for covered in (strengths, margins, discriminations, biases):
        assert 0.90 <= np.mean(covered) <= 0.98


def test_of_two_judges_that_contradict_each_other_neither_is_believed() -> None:
    """Whose ballots are a few more may still be the one that has it the wrong way round."""
    ada, ben = opinion("ada", "xy"), opinion("ben", "yx")
    for more in (51, 60):
        ranking = RANKER.rank(cast({ada: 50, ben: more}))
        assert ranking.probability("y", "x") == pytest.approx(0.5, abs=0.03)
        assert all(abs(ranking.strength(each).value) < ranking.strength(each).deviation for each in "xy")
        assert all(holds(judge.discrimination, truth) for judge in ranking.judges.values() for truth in (-1, 1, 3))


@pytest.mark.parametrize("count", [5, 500])
@pytest.mark.parametrize("orders", [("xy", "yx"), ("xyz", "yzx", "zxy")], ids=["opposites", "cycle"])
def test_ballots_in_balance_say_that_nothing_is_known(orders: Sequence[str], count: int) -> None:
    ranking = RANKER.rank(cast({opinion(order, order): count for order in orders}))
    for one, other in combinations(orders[0], 2):
        assert ranking.probability(one, other) == pytest.approx(0.5, abs=0.001)
        assert ranking.margin(one, other).deviation > 0.3
    for judge in ranking.judges.values():
        assert judge.discrimination.value == pytest.approx(1)
        assert judge.discrimination.deviation > 0.3


def test_a_third_judge_s_one_ballot_does_not_decide_between_two_that_contradict_each_other() -> None:
    ranking = RANKER.rank(cast({opinion("ada", "vwxyz"): 1, opinion("ben", "zyxwv"): 1, opinion("cyd", "vw"): 1}))
    assert 0.5 < ranking.probability("v", "w") < 0.6
    assert all(0.4 < ranking.probability(one, other) < 0.6 for one, other in combinations("vwxyz", 2))


def test_one_judge_that_has_it_the_wrong_way_round_is_found_out_by_two_others() -> None:
    contrary = opinion("dot", "zyxwv")
    ranking = RANKER.rank(cast({opinion("ada", "vwxyz"): 2, opinion("ben", "vwxyz"): 2, contrary: 2}))
    assert ranking.judges[contrary.judge].discrimination.high < 0
    assert all(ranking.probability(one, other) > 0.75 for one, other in combinations("vwxyz", 2))


def test_a_judge_that_favours_its_own_is_told_from_one_whose_own_is_better() -> None:
    partial = (*JUDGES, Truth("eve", 1.0, 0.0, self_preference=1.5))
    ranking = RANKER.rank(ballots(1, 40, partial))
    found = ranking.judges[partial[-1].judge].self_preference
    assert found is not None
    assert holds(found, 1.5)
    assert found.low > 0.5
    assert all(ranking.judges[truth.judge].self_preference is None for truth in JUDGES), "nothing to tell it by"
    assert ranking.strength(0).value == pytest.approx(-2, abs=0.6), "its vote makes nobody stronger"


def test_a_judge_that_sees_one_answer_at_a_time_has_no_bias_for_a_place() -> None:
    alone = Truth("ada", method="likelihood/1")
    assert RANKER.rank(ballots(1, 2, [alone, JUDGES[1]])).judges[alone.judge].position_bias is None


def test_one_judge_alone_is_the_measure_of_its_own_ballots() -> None:
    (reliability,) = RANKER.rank(ballots(1, 5, JUDGES[:1])).judges.values()
    assert reliability.discrimination == Estimate(1.0)


def test_the_same_ballots_again_say_the_same_more_surely() -> None:
    once = ballots(3, 10)
    fourfold = Counter({vote: 4 * count for vote, count in once.items()})
    few, many = RANKER.rank(once), RANKER.rank(fourfold)
    for n in range(len(STRENGTHS)):
        assert many.strength(n).deviation == pytest.approx(few.strength(n).deviation / 2, rel=0.1)
        assert holds(few.strength(n), many.strength(n).value)


def test_millions_of_ballots_are_no_more_work_than_their_counts() -> None:
    millions = Counter({vote: 2000 * count for vote, count in ballots(3, 10).items()})
    assert millions.total() > 2_000_000
    found = RANKER.rank(millions)
    assert order_of(found) == sorted(order_of(found))
    assert all(estimate.deviation < 0.01 for estimate in map(found.strength, islice(found.strengths, 3)))


def test_real_judgments_put_models_in_the_order_of_the_ballots_that_they_won() -> None:
    """4,821 judgments by GPT-4 of six models, each against the same seventh."""
    file = needs_real_inputs() / "alpaca_eval_judgments.jsonl.gz"
    judge, votes = Judge("gpt-4", "verdict/1"), Counter[Vote[str]]()
    with gzip.open(file, "rt") as lines:
        for said in map(json.loads, lines):
            outcome = {1.0: Outcome.FIRST, 2.0: Outcome.SECOND}.get(said["preference"], Outcome.TIE)
            votes[Vote(judge, said["generator_1"], said["generator_2"], outcome)] += 1
    assert votes.total() == 4821
    ranking = RANKER.rank(votes)
    won = Borda().rank(votes).strengths
    rivals = {vote.second for vote in votes}
    assert sorted(rivals, key=ranking.strengths.__getitem__) == sorted(rivals, key=won.__getitem__)
    assert all(0 < ranking.margin(one, other).deviation < 0.5 for one, other in combinations(rivals, 2))
