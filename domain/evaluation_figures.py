"""What an evaluation says in figures, each with an interval, and when that is enough to promote an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from uuid import UUID

from domain.ranking import Outcome

CONFIDENCE = 0.95

Resample = Callable[[Sequence[float]], tuple[float, float]]
"""The bootstrap: the interval of CONFIDENCE for the mean of such values, at least two of which differ."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `n` values, and the interval of CONFIDENCE around it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a model finds an answer: log-probabilities in nats, of all its tokens and per token."""

    total: float
    mean: float


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A held-out pair; by the model's name how likely it finds the chosen answer, and the rejected one. `prompt` is the
    same of all pairs on the same prompt."""

    preference_id: UUID
    prompt: str
    scores: Mapping[str, tuple[Likelihood, Likelihood]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's ballot on two answers, of which it saw the adapter's first or second. `margin` in nats per token, where
    the method has one."""

    judge: str
    method: str
    outcome: Outcome
    adapter_first: bool
    margin: float | None = None

    @property
    def score(self) -> float | None:
        """1 for the adapter, 0 for the other, a half for a tie; None where it cannot be read."""
        match self.outcome:
            case Outcome.UNPARSEABLE:
                return None
            case Outcome.TIE:
                return 0.5
            case _:
                return float((self.outcome is Outcome.FIRST) == self.adapter_first)


@dataclass(frozen=True, slots=True)
class Duel:
    """Two answers to one prompt and what judges said of them, where it takes any to tell."""

    prompt: str
    answer: str
    other: str
    ballots: tuple[Judged, ...] = ()

    @property
    def same(self) -> bool:
        """Whether both are the same words, or none."""
        return self.answer.strip() == self.other.strip()

    @property
    def settled(self) -> float | None:
        """The score of what needs no judge: the same words twice are a tie, and who says nothing has lost."""
        if self.same:
            return 0.5
        if self.answer.strip() and self.other.strip():
            return None
        return float(bool(self.answer.strip()))

    @property
    def score(self) -> float | None:
        """From 0, lost, to 1, won: the mean over its ballots, where a tie is a half. None where none can be read."""
        if self.settled is not None:
            return self.settled
        read = [score for ballot in self.ballots if (score := ballot.score) is not None]
        return fmean(read) if read else None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """In what share of pairs, by prompt, a model prefers the chosen answer: by the log-probability of all its tokens,
    for which a shorter answer is likelier; per token, as judges by likelihood go, which decides; and by the implicit
    reward, the total less the base model's, as TRL's `rewards/accuracies`, of which the base has none. Equal ones count
    half."""

    model: str
    by_total: Interval
    by_mean: Interval
    by_reward: Interval | None


@dataclass(frozen=True, slots=True)
class Figures:
    """`pairs` were scored and `seen` ones left out, since a contestant was trained on their prompt; `refused` counts
    the pairs and prompts that a model does not take. `gain`: by how much the adapter's accuracy per token is above that
    of what it is against, prompt by prompt. `win_rate`: of its answers over the other's, over `prompts`, of which it
    won, tied and lost so many; `same` were the same words. None: nothing was there to be measured."""

    pairs: int
    seen: int
    refused: int
    accuracies: tuple[Accuracy, ...]
    gain: Interval | None
    win_rate: Interval | None
    prompts: int
    won: int
    tied: int
    lost: int
    same: int
    ballots: int
    unparseable: int


def interval(values: Sequence[float], least: float, most: float, resample: Resample) -> Interval | None:
    """The mean of values that lie in [least, most]; None of none.

    Where all of them are the same, a bootstrap would claim to be certain. What was not seen in n values may still be in
    a share of `1 - ((1 - CONFIDENCE) / 2) ** (1 / n)` of all, as Clopper and Pearson's interval has it, at either end.
    Where they differ, one unseen value at either end is added, else the sample's own least would bound it.
    """
    if not values:
        return None
    value, n = fmean(values), len(values)
    if min(values) == max(values):
        unseen = 1 - ((1 - CONFIDENCE) / 2) ** (1 / n)
        return Interval(value, value - unseen * (value - least), value + unseen * (most - value), n)
    low, high = resample([*values, least, most])
    return Interval(value, max(least, min(low, value)), min(most, max(high, value)), n)


