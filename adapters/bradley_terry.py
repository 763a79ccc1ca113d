"""The ranking method `bradley-terry/1`: the strengths that explain all ballots of a task best.

Bradley and Terry, "Rank Analysis of Incomplete Block Designs", 1952; computed by choix as a maximum a posteriori
estimate, so that it exists, and is finite, for few ballots and for answers that never lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import choix

from domain.ranking import Ballot, Outcome

PENALTY = 0.1
"""How much the strengths are drawn towards zero: `PENALTY * strength ** 2` each, beside one log-likelihood a ballot."""

HALVES = 2
"""choix knows no ties and no weights: every ballot counts as two halves, and a tie gives one to each answer."""


class BradleyTerry:
    """The Ranker port."""

    method = "bradley-terry/1"

    def strengths(self, ballots: Sequence[Ballot]) -> Mapping[UUID, float]:
        """The strength (log-odds) of every answer that a ballot names, 0 on average."""
        answers = sorted({answer for ballot in ballots for answer in (ballot.first, ballot.second)})
        place = {answer: n for n, answer in enumerate(answers)}
        halves = [(place[winner], place[loser]) for ballot in ballots for winner, loser in _halves(ballot)]
        if not halves:
            return dict.fromkeys(answers, 0.0)
        strengths = choix.opt_pairwise(len(answers), halves, alpha=HALVES * PENALTY)
        return {answer: float(strengths[n]) for answer, n in place.items()}


def _halves(ballot: Ballot) -> Iterator[tuple[UUID, UUID]]:
    """Winner and loser, twice; nothing where the ballot could not be parsed."""
    one, other = (ballot.first, ballot.second), (ballot.second, ballot.first)
    match ballot.outcome:
        case Outcome.FIRST:
            yield from (one, one)
        case Outcome.SECOND:
            yield from (other, other)
        case Outcome.TIE:
            yield from (one, other)
