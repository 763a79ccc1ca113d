"""What is counted of ballots: who wrote the answers, whose kin they are, and how judges agree; each ballot once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, insert, update

from adapters.event_store import PostgresEventStore
from domain.estimates import Judge
from domain.events import Recorded
from domain.ranking import Outcome, Vote
from projections import ballots, checkpoints, derived, interaction_log
from projections.engine import catch_up
from projections.parked import retry_parked
from projections.projector import Row
from projections.rebuild import rebuild
from projections.vote_counts import DERIVED, VOTES, Concord, Window, concord, tally, windows
from tests.builders import NOW
from tests.integration.projections.test_figures import STEP

TODAY = NOW.date()


@dataclass
class Box:
    """A ballot box: fills the two read models as their projectors would."""

    engine: Engine
    position: int = 0

    def answer(self, run: UUID, agent: str, model: str = "tiny", adapter: str | None = None) -> None:
        self._add(
            interaction_log.TABLE,
            STEP,
            step_id=uuid5(run, agent),
            run_id=run,
            agent=agent,
            model=model,
            adapter=adapter,
        )

    def cast(
        self, run: UUID, judge: str, first: str, second: str, outcome: Outcome, days: int = 0, model: str = "judge's"
    ) -> None:
        step = uuid4()
        self._add(interaction_log.TABLE, STEP, step_id=step, run_id=run, agent=judge, phase="verdict", model=model)
        ids = {"first": uuid5(run, first), "second": uuid5(run, second), "steps": [str(step)]}
        said = {"judge": judge, "method": "verdict/1", "outcome": outcome.value}
        when = {"recorded_at": NOW + timedelta(days=days)}
        self._add(ballots.TABLE, {}, ballot_id=uuid4(), run_id=run, **ids, **said, **when)

    def _add(self, table: Any, row: dict[str, Any], **given: Any) -> None:
        self.position += 1
        with self.engine.begin() as db:
            db.execute(insert(table).values(row | {"correlation_id": uuid4(), "position": self.position} | given))
            for name in (ballots.PROJECTOR.name, interaction_log.PROJECTOR.name):
                checkpoints.claim(db, name)
                checkpoints.place(db, name, self.position)


@pytest.fixture
def box(engine: Engine) -> Box:
    return Box(engine)


@pytest.fixture
def db(engine: Engine) -> Iterator[Connection]:
    """Sees what was committed before each statement."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        yield db


def counted(engine: Engine, db: Connection) -> Counter[Vote[str]]:
    derived.catch_up(engine, DERIVED)
    return tally(db)


def a_run(box: Box, *agents: str) -> UUID:
    run = uuid4()
    for agent in agents:
        box.answer(run, agent)
    return run


def verdict(judge: str, first: str, second: str, outcome: Outcome, kin: int = 0) -> Vote[str]:
    return Vote(Judge(judge, "verdict/1"), first, second, outcome, kin)


def test_the_answers_of_many_tasks_are_their_authors(engine: Engine, db: Connection, box: Box) -> None:
    for outcome in (Outcome.FIRST, Outcome.FIRST, Outcome.UNPARSEABLE):
        box.cast(a_run(box, "anna", "ben"), "cleo", "anna", "ben", outcome)
    assert counted(engine, db) == {
        verdict("cleo", "anna", "ben", Outcome.FIRST): 2,
        verdict("cleo", "anna", "ben", Outcome.UNPARSEABLE): 1,
    }
    assert len(tally(db, most=1)) == 1


def test_kin_is_whose_answer_is_the_judges_own_or_by_the_model_that_it_judges_with(
    engine: Engine, db: Connection, box: Box
) -> None:
    run = uuid4()
    box.answer(run, "anna", "large")
    box.answer(run, "ben", "tiny")
    box.answer(run, "dot", "large", "team@1")
    box.cast(run, "cleo", "anna", "ben", Outcome.FIRST, model="large")
    box.cast(run, "cleo", "ben", "anna", Outcome.FIRST, model="large")
    box.cast(run, "cleo", "dot", "ben", Outcome.FIRST, model="large")
    box.cast(run, "ben", "ben", "dot", Outcome.TIE, model="other")
    assert {(vote.first, vote.second, vote.kin) for vote in counted(engine, db)} == {
        ("anna", "ben", 1),
        ("ben", "anna", -1),
        ("dot", "ben", 0),
        ("ben", "dot", 1),
    }


