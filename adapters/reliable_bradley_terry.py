"""The ranking method `bradley-terry/2`: how strong the candidates are, and how reliable the judges, explained together.

A judge j that is shown a and then b prefers a with the log-odds

    d[j] * (s[a] - s[b]) + p[j] + k[j] * kin

s: strengths (Bradley and Terry, "Rank Analysis of Incomplete Block Designs", 1952). d: the judge's discrimination, as
in item response theory and crowd-BT (Chen et al., "Pairwise Ranking Aggregation in a Crowdsourced Setting", WSDM 2013).
p: its bias for the first place (Davidson and Beaver, "On Extending the Bradley-Terry Model to Incorporate Within-Pair
Order Effects", Biometrics 1977), and k: likewise, for its own kin. A tie is half a vote for each.

The estimate is the most probable one under normal priors, so that it exists, and is finite, for few ballots; its
covariance is the inverse of the observed information (Laplace), and wider where the posterior has rival modes. Computed
by scipy from counts, never from ballots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import minimize
from scipy.special import expit

from domain.estimates import C, Estimate, Judge, Ranking, Reliability
from domain.ranking import Outcome, Tally

Floats = NDArray[np.float64]

PENALTY = 0.1
"""How much strengths are drawn towards zero: `PENALTY * strength ** 2` each, as in `bradley-terry/1`."""
DISCRIMINATION_DEVIATION = 0.5
"""Of the prior of a judge's discrimination, whose mean is 1: a few ballots leave it there."""
BIAS_DEVIATION = 1.0
"""Of the prior of a bias (log-odds), whose mean is 0."""

RIVAL_NATS = 10.0
"""Modes whose log posteriors lie closer are both to be reckoned with. By simulation those of two judges that go against
each other mostly do, even where one cast half as many ballots again; those of one against two or three do not."""
NUDGE = 0.5
"""How far from a saddle the descents start, one on each side."""

SHARES: Mapping[Outcome, float] = {Outcome.FIRST: 1.0, Outcome.SECOND: 0.0, Outcome.TIE: 0.5}
"""How much of a vote goes to the answer that was shown first. Those that nobody can read are not among them."""


class ReliableBradleyTerry:
    """The Ranker port."""

    method = "bradley-terry/2"

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        """Strengths and reliabilities, and how sure they are. The average ballot has a discrimination of 1."""
        candidates = list(dict.fromkeys(one for vote in tally for one in (vote.first, vote.second)))
        readable = {vote: count for vote, count in tally.items() if vote.outcome in SHARES}
        if not readable:
            return Ranking(self.method, dict.fromkeys(candidates, 0.0))
        model = _Model(candidates, readable)
        model.fit()
        return Ranking(self.method, model.strengths(), model.covariance(), model.judges())