def figures(
    pairs: Sequence[ScoredPair],
    duels: Sequence[Duel],
    adapter: str,
    against: str,
    base: str,
    seen: int,
    refused: int,
    resample: Resample,
) -> Figures:
    """All of them. `base` names the model that rewards are measured from."""
    models = dict.fromkeys((base, against, adapter))
    gains = [_prefers(pair, adapter, _mean) - _prefers(pair, against, _mean) for pair in pairs]
    scores = [score for duel in duels if (score := duel.score) is not None]
    ballots = [ballot for duel in duels for ballot in duel.ballots]
    return Figures(
        pairs=len(pairs),
        seen=seen,
        refused=refused,
        accuracies=tuple(_accuracy(pairs, model, base, resample) for model in models) if pairs else (),
        gain=interval(_by_prompt(pairs, gains), -1, 1, resample),
        win_rate=interval(scores, 0, 1, resample),
        prompts=len(scores),
        won=sum(score > 0.5 for score in scores),
        tied=sum(score == 0.5 for score in scores),
        lost=sum(score < 0.5 for score in scores),
        same=sum(duel.same for duel in duels),
        ballots=len(ballots),
        unparseable=sum(ballot.score is None for ballot in ballots),
    )


@dataclass(frozen=True, slots=True)
class PromotionRule:
    """An adapter is promoted where the lower ends of both intervals are at least so much: of its `win_rate`, and of its
    `gain` in accuracy. What was not measured does not speak for it."""

    win_rate: float
    gain: float

    def allows(self, found: Figures) -> bool:
        """Whether these figures are enough."""
        return (
            found.win_rate is not None
            and found.gain is not None
            and found.win_rate.low >= self.win_rate
            and found.gain.low >= self.gain
        )

    def reason(self, found: Figures, against: str, evaluation: UUID) -> str:
        """Why they are, for the history."""
        return (
            f"by policy, after evaluation {evaluation}: win rate against {against} {found.win_rate} of at least "
            f"{self.win_rate:g}, gain in held-out accuracy {found.gain} of at least {self.gain:g}"
        )


def _accuracy(pairs: Sequence[ScoredPair], model: str, base: str, resample: Resample) -> Accuracy:
    def share(measure: Callable[[ScoredPair, str], tuple[float, float]]) -> Interval:
        found = interval(_by_prompt(pairs, [_prefers(pair, model, measure) for pair in pairs]), 0, 1, resample)
        if found is None:
            raise ValueError("there is no accuracy without pairs")
        return found

    def reward(pair: ScoredPair, model: str) -> tuple[float, float]:
        chosen, rejected = _total(pair, model)
        base_chosen, base_rejected = _total(pair, base)
        return chosen - base_chosen, rejected - base_rejected

    return Accuracy(model, share(_total), share(_mean), None if model == base else share(reward))


def _by_prompt(pairs: Sequence[ScoredPair], values: Sequence[float]) -> list[float]:
    """The mean of the pairs' values on each prompt: pairs on one prompt share answers, and are no independent word."""
    found: dict[str, list[float]] = {}
    for pair, value in zip(pairs, values, strict=True):
        found.setdefault(pair.prompt, []).append(value)
    return [fmean(of_prompt) for of_prompt in found.values()]


def _total(pair: ScoredPair, model: str) -> tuple[float, float]:
    chosen, rejected = pair.scores[model]
    return chosen.total, rejected.total


def _mean(pair: ScoredPair, model: str) -> tuple[float, float]:
    chosen, rejected = pair.scores[model]
    return chosen.mean, rejected.mean


def _prefers(pair: ScoredPair, model: str, measure: Callable[[ScoredPair, str], tuple[float, float]]) -> float:
    chosen, rejected = measure(pair, model)
    return 0.5 if chosen == rejected else float(chosen > rejected)
