"""How the agents stand, and how their judges judge: what a ranking of all ballots says, in rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.estimates import Estimate, Judge, Ranking
from domain.ports.statistics import Ranker
from domain.ranking import Outcome, Tally
from projections.projector import Row
from projections.vote_counts import Concord

WINS = {Outcome.FIRST: ("won", "lost"), Outcome.SECOND: ("lost", "won"), Outcome.TIE: ("tied", "tied")}
"""What a ballot is to the answers that were shown first and second."""


def standings(ranking: Ranking[str], tally: Tally[str], cross_checks: Iterable[Ranker] = ()) -> list[Row]:
    """A row an agent that ballots name, the strongest first. `places` are those by other methods, from 1."""
    counts: Counter[tuple[str, str]] = Counter()
    for vote, count in tally.items():
        for agent, what in zip((vote.first, vote.second), WINS.get(vote.outcome, ()), strict=False):
            counts[agent, what] += count
    places = {ranker.method: _places(ranker.rank(tally).strengths) for ranker in cross_checks}
    return [
        {
            "agent": agent,
            "place": place,
            "strength": estimate(ranking.strength(agent), known=bool(ranking.covariance)),
            **{what: counts[agent, what] for what in ("won", "lost", "tied")},
            "places": {method: found[agent] for method, found in places.items()},
        }
        for agent, place in _places(ranking.strengths).items()
    ]


def judges(ranking: Ranking[str], tally: Tally[str], concord: Mapping[Judge, Concord]) -> list[Row]:
    """A row a judge and method, by name."""
    counts: Counter[tuple[Judge, Outcome]] = Counter()
    for vote, count in tally.items():
        counts[vote.judge, vote.outcome] += count
    return [_judge(judge, ranking, counts, concord.get(judge)) for judge in sorted({judge for judge, _ in counts})]


def _judge(
    judge: Judge, ranking: Ranking[str], counts: Mapping[tuple[Judge, Outcome], int], concord: Concord | None
) -> Row:
    cast: dict[Outcome, int] = {outcome: counts[judge, outcome] for outcome in Outcome}
    found = ranking.judges.get(judge)
    return {
        "judge": judge.name,
        "method": judge.method,
        "ballots": sum(cast.values()),
        **{outcome.value: count for outcome, count in cast.items()},
        "discrimination": found and estimate(found.discrimination),
        "position_bias": found and found.position_bias and estimate(found.position_bias),
        "self_preference": found and found.self_preference and estimate(found.self_preference),
        "compared": concord.compared if concord else 0,
        "agreement": concord.agreed / concord.compared if concord else None,
    }


def estimate(of: Estimate, known: bool = True) -> dict[str, Any]:
    """As it is answered; without an interval where its error is not known."""
    return {"value": of.value, "low": of.low if known else None, "high": of.high if known else None}


def _places(strengths: Mapping[str, float]) -> dict[str, int]:
    """Each one's, the strongest first; those of the same strength share theirs."""
    order: Sequence[str] = sorted(strengths, key=lambda agent: (-strengths[agent], agent))
    return {agent: 1 + sum(other > strengths[agent] for other in strengths.values()) for agent in order}