class _Model:
    """A cell is a judge, what it was shown first and second, and whose kin they are.

    The parameters lie in one vector: strengths; discriminations, as departures from 1 in a basis in which they cancel
    out over all ballots, since only their product with the strengths shows; biases; self-preferences."""

    def __init__(self, candidates: list[Any], readable: Tally[Any]) -> None:
        self._candidates = candidates
        place = {candidate: n for n, candidate in enumerate(candidates)}
        cells = sorted({(vote.judge, place[vote.first], place[vote.second], vote.kin) for vote in readable})
        row = {cell: n for n, cell in enumerate(cells)}
        self._ballots, self._firsts = np.zeros(len(cells)), np.zeros(len(cells))
        for vote, count in readable.items():
            n = row[vote.judge, place[vote.first], place[vote.second], vote.kin]
            self._ballots[n] += count
            self._firsts[n] += count * SHARES[vote.outcome]

        judges = [judge for judge, *_ in cells]
        kin = np.array([kin for *_, kin in cells], float)
        self._judges = list(dict.fromkeys(judges))
        by_judge = _one_hot(judges, self._judges)
        self._biased = [judge for judge in self._judges if judge.sees_both]
        self._partial = list(dict.fromkeys(judge for judge, *_, kin in cells if kin))
        self._basis = null_space((self._ballots @ by_judge)[np.newaxis])

        self._compared = _one_hot([first for _, first, *_ in cells], range(len(candidates)))
        self._compared -= _one_hot([second for _, _, second, _ in cells], range(len(candidates)))
        self._departing = by_judge @ self._basis
        self._swayed = np.hstack([_one_hot(judges, self._biased), kin[:, np.newaxis] * _one_hot(judges, self._partial)])
        sizes = (len(candidates), self._basis.shape[1], self._swayed.shape[1])
        self._ends = tuple(np.cumsum(sizes))
        precisions = (2 * PENALTY, DISCRIMINATION_DEVIATION**-2, BIAS_DEVIATION**-2)
        self._precision = np.repeat(precisions, sizes)

    def fit(self) -> None:
        """Finds the most probable parameters, and their covariance.

        Where judges contradict each other, each may be the one to believe, and the posterior has several modes. One
        that is far more probable than the others is taken. Else the ballots cannot tell: then all judges are taken for
        alike, and how far away the modes are adds to the errors."""
        alike = self._minimum(np.zeros(self._ends[-1]), discriminating=False)
        curvatures, directions = np.linalg.eigh(self._information(alike))
        if curvatures[0] >= 0:
            self._settle(self._minimum(alike))
            return
        downhill = NUDGE * directions[:, 0]
        modes = [self._minimum(alike + downhill), self._minimum(alike - downhill)]
        best = min(modes, key=self._nats)
        modes.append(self._minimum(self._mirrored(best)))
        best = min(modes, key=self._nats)
        likely = [mode for mode in modes if self._nats(mode) < self._nats(best) + RIVAL_NATS]
        if all(np.allclose(mode, best, atol=0.01) for mode in likely):
            self._settle(best)
            return
        self._settle(alike, discriminating=False)
        self._errors += np.mean([np.outer(mode - alike, mode - alike) for mode in likely], axis=0)

    def _settle(self, at: Floats, discriminating: bool = True) -> None:
        """These are the parameters; without discriminating, the errors of discriminations are their prior's."""
        free = self._free(discriminating)
        information = self._information(at)[np.ix_(free, free)] * self._ballots.sum()
        self._at, self._errors = at, np.diag(1 / self._precision)
        self._errors[np.ix_(free, free)] = np.linalg.inv(information)

    def _minimum(self, start: Floats, discriminating: bool = True) -> Floats:
        """Where the loss is least, downhill from there; without discriminating, all departures stay as they are."""
        free = self._free(discriminating)

        def moved(to: Floats) -> Floats:
            at = start.copy()
            at[free] = to
            return at

        def loss(to: Floats) -> tuple[float, Floats]:
            value, gradient = self._loss(moved(to))
            return value, gradient[free]

        def information(to: Floats) -> Floats:
            return self._information(moved(to))[np.ix_(free, free)]

        options = {"gtol": 1e-9}
        found = minimize(loss, start[free], jac=True, hess=information, method="trust-exact", options=options)
        return moved(found.x)

    def _free(self, discriminating: bool) -> NDArray[np.intp]:
        start, end, count = self._ends
        return np.array([n for n in range(count) if discriminating or not start <= n < end])

    def _mirrored(self, at: Floats) -> Floats:
        """With the strengths turned round, and the judges that were not believed now believed."""
        _, end, count = self._ends
        mirrored: Floats = at * np.repeat((-1.0, 1.0), (end, count - end))
        return mirrored

    def _nats(self, at: Floats) -> float:
        """The negative log of the posterior, up to a constant."""
        return float(self._loss(at)[0] * self._ballots.sum())

    def strengths(self) -> dict[Any, float]:
        """Of each candidate; 0 on average."""
        return dict(zip(self._candidates, self._at[: self._ends[0]].tolist(), strict=True))

    def covariance(self) -> dict[tuple[Any, Any], float]:
        """Of the strengths, as they stand against their average."""
        size = self._ends[0]
        centred = np.eye(size) - 1 / size
        errors = centred @ self._errors[:size, :size] @ centred
        return {
            (one, other): float(errors[n, m])
            for n, one in enumerate(self._candidates)
            for m, other in enumerate(self._candidates)
        }

    def judges(self) -> dict[Judge, Reliability]:
        """Each judge's, as far as it can be told."""
        start, end = self._ends[:2]
        departures = self._basis @ self._at[start:end]
        spread = np.sqrt(np.einsum("ij,jk,ik->i", self._basis, self._errors[start:end, start:end], self._basis))
        deviations = np.sqrt(np.diag(self._errors)[end:])
        sways = [Estimate(*pair) for pair in zip(self._at[end:].tolist(), deviations.tolist(), strict=True)]
        biases = dict(zip(self._biased, sways, strict=False))
        partialities = dict(zip(self._partial, sways[len(self._biased) :], strict=True))
        return {
            judge: Reliability(
                Estimate(1 + float(departures[n]), float(spread[n])), biases.get(judge), partialities.get(judge)
            )
            for n, judge in enumerate(self._judges)
        }

    def _loss(self, at: Floats) -> tuple[float, Floats]:
        """The negative log of the posterior, a ballot, and its gradient."""
        log_odds, slopes = self._log_odds(at)
        losses = self._ballots * np.logaddexp(0, log_odds) - self._firsts * log_odds
        loss = losses.sum() + self._precision @ at**2 / 2
        gradient = slopes.T @ self._residuals(log_odds) + self._precision * at
        return loss / self._ballots.sum(), gradient / self._ballots.sum()

    def _information(self, at: Floats) -> Floats:
        """The loss's second derivatives."""
        log_odds, slopes = self._log_odds(at)
        variances = self._ballots * expit(log_odds) * expit(-log_odds)
        information: Floats = slopes.T @ (variances[:, np.newaxis] * slopes) + np.diag(self._precision)
        start, end = self._ends[:2]
        both = self._compared.T @ (self._residuals(log_odds)[:, np.newaxis] * self._departing)
        information[:start, start:end] += both
        information[start:end, :start] += both.T
        information /= self._ballots.sum()
        return information

    def _log_odds(self, at: Floats) -> tuple[Floats, Floats]:
        """That the first one is preferred, of each cell, and their derivatives by the parameters."""
        strengths, departures, sways = np.split(at, self._ends[:2])
        margins, discriminations = self._compared @ strengths, 1 + self._departing @ departures
        slopes = np.hstack(
            [discriminations[:, np.newaxis] * self._compared, margins[:, np.newaxis] * self._departing, self._swayed]
        )
        return discriminations * margins + self._swayed @ sways, slopes

    def _residuals(self, log_odds: Floats) -> Floats:
        residuals: Floats = self._ballots * expit(log_odds) - self._firsts
        return residuals


def _one_hot(values: Sequence[Any], choices: Sequence[Any]) -> Floats:
    """A row a value, with a 1 in the column of its choice, if it is one."""
    return np.array([[float(value == choice) for choice in choices] for value in values]).reshape(
        len(values), len(choices)
    )
