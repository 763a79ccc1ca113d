"""What old ballots say by another method: which pairs would be the same, turned around, new or gone. Only a look: what
was proposed stays."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from uuid import UUID

from sqlalchemy import Connection, select

from domain.ports.statistics import Ranker
from domain.ranking import Ballot, Outcome, RankedPair, ranked_pairs, tally
from domain.workflow import State
from projections import ballots, workflow_runs
from projections.paging import Page, cursor_after, every, page
from projections.projector import Row

MOST_BALLOTS = 10_000
"""That one page ranks anew; by bradley-terry/1, which writes each out, these take some four seconds."""


def reranked(
    db: Connection,
    ranker: Ranker,
    against: Ranker,
    run: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page:
    """A row each completed run that cast ballots, the newest first: how `ranker` would have it where `against` has it
    otherwise. Pairs are what the ballots make; that two answers are word for word the same, they do not know.

    A page ends early with the run that brings it to MOST_BALLOTS; one that has more by itself is not compared.
    """
    runs = workflow_runs.TABLE.c
    query = select(runs.run_id, runs.requested_position, runs.ballots)
    query = query.where(runs.state == State.COMPLETED.value, runs.ballots > 0)
    if run is not None:
        query = query.where(runs.run_id == run)
    found = _affordable(page(db, query, runs.requested_position, cursor, limit))
    cast = _ballots(db, [row["run_id"] for row in found.items if row["ballots"] <= MOST_BALLOTS])
    rows = [{"run_id": row["run_id"], **_compared(row, cast, ranker, against)} for row in found.items]
    return Page(rows, found.next_cursor)


def _affordable(found: Page) -> Page:
    """Its first runs, as many as have MOST_BALLOTS together; one at least."""
    up_to = list(accumulate(row["ballots"] for row in found.items))
    count = max(1, bisect_right(up_to, MOST_BALLOTS))
    if count >= len(found.items):
        return found
    return Page(found.items[:count], cursor_after(found.items[count - 1]["requested_position"]))


def _compared(run: Row, cast: Mapping[UUID, Sequence[Ballot]], ranker: Ranker, against: Ranker) -> Row:
    if run["ballots"] > MOST_BALLOTS:
        return {"ballots": run["ballots"], "compared": False, "same": 0, "pairs": []}
    return {"compared": True, **differing(cast[run["run_id"]], ranker, against)}


def differing(cast: Sequence[Ballot], ranker: Ranker, against: Ranker) -> Row:
    """The pairs of one task by both methods: how many are the same, and the others one by one."""
    counted = tally(cast)
    ours = _by_answers(ranked_pairs(ranker.rank(counted), cast))
    theirs = _by_answers(ranked_pairs(against.rank(counted), cast))
    changes = {answers: _change(ours.get(answers), theirs.get(answers)) for answers in {**ours, **theirs}}
    return {
        "ballots": len(cast),
        "same": list(changes.values()).count(None),
        "pairs": [
            {"change": change, "ours": _told(ours.get(answers)), "theirs": _told(theirs.get(answers))}
            for answers, change in changes.items()
            if change
        ],
    }


def _change(ours: RankedPair | None, theirs: RankedPair | None) -> str | None:
    if ours is None or theirs is None:
        return "gone" if ours is None else "new"
    return None if ours.chosen == theirs.chosen else "flipped"


def _told(pair: RankedPair | None) -> Row | None:
    return None if pair is None else {"chosen": pair.chosen, "rejected": pair.rejected, "probability": pair.probability}


def _by_answers(pairs: Sequence[RankedPair]) -> Mapping[frozenset[UUID], RankedPair]:
    return {frozenset((pair.chosen, pair.rejected)): pair for pair in pairs}


def _ballots(db: Connection, runs: Sequence[UUID]) -> Mapping[UUID, list[Ballot]]:
    """Of these runs, in the order in which they were cast."""
    cast: dict[UUID, list[Ballot]] = defaultdict(list)
    table = ballots.TABLE
    for row in every(db, select(table).where(table.c.run_id.in_(runs)).order_by(table.c.position)):
        steps = tuple(map(UUID, row["steps"]))
        cast[row["run_id"]].append(
            Ballot(
                row["ballot_id"],
                row["judge"],
                row["method"],
                row["first"],
                row["second"],
                Outcome(row["outcome"]),
                steps,
                row["margin"],
            )
        )
    return cast
