"""Commands on an event loop have the same effects as in threads, and nobody else on the loop waits for them."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import OperationalError

from adapters.event_store import PostgresEventStore
from adapters.loop_waits import on_loop
from commands.preferences import AnnotatePreference, UnassignPreference
from commands.roster import ReviseRoster
from commands.workflows import RequestWorkflow, StopWorkflow
from domain.errors import AlreadyDone, CommandReused, Invalid, NotFound
from domain.events import Envelope
from domain.ports.events import Written
from domain.preference import Verdict
from domain.roster import ROSTER_ID, AgentRoster
from domain.steps import Task
from domain.workflow import Workflow
from tests.fakes import an_envelope
from tests.integration.event_store.buses import PROPOSE, a_bus, names

REQUEST = RequestWorkflow("mutual_ranking", Task(("Which city?",)))


async def execute(store: PostgresEventStore, command: object, envelope: Envelope | None = None) -> Written:
    return await on_loop(a_bus(store).execute, command, envelope or an_envelope())


def revise_roster(store: PostgresEventStore, *agents: str, revision: int | None = None) -> None:
    a_bus(store).execute(ReviseRoster(json.dumps(agents), expected_revision=revision), an_envelope())


async def test_many_at_once_each_have_their_effect_and_find_what_they_share_in_memory(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    await execute(store, REQUEST)
    monkeypatch.setattr(store._aggregates, "_load", lambda *_: pytest.fail("was not found in memory"))
    written = await asyncio.gather(*(execute(store, REQUEST) for _ in range(200)))
    assert len({each.id for each in written}) == len({each.position for each in written}) == 200
    assert names(store) == ["agent_roster.revised", *["workflow.requested"] * 201]


async def test_a_command_that_is_refused_leaves_in_memory_what_it_did_not_change(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    await execute(store, REQUEST)
    with pytest.raises(Invalid, match="dora"):
        await execute(store, replace(REQUEST, agents=("dora",)))
    monkeypatch.setattr(store._aggregates, "_load", lambda *_: pytest.fail("was not found in memory"))
    await execute(store, REQUEST)


async def test_an_outage_of_the_read_of_last_events_leaves_each_command_to_load_for_itself(
    store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise OperationalError("gone")

    revise_roster(store, "ada", "ben", "cyd")
    await execute(store, REQUEST)
    monkeypatch.setattr(store._aggregates._lasts, "_read", away)
    assert len(await asyncio.gather(*(execute(store, REQUEST) for _ in range(8)))) == 8


async def test_what_another_process_wrote_is_seen_by_the_next_command(store: PostgresEventStore, migrated: str) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    first = await execute(store, REQUEST)
    with closing(PostgresEventStore(migrated)) as another:
        revise_roster(another, "ada", "ben", "cyd", "dan", revision=1)
        second = await execute(store, REQUEST)
        assert [event.event.agents for event in another.history(second.id)] == [("ada", "ben", "cyd", "dan")]  # type: ignore[attr-defined]
        a_bus(another).execute(StopWorkflow(first.id, ""), an_envelope())
    with pytest.raises(AlreadyDone):
        await execute(store, StopWorkflow(first.id, ""))


async def test_memory_of_what_is_gone_from_the_store_is_not_believed(store: PostgresEventStore, migrated: str) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    await execute(store, REQUEST)
    with psycopg.connect(migrated) as connection:
        for table in ("stored_events", "event_salts"):
            connection.execute(f"DELETE FROM {table}")
    with pytest.raises(NotFound):
        await execute(store, REQUEST)


async def test_a_refusal_and_a_conflict_are_raised_as_in_a_thread(store: PostgresEventStore) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    with pytest.raises(Invalid, match="dora"):
        await execute(store, replace(REQUEST, agents=("dora",)))
    preference = (await execute(store, PROPOSE)).id
    verdicts = [Verdict.ACCEPTED, Verdict.FLIPPED, Verdict.REJECTED]
    written = await asyncio.gather(*(execute(store, AnnotatePreference(preference, each)) for each in verdicts))
    assert {each.version for each in written} == {2, 3, 4}


async def test_many_who_change_one_aggregate_at_once_all_get_through(store: PostgresEventStore) -> None:
    preference = (await execute(store, PROPOSE)).id
    commands = [AnnotatePreference(preference, Verdict.ACCEPTED, f"{n}") for n in range(50)]
    written = await asyncio.gather(*(execute(store, command) for command in commands))
    assert {each.version for each in written} == set(range(2, 52))


async def test_a_repeat_has_one_effect_and_one_answer(store: PostgresEventStore) -> None:
    envelope = an_envelope(uuid4(), b"body")
    first, *repeats = await asyncio.gather(*(execute(store, PROPOSE, envelope) for _ in range(8)))
    assert set(repeats) == {first}
    assert names(store) == ["preference.proposed"]
    with pytest.raises(CommandReused):
        await execute(store, PROPOSE, replace(envelope, fingerprint=b"another body"))
    nothing_new = UnassignPreference(first.id, "ada")
    again = an_envelope(uuid4(), b"unassign")
    assert await execute(store, nothing_new, again) == await execute(store, nothing_new, again)
    assert names(store) == ["preference.proposed"]


async def test_the_loop_goes_on_while_a_command_waits(store: PostgresEventStore, migrated: str) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    with psycopg.connect(migrated) as another:
        another.execute("LOCK TABLE stored_events IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(execute(store, command)) for command in (REQUEST, PROPOSE)]
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert not any(task.done() for task in waiting)
    assert len(await asyncio.gather(*waiting)) == 2


async def test_what_was_only_read_is_back_in_memory_before_the_save_is_made(store: PostgresEventStore) -> None:
    revise_roster(store, "ada", "ben", "cyd")
    kept = store._aggregates._cache
    with store.session(an_envelope()) as session:
        session.get(AgentRoster, ROSTER_ID)
        assert ROSTER_ID not in kept
        run = Workflow.request(uuid4(), "mutual_ranking", REQUEST.task, 1, ("ada",), "", None, at=session.now())
        waits: list[bool] = []
        store.recorder.on_append = lambda _: waits.append(ROSTER_ID in kept)
        session.save(run)
        assert waits == [True]