def test_two_judges_agree_whatever_order_they_were_shown_and_nobody_agrees_with_himself(
    engine: Engine, db: Connection, box: Box
) -> None:
    run = a_run(box, "anna", "ben")
    box.cast(run, "cleo", "anna", "ben", Outcome.FIRST)
    box.cast(run, "cleo", "ben", "anna", Outcome.SECOND)
    box.cast(run, "dot", "ben", "anna", Outcome.SECOND)
    box.cast(run, "eve", "anna", "ben", Outcome.TIE)
    box.cast(run, "eve", "anna", "ben", Outcome.UNPARSEABLE)
    box.cast(a_run(box, "anna", "ben"), "fay", "anna", "ben", Outcome.FIRST)
    derived.catch_up(engine, DERIVED)
    assert {judge.name: found for judge, found in concord(db).items()} == {
        "cleo": Concord(compared=4, agreed=2),
        "dot": Concord(compared=3, agreed=2),
        "eve": Concord(compared=3, agreed=0),
    }


def test_days_can_be_told_apart(engine: Engine, db: Connection, box: Box) -> None:
    assert windows(db, 7, newest=9) == []
    for days in (0, 1, 7):
        box.cast(a_run(box, "anna", "ben"), "cleo", "anna", "ben", Outcome.FIRST, days)
    derived.catch_up(engine, DERIVED)
    day = timedelta(days=1)
    assert tally(db, Window(TODAY + day)).total() == 2
    assert tally(db, Window(TODAY, TODAY + day)).total() == 1
    assert [tally(db, window).total() for window in windows(db, 2, newest=9)] == [2, 1]
    assert windows(db, 2, newest=1) == [Window(TODAY + 6 * day, TODAY + 8 * day)]


CAST = st.lists(
    st.tuples(st.sampled_from(["dot", "eve"]), st.permutations(["anna", "ben", "cleo"]), st.sampled_from(Outcome)),
    max_size=8,
)


@given(cast=CAST, span=st.integers(1, 9))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_what_is_counted_bit_by_bit_is_what_counting_anew_gives(
    engine: Engine, db: Connection, box: Box, cast: list[tuple[str, list[str], Outcome]], span: int
) -> None:
    run = a_run(box, "anna", "ben", "cleo")
    before = counted(engine, db).total()
    for judge, (first, second, _), outcome in cast:
        box.cast(run, judge, first, second, outcome)
        derived.catch_up(engine, DERIVED, span)
    bit_by_bit = tally(db), concord(db)
    assert bit_by_bit[0].total() == before + len(cast)
    assert derived.remake(engine, DERIVED) == box.position
    assert (tally(db), concord(db)) == bit_by_bit


def test_a_ballot_counts_once_the_answers_it_names_are_known(engine: Engine, db: Connection, box: Box) -> None:
    box.cast(a_run(box, "anna", "ben"), "cleo", "anna", "ben", Outcome.FIRST)
    steps = checkpoints.CHECKPOINTS.c.projector == interaction_log.PROJECTOR.name
    db.execute(update(checkpoints.CHECKPOINTS).where(steps).values(position=1))
    assert not counted(engine, db)
    db.execute(update(checkpoints.CHECKPOINTS).where(steps).values(position=box.position))
    assert counted(engine, db).total() == 1


def test_what_could_not_be_counted_is_counted_the_next_time(engine: Engine, db: Connection, box: Box) -> None:
    box.cast(a_run(box, "anna", "ben"), "cleo", "anna", "ben", Outcome.FIRST)

    def half(db: Connection, after: int, upto: int) -> None:
        DERIVED.take_in(db, after, upto)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        derived.advance(engine, replace(DERIVED, take_in=half))
    assert not tally(db)
    assert counted(engine, db).total() == 1


def test_of_two_who_count_at_once_one_does(engine: Engine, db: Connection, box: Box) -> None:
    box.cast(a_run(box, "anna", "ben"), "cleo", "anna", "ben", Outcome.FIRST)
    others: list[Future[bool]] = []

    def beside_another(db: Connection, after: int, upto: int) -> None:
        others.append(executor.submit(derived.advance, engine, DERIVED))
        DERIVED.take_in(db, after, upto)

    with ThreadPoolExecutor(1) as executor:
        derived.advance(engine, replace(DERIVED, take_in=beside_another))
        others[0].result(timeout=60)
    assert tally(db).total() == 1


def test_where_a_source_is_made_anew_all_is_counted_anew(
    engine: Engine, db: Connection, told: PostgresEventStore
) -> None:
    for projector in DERIVED.sources:
        catch_up(engine, told, projector)
    before = counted(engine, db)
    assert before
    db.execute(update(VOTES).values(count=99))
    rebuild(engine, told, ballots.PROJECTOR)
    assert not tally(db)
    assert counted(engine, db) == before


def test_a_ballot_that_was_parked_counts_once_it_was_taken_in(
    engine: Engine, db: Connection, told: PostgresEventStore
) -> None:
    def spoilt(row: Row | None, recorded: Recorded) -> Row | None:
        raise ValueError("this fold knows no ballots")

    catch_up(engine, told, replace(ballots.PROJECTOR, fold=spoilt))
    catch_up(engine, told, interaction_log.PROJECTOR)
    assert not counted(engine, db)
    assert retry_parked(engine, told, ballots.PROJECTOR) == 0
    assert counted(engine, db)
