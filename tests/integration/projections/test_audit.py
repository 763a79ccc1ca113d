"""What an auditor asks, on a real PostgreSQL that holds the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, insert

from adapters.event_store import PostgresEventStore
from domain.events import ActorKind, event_id
from projections import ALL, agent_rosters, audit, causation
from projections.audit import CLOCK_STEP, Filter
from projections.engine import catch_up
from tests import story

COMPLETED = event_id(story.RUN, 9)
FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
in_a_transaction = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def projected(engine: Engine, told: PostgresEventStore) -> Engine:
    for projector in ALL:
        catch_up(engine, told, projector)
    return engine


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """The SQL of all that is asked from here on."""
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _db, _cursor, statement, *_: asked.append(statement))
    return asked


def remember(db: Connection, events: Sequence[dict[str, Any]]) -> None:
    """Rows of the audit at positions 1, 2, 3 ..., with everything that a test does not care about filled in."""
    usual = {"type": "workflow.started", "aggregate_id": story.RUN, "recorded_at": story.BEGINNING, "actor": "ada"}
    usual |= {"actor_kind": "human", "correlation_id": story.RUN, "command_id": None, "causation_id": None}
    rows = [
        {"position": position, "event_id": an_id(position), **usual, **event}
        for position, event in enumerate(events, 1)
    ]
    db.execute(insert(audit.TABLE), rows)


def an_id(number: int) -> UUID:
    return UUID(int=number)


def a_command(number: int) -> UUID:
    return UUID(int=1000 + number)


def test_events_are_found_by_everything_that_is_said_of_them(projected: Engine):
    with projected.connect() as db:
        for wanted, count in (
            (Filter(types=("workflow.requested", "agent_roster.revised")), 9),
            (Filter(aggregate=story.RUN), 9),
            (Filter(agent="ada"), 8),
            (Filter(agent="bob", types=("workflow.ballot_cast",)), 1),
            (Filter(tool="search"), 6),
            (Filter(tool="search", agent="bob"), 1),
            (Filter(tool="sear"), 0),
            (Filter(model="team"), 5),
            (Filter(model="smollm2-135m-instruct"), 10),
            (Filter(adapter="team@1"), 10),
            (Filter(adapter="team@2", types=("lora_adapter.retired",)), 1),
            (Filter(revision=2), 37),
            (Filter(revision=2, agent="ada"), 8),
            (Filter(revision=1), 0),
            (Filter(actor="ada", aggregate=story.RUN), 9),
            (Filter(actor="eve"), 0),
            (Filter(actor_kind=ActorKind.HUMAN, agent="ada"), 8),
            (Filter(actor_kind=ActorKind.AUTOMATION), 0),
            (Filter(run=story.RUN), 33),
            (Filter(run=story.id_of("stopped run")), 2),
            (Filter(correlation=story.ENVELOPE.correlation_id, run=story.RUN), 33),
            (Filter(correlation=story.RUN), 0),
            (Filter(until=story.BEGINNING), 0),
            (Filter(since=story.BEGINNING, agent="bob"), 3),
            (Filter(since=FIRST_MOMENT, agent="bob"), 3),
            (Filter(until=LAST_MOMENT, agent="bob"), 3),
        ):
            assert len(audit.positions(db, wanted)) == count, wanted


def test_all_events_are_there_and_pages_begin_and_end_where_they_are_told_to(
    projected: Engine, told: PostgresEventStore
):
    everything = [recorded.position for recorded in told.read()]
    with projected.connect() as db:
        assert audit.positions(db, Filter(), limit=200) == everything
        assert audit.positions(db, Filter(), limit=3, newest_first=True) == everything[:-4:-1]
        assert audit.positions(db, Filter(), after=4, upto=7) == [5, 6, 7]


@given(
    jitters=st.lists(st.integers(-3, 3), max_size=30),
    since=st.integers(-1, 32),
    until=st.integers(-1, 32),
)
@in_a_transaction
def test_a_clock_that_was_set_back_hides_nothing(engine: Engine, jitters: list[int], since: int, until: int):
    def at(tick: int) -> datetime:
        return story.BEGINNING + tick * CLOCK_STEP / 5

    times = [at(tick + jitter) for tick, jitter in enumerate(jitters)]
    with engine.connect() as db:
        remember(db, [{"recorded_at": time} for time in times] or [{"recorded_at": at(100)}])
        found = audit.positions(db, Filter(since=at(since), until=at(until)))
        assert found == [position for position, time in enumerate(times, 1) if at(since) <= time < at(until)]


def test_a_step_tells_the_roster_of_its_run_and_the_revision_that_last_changed_its_prompt(
    projected: Engine, told: PostgresEventStore
):
    steps = [recorded.position for recorded in told.read(topics=("workflow.step_recorded",))]
    with projected.connect() as db:
        known = audit.circumstances(db, [1, *steps])
    assert {name for name, value in known[1].items() if value is not None} == {"position"}
    assert [known[step]["agent"] for step in steps] == ["ada", "bob", "ada", "ada", "ada"]
    assert [known[step]["roster_revision"] for step in steps] == [2, 2, 2, 2, 2]
    assert [known[step]["prompt_revision"] for step in steps] == [1, 2, 1, 1, 1]


def test_revisions_are_read_again_only_when_there_is_another_one(
    engine: Engine, store: PostgresEventStore, statements: list[str]
):
    def changes() -> dict[str, list[int]]:
        catch_up(engine, store, agent_rosters.PROJECTOR)
        with engine.connect() as db:
            return dict(agent_rosters.prompt_changes(db))

    roster = story.roster()
    store.session(story.ENVELOPE).save(roster)
    assert changes() == changes() == {"ada": [1], "bob": [2]}
    assert len([statement for statement in statements if "jsonb_array_elements" in statement]) == 1
    ada, bob = roster.agents
    roster.revise(
        "agents: [ada, bob]\n", story.SHA, (replace(ada, system_message="Be brief."), bob), "", at=story.at(2)
    )
    store.session(story.ENVELOPE).save(roster)
    assert changes() == {"ada": [1, 3], "bob": [2]}


def test_a_pair_leads_back_to_its_run_and_the_run_on_to_its_pairs(projected: Engine):
    with projected.connect() as db:
        completed = audit.position_of(db, COMPLETED)
        verdict = audit.position_of(db, event_id(story.id_of("edited"), 2))
        assert completed
        assert verdict
        assert causation.causes(db, verdict) == [{"position": verdict, "depth": 0}, {"position": completed, "depth": 1}]
        pairs = audit.positions(db, Filter(run=story.RUN), after=completed)
        assert [row["position"] for row in causation.effects(db, completed).items] == pairs
        assert audit.position_of(db, story.id_of("nothing")) is None


Caused = list[tuple[int, str, int]]
"""For each event the number of its command, and of the event or command that led to it."""
some_events = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(["event", "command"]), st.integers(0, 12)), max_size=12
)


@given(events=some_events)
@in_a_transaction
def test_walks_end_and_go_the_same_ways_forth_and_back(engine: Engine, events: Caused):
    numbers = range(1, len(events) + 1)

    def led(cause: int, effect: int) -> bool:
        _, kind, number = events[effect - 1]
        return cause < effect and number == (cause if kind == "event" else events[cause - 1][0])

    def behind(position: int) -> set[int]:
        direct = {cause for cause in numbers if led(cause, position)}
        return direct.union(*map(behind, direct))

    with engine.connect() as db:
        causes = [an_id(number) if kind == "event" else a_command(number) for _, kind, number in events]
        commands = [a_command(command) for command, _, _ in events]
        known = zip(commands, causes, strict=True)
        if events:
            remember(db, [{"command_id": command, "causation_id": cause} for command, cause in known])
        for position in numbers:
            back = {row["position"] for row in causation.causes(db, position)}
            forth = {row["position"] for row in causation.effects(db, position).items}
            assert back == behind(position) | {position}
            assert forth == {effect for effect in numbers if position in behind(effect)}


def test_a_walk_goes_no_further_than_it_may(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(causation, "DEPTH", 3)
    with engine.connect() as db:
        remember(db, [{"causation_id": an_id(number)} for number in range(6)])
        assert [row["position"] for row in causation.causes(db, 6)] == [6, 5, 4, 3]
        assert [row["position"] for row in causation.effects(db, 1).items] == [2, 3, 4]


def test_of_very_many_effects_the_nearest_are_given_a_page_at_a_time(engine: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(causation, "MOST", 4)
    with engine.connect() as db:
        remember(db, [{"causation_id": an_id(number)} for number in (0, 1, 2, 1, 1, 1)])
        first = causation.effects(db, 1, limit=2)
        assert ([row["position"] for row in first.items], first.more, first.cut) == ([2, 4], True, True)
        rest = causation.effects(db, 1, after=4, limit=4)
        assert ([row["position"] for row in rest.items], rest.more, rest.cut) == ([5, 6], False, True)
        assert not causation.effects(db, 2).cut
