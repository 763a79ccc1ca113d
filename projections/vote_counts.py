"""How often each judge preferred whom, by day: all that rankings of agents need of millions of ballots.

Made of two read models: ballots name answers, and the interaction log says whose these are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from domain.estimates import Judge
from domain.ranking import Outcome, Vote
from projections.ballots import PROJECTOR as BALLOTS
from projections.derived import Derived
from projections.interaction_log import PROJECTOR as STEPS
from projections.tables import METADATA

UNREADABLE = Outcome.UNPARSEABLE.value
MET = ("day", "one", "by", "other", "by_other", "agreed")
"""Of two ballots: the judges, and the methods by which they judge."""

VOTES = Table(
    "vote_counts",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("judge", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("first", Text, primary_key=True),
    Column("second", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("kin", SmallInteger, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""Of a day in UTC; `first` and `second` are the agents whose answers were shown so. See domain.ranking.Vote."""

CONCORD = Table(
    "concord_counts",
    METADATA,
    Column("day", Date, primary_key=True),
    Column("judge", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("agreed", Boolean, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""Each two ballots of different judges on the same two answers, once for either judge, on the day of the later one."""


class Concord(NamedTuple):
    """Of a judge's readable ballots and those of other judges on the same two answers, how many said the same."""

    compared: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Window:
    """Days in UTC; `until` is excluded. None: from the first, or up to today."""

    since: date | None = None
    until: date | None = None

    def of(self, day: ColumnElement[date]) -> ColumnElement[bool]:
        """Whether that day is in it."""
        since = true() if self.since is None else day >= self.since
        return and_(since, true() if self.until is None else day < self.until)


EVER = Window()


def tally(db: Connection, window: Window = EVER, most: int | None = None) -> Counter[Vote[str]]:
    """The votes of these days, between agents; no more than `most` different ones, whichever they are."""
    keys = [VOTES.c[name] for name in ("judge", "method", "first", "second", "outcome", "kin")]
    query = select(*keys, func.sum(VOTES.c.count)).where(window.of(VOTES.c.day)).group_by(*keys).limit(most)
    found: Counter[Vote[str]] = Counter()
    rows: Sequence[Any] = db.execute(query).all()
    for judge, method, first, second, outcome, kin, count in rows:
        found[Vote(Judge(judge, method), first, second, Outcome(outcome), kin)] = int(count)
    return found


def concord(db: Connection, window: Window = EVER) -> dict[Judge, Concord]:
    """Of those days, by judge; none of judges whose pairs no other one has judged."""
    agreed = func.sum(CONCORD.c.count).filter(CONCORD.c.agreed)
    query = select(CONCORD.c.judge, CONCORD.c.method, func.sum(CONCORD.c.count), func.coalesce(agreed, 0))
    query = query.where(window.of(CONCORD.c.day)).group_by(CONCORD.c.judge, CONCORD.c.method)
    return {Judge(judge, method): Concord(int(all), int(same)) for judge, method, all, same in db.execute(query)}


def windows(db: Connection, days: int, newest: int) -> list[Window]:
    """The last so many spans of so many days in which there was a vote, counted from the first day with one; in
    order."""
    voted: Sequence[date] = db.scalars(select(VOTES.c.day).distinct().order_by(VOTES.c.day)).all()
    numbers = sorted({(day - voted[0]).days // days for day in voted})
    starts = [voted[0] + timedelta(days=days * number) for number in numbers[-newest:]]
    return [Window(start, start + timedelta(days=days)) for start in starts]


def take_in(db: Connection, after: int, upto: int) -> None:
    """Counts the ballots with after < position <= upto."""
    db.execute(_adding(VOTES, _votes(after, upto)))
    db.execute(_adding(CONCORD, _concord(after, upto)))


def _adding(table: Table, counted: Select[tuple[object, ...]]) -> Insert:
    statement = insert(table).from_select(table.columns.keys(), counted)
    sums = {"count": table.c.count + statement.excluded.count}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums)


def _votes(after: int, upto: int) -> Select[tuple[object, ...]]:
    ballot = BALLOTS.table
    one, other, own = (STEPS.table.alias(name) for name in ("one", "other", "own"))
    judging = cast(ballot.c.steps[0].astext, Uuid)
    first, second = _kin(one, ballot.c.judge, own), _kin(other, ballot.c.judge, own)
    kin = case((and_(first, ~second), 1), (and_(second, ~first), -1), else_=0)
    keys = (_day(ballot), ballot.c.judge, ballot.c.method, one.c.agent, other.c.agent, ballot.c.outcome, kin)
    authored = ballot.join(one, one.c.step_id == ballot.c.first).join(other, other.c.step_id == ballot.c.second)
    query = select(*keys, func.count()).select_from(authored.outerjoin(own, own.c.step_id == judging))
    return query.where(_between(ballot, after, upto), one.c.agent != other.c.agent).group_by(*keys)


def _kin(author: FromClause, judge: ColumnElement[str], own: FromClause) -> ColumnElement[bool]:
    """Whether an answer is the judge's own, or by the model and adapter that it judges with."""
    same = and_(author.c.model == own.c.model, author.c.adapter.is_not_distinct_from(own.c.adapter))
    return func.coalesce(or_(author.c.agent == judge, same), False)


def _concord(after: int, upto: int) -> Select[tuple[object, ...]]:
    """Each two ballots are counted as the later one comes."""
    new, old = BALLOTS.table.alias("new"), BALLOTS.table.alias("old")
    same_order = and_(old.c.first == new.c.first, old.c.second == new.c.second)
    other_order = and_(old.c.first == new.c.second, old.c.second == new.c.first)
    turned = case(
        (old.c.outcome == Outcome.FIRST.value, Outcome.SECOND.value),
        (old.c.outcome == Outcome.SECOND.value, Outcome.FIRST.value),
        else_=old.c.outcome,
    )
    agreed = new.c.outcome == case((same_order, old.c.outcome), else_=turned)
    before = and_(old.c.run_id == new.c.run_id, old.c.position < new.c.position, old.c.judge != new.c.judge)
    readable = (new.c.outcome != UNREADABLE, old.c.outcome != UNREADABLE)
    keys: list[ColumnElement[Any]] = [_day(new), new.c.judge, new.c.method, old.c.judge, old.c.method, agreed]
    query = select(*(key.label(name) for name, key in zip(MET, keys, strict=True)), func.count().label("count"))
    query = query.select_from(new.join(old, and_(before, or_(same_order, other_order))))
    met = query.where(_between(new, after, upto), *readable).group_by(*keys).cte("met").c
    sides = ((met.one, met.by), (met.other, met.by_other))
    either = union_all(*(select(met.day, *side, met.agreed, met["count"]) for side in sides)).subquery()
    *by, count = either.c
    return select(*by, func.sum(count)).group_by(*by)


def _day(ballot: FromClause) -> ColumnElement[date]:
    return cast(func.timezone("UTC", ballot.c.recorded_at), Date)


def _between(ballot: FromClause, after: int, upto: int) -> ColumnElement[bool]:
    return and_(ballot.c.position > after, ballot.c.position <= upto)


DERIVED = Derived("vote_counts", (BALLOTS, STEPS), (VOTES, CONCORD), take_in)
