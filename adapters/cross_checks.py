"""Two rankings by plain counting, to check the statistical ones against: `borda/1` and `copeland/1`.

Their strengths are log-odds so that they can be compared with others'; only the order means anything.

Young, "Condorcet's Theory of Voting", 1988, on both; Copeland, "A 'Reasonable' Social Welfare Function", 1951.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from domain.estimates import C, Ranking
from domain.ranking import Outcome, Tally


class Borda:
    """The Ranker port: whoever wins the larger share of all its ballots is stronger."""

    method = "borda/1"

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        """By the share of ballots won."""
        return _by_points(self.method, tally, _points(tally).items())


class Copeland:
    """The Ranker port: whoever wins the majority against the larger share of the others is stronger."""

    method = "copeland/1"

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        """By the share of majorities won."""
        points = _points(tally)
        majorities = (
            (pair, float(won > points[pair[::-1]]) if won != points[pair[::-1]] else 0.5)
            for pair, won in points.items()
        )
        return _by_points(self.method, tally, majorities)


def _points(tally: Tally[C]) -> dict[tuple[C, C], float]:
    """How many ballots each candidate won against each other one that it met; a tie is half a win for both."""
    points: dict[tuple[C, C], float] = defaultdict(float)
    for vote, count in tally.items():
        if vote.outcome is not Outcome.UNPARSEABLE:
            share = {Outcome.FIRST: 1.0, Outcome.SECOND: 0.0}.get(vote.outcome, 0.5)
            points[vote.first, vote.second] += share * count
            points[vote.second, vote.first] += (1 - share) * count
    return points


def _by_points(method: str, tally: Tally[C], points: Iterable[tuple[tuple[C, C], float]]) -> Ranking[C]:
    """The log-odds of winning, with half a point more on either side (Haldane and Anscombe), 0 on average."""
    won: dict[C, float] = {one: 0.5 for vote in tally for one in (vote.first, vote.second)}
    lost = dict(won)
    for (winner, loser), share in points:
        won[winner] += share
        lost[loser] += share
    log_odds = {one: math.log(won[one] / lost[one]) for one in won}
    mean = sum(log_odds.values()) / max(1, len(log_odds))
    return Ranking(method, {one: value - mean for one, value in log_odds.items()})
