"""The ranking method `bradley-terry/1`: the strengths that explain all ballots of a task best.

Bradley and Terry, "Rank Analysis of Incomplete Block Designs", 1952; computed by choix as a maximum a posteriori
estimate, so that it exists, and is finite, for few ballots and for answers that never lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import choix

from domain.estimates import C, Ranking
from domain.ranking import Outcome, Tally

PENALTY = 0.1
"""How much the strengths are drawn towards zero: `PENALTY * strength ** 2` each, beside one log-likelihood a ballot."""

HALVES = 2
"""choix knows no ties and no weights: every ballot counts as two halves, and a tie gives one to each answer."""
WINS: Mapping[Outcome, tuple[bool, ...]] = {
    Outcome.FIRST: (True, True),
    Outcome.SECOND: (False, False),
    Outcome.TIE: (True, False),
}
"""Whether the answer that was shown first has won, of each half; none of ballots that nobody could parse."""


class BradleyTerry:
    """The Ranker port. It writes every ballot out: for a task's ballots, not for millions."""

    method = "bradley-terry/1"

    def rank(self, tally: Tally[C]) -> Ranking[C]:
        """Strengths alone: it knows neither their errors nor the judges'."""
        answers = list(dict.fromkeys(one for vote in tally for one in (vote.first, vote.second)))
        place = {answer: n for n, answer in enumerate(answers)}
        halves = [
            (place[vote.first], place[vote.second]) if first_won else (place[vote.second], place[vote.first])
            for vote, count in tally.items()
            for first_won in WINS.get(vote.outcome, ()) * count
        ]
        if not halves:
            return Ranking(self.method, dict.fromkeys(answers, 0.0))
        strengths = choix.opt_pairwise(len(answers), halves, alpha=HALVES * PENALTY)
        return Ranking(self.method, {answer: float(strengths[n]) for answer, n in place.items()})
