"""The runner: every event once the checkpoint is behind it, in order, through failures and without news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from loguru import logger

from commands.policies.runner import Policy, PolicyRunner
from commands.preferences import ProposePreference, WithdrawPreference
from domain.errors import Invalid
from domain.events import Recorded
from domain.ports.events import StoredRow
from tests.builders import a_pair
from tests.eventually import eventually
from tests.fakes import MemoryCheckpoints, MemoryEventStore, an_envelope

POLL = 0.01


class Notebook:
    """A handler that writes down what it saw, and fails as often as it is told to."""

    def __init__(self, failures: list[Exception] | None = None) -> None:
        self.seen: list[int] = []
        self.failures = failures or []

    async def handle(self, recorded: Recorded) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.seen.append(recorded.position)


class Place:
    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus()
        self.checkpoints = MemoryCheckpoints()

    def propose(self, times: int = 1) -> None:
        for _ in range(times):
            self.bus.execute(ProposePreference(a_pair()), an_envelope())

    @asynccontextmanager
    async def running(
        self, notebook: Notebook, poll: float = POLL, parked_seconds: float = 60
    ) -> AsyncIterator[PolicyRunner]:
        policy = Policy("notes", ("preference.proposed",), notebook.handle)
        stop = asyncio.Event()
        runner = PolicyRunner(policy, self.store, self.checkpoints, poll, (0.0, 0.0), parked_seconds)
        task = asyncio.create_task(runner.run(stop))
        try:
            yield runner
        finally:
            stop.set()
            runner.wake()
            await asyncio.wait_for(task, 60)

    async def caught_up(self) -> None:
        await eventually(lambda: self.checkpoints.position("notes") == self.store.head())


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_policy_sees_what_was_recorded_before_it_started_and_what_comes_after(place: Place) -> None:
    notebook = Notebook()
    place.propose(2)
    async with place.running(notebook):
        await place.caught_up()
        place.propose()
        await place.caught_up()
    assert notebook.seen == [1, 2, 3]


async def test_news_wakes_a_policy_at_once(place: Place) -> None:
    notebook = Notebook()
    async with place.running(notebook, poll=60) as runner:
        await asyncio.sleep(0.05)
        place.propose()
        runner.wake()
        await place.caught_up()
    assert notebook.seen == [1]


async def test_a_policy_goes_on_from_its_checkpoint(place: Place) -> None:
    place.propose(2)
    first, second = Notebook(), Notebook()
    for notebook in (first, second):
        async with place.running(notebook):
            await place.caught_up()
        place.propose()
    assert (first.seen, second.seen) == ([1, 2], [3])


async def test_events_of_other_topics_are_passed_over(place: Place) -> None:
    place.propose()
    (proposed,) = place.store.read()
    place.bus.execute(WithdrawPreference(proposed.event.originator_id, ""), an_envelope())
    notebook = Notebook()
    async with place.running(notebook):
        await place.caught_up()
    assert notebook.seen == [1]
    assert place.checkpoints.position("notes") == 2


async def test_a_failure_is_tried_again(place: Place) -> None:
    place.propose(2)
    notebook = Notebook([ConnectionError("no database"), ConnectionError("still none")])
    async with place.running(notebook):
        await place.caught_up()
    assert notebook.seen == [1, 2]
    assert place.checkpoints.parked("notes") == []


async def test_what_keeps_failing_is_parked_and_the_rest_goes_on(place: Place) -> None:
    place.propose(2)
    notebook = Notebook([KeyError("a bug")] * 3)
    async with place.running(notebook):
        await place.caught_up()
    assert notebook.seen == [2]
    assert place.checkpoints.reasons == {("notes", 1): "KeyError: 'a bug'"}


async def test_a_refusal_of_the_domain_is_parked_without_another_try(place: Place) -> None:
    place.propose()
    notebook = Notebook([Invalid("never")])
    async with place.running(notebook):
        await place.caught_up()
    assert (notebook.seen, place.checkpoints.parked("notes")) == ([], [1])


async def test_a_policy_that_is_told_to_stop_does_not_sit_out_its_delays(place: Place) -> None:
    place.propose()
    notebook = Notebook([ConnectionError("away")] * 99)
    stop = asyncio.Event()
    policy = Policy("notes", ("preference.proposed",), notebook.handle)
    task = asyncio.create_task(PolicyRunner(policy, place.store, place.checkpoints, POLL, delays=(60.0,)).run(stop))
    await eventually(lambda: len(notebook.failures) < 99)
    stop.set()
    await asyncio.wait_for(task, 60)
    assert place.checkpoints.position("notes") == 0
    assert place.checkpoints.parked("notes") == []


async def test_what_is_parked_is_tried_again_at_the_next_start(place: Place) -> None:
    place.propose(2)
    place.checkpoints.park("notes", 1, "a bug, fixed by now")
    notebook = Notebook()
    async with place.running(notebook):
        await place.caught_up()
    assert notebook.seen == [1, 2]
    assert place.checkpoints.parked("notes") == []


async def test_what_is_parked_is_tried_again_while_the_policy_runs(place: Place) -> None:
    place.propose()
    notebook = Notebook([ConnectionError("a long outage")] * 5)
    async with place.running(notebook, parked_seconds=POLL):
        await eventually(lambda: notebook.seen == [1] and place.checkpoints.parked("notes") == [])


async def test_an_event_that_cannot_be_decoded_is_parked_and_the_rest_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = place.store.decode

    def of_a_newer_version(row: StoredRow) -> Recorded:
        if row["notification_id"] == 1:
            raise ValueError("no event is called that: \x00")
        return decode(row)

    monkeypatch.setattr(place.store, "decode", of_a_newer_version)
    place.propose(2)
    notebook = Notebook()
    async with place.running(notebook):
        await place.caught_up()
    assert notebook.seen == [2]
    assert place.checkpoints.reasons == {("notes", 1): "ValueError: no event is called that: \u241b0000"}


async def test_what_a_policy_logs_names_run_and_trace(place: Place) -> None:
    envelope = replace(an_envelope(), traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    pair = place.bus.execute(ProposePreference(a_pair()), envelope).id
    logged: list[dict[str, Any]] = []
    sink = logger.add(lambda message: logged.append(message.record["extra"]))
    async with place.running(Notebook([ConnectionError("no database")])):
        await place.caught_up()
    logger.remove(sink)
    expected = {"policy": "notes", "run": str(pair), "trace_id": "ab" * 16}
    assert any(expected.items() <= extra.items() for extra in logged)


async def test_a_store_that_cannot_be_reached_for_a_while_costs_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.propose()
    outages = [ConnectionError("no database")] * 2
    head = place.store.head

    def shaky_head() -> int:
        if outages:
            raise outages.pop()
        return head()

    monkeypatch.setattr(place.store, "head", shaky_head)
    notebook = Notebook()
    async with place.running(notebook):
        await asyncio.sleep(10 * POLL)
        await place.caught_up()
    assert notebook.seen == [1]
