"""Batches go on as their runs end, on a store in memory: whoever is killed when, and whatever is told twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import pytest

from commands.batches import PauseBatch, RequestBatch, ResumeBatch, RetryBatch, StopBatch
from commands.policies.advance_batches import AdvanceBatches
from commands.roster import ReviseRoster
from commands.workflows import CompleteWorkflow, EndAtLimit, FailWorkflow, RetryWorkflow, StartWorkflow
from domain.batch import Batch, BatchState
from domain.errors import Invalid
from domain.events import Actor, ActorKind, Recorded
from domain.limits import Limit, Limits
from domain.steps import Task
from domain.workflow import FINISHED, State, Workflow
from tests.fakes import MemoryEventStore, an_envelope

WORKER = Actor("worker", ActorKind.AUTOMATION)
POLICY = Actor("policy:advance-batches", ActorKind.AUTOMATION)


class InTheLog:
    """The BatchRuns port, by the batches' own events."""

    def __init__(self, store: MemoryEventStore) -> None:
        self._store = store

    def batch_of(self, run: UUID) -> UUID | None:
        asked = [each.event for each in self._store.read(topics=["batch.run_requested"])]
        return next((event.originator_id for event in asked if event.run == run), None)  # type: ignore[attr-defined]


class Play:
    """A store with a roster, and a policy that hears of what happened when it is told to."""

    def __init__(self) -> None:
        self.store = MemoryEventStore()
        self.bus = self.store.bus()
        self.execute(ReviseRoster('["ada", "ben", "cyd"]', "", 0))
        self._policy = AdvanceBatches(InTheLog(self.store), self.bus.execute, POLICY).policy
        self._heard = 0

    def execute(self, command: object) -> UUID:
        return self.bus.execute(command, an_envelope()).id

    def request(self, tasks: int, at_once: int | None = 2, limits: Limits = Limits()) -> UUID:  # noqa: B008
        asked = tuple(Task((f"What is {n} times {n}?",), ref=str(n)) for n in range(tasks))
        return self.execute(RequestBatch("b", "mutual_ranking", asked, limits=limits, at_once=at_once))

    def runs(self) -> list[Workflow]:
        """In the order of their tasks."""
        asked = [each.event.originator_id for each in self.store.read(topics=["workflow.requested"])]
        return [run for run in map(self.store.load, asked) if isinstance(run, Workflow)]

    def unfinished(self) -> list[Workflow]:
        return [run for run in self.runs() if run.state not in FINISHED]

    def end(self, run: Workflow, state: State = State.COMPLETED) -> None:
        self.execute(StartWorkflow(run.id, "w", ()))
        epoch = run.epoch + 1
        ends = {
            State.COMPLETED: CompleteWorkflow(run.id, epoch),
            State.FAILED: FailWorkflow(run.id, epoch, "the model is gone"),
            State.EXHAUSTED: EndAtLimit(run.id, epoch, Limit.STEPS),
        }
        self.bus.execute(ends[state], self.store.history(run.id)[0].followed_by(WORKER))

    async def hear(self, at_most: int | None = None, forget: bool = False) -> None:
        """The policy handles what happened since; killed before its checkpoint moved, where it is to `forget`."""
        head = self.store.head()
        for recorded in islice(self.store.read(self._heard, topics=self._policy.topics), at_most):
            await self._policy.handle(recorded)
        self._heard = self._heard if forget else head

    def batch(self, id: UUID) -> Batch:
        batch = self.store.load(id)
        assert isinstance(batch, Batch)
        return batch

    def topics(self, id: UUID) -> Sequence[str]:
        return [recorded.type.removeprefix("batch.") for recorded in self.store.history(id)]


@pytest.fixture
def play() -> Play:
    return Play()


async def test_the_next_run_is_asked_for_when_one_has_ended_and_the_batch_ends_with_the_last(play: Play) -> None:
    batch = play.request(tasks=5, at_once=2)
    while unfinished := play.unfinished():
        assert len(unfinished) <= 2
        play.end(unfinished[0])
        await play.hear()
    assert [run.state for run in play.runs()] == [State.COMPLETED] * 5
    assert play.batch(batch).state is BatchState.COMPLETED
    asked = list(play.store.read(topics=["workflow.requested"]))
    assert [each.event.task.ref for each in asked] == ["0", "1", "2", "3", "4"]  # type: ignore[attr-defined]
    assert [each.envelope.actor.subject for each in asked] == ["somebody"] * 2 + [POLICY.subject] * 3
    assert len({each.envelope.correlation_id for each in asked}) == 1


async def test_a_policy_that_was_killed_before_its_checkpoint_moved_asks_for_nothing_twice(play: Play) -> None:
    batch = play.request(tasks=6, at_once=3)
    for run in play.unfinished()[:2]:
        play.end(run)
    await play.hear(at_most=1, forget=True)
    await play.hear(forget=True)
    head = play.store.head()
    await play.hear()
    assert play.store.head() == head
    assert (len(play.runs()), len(play.unfinished())) == (5, 3)
    assert play.topics(batch).count("run_requested") == 5


async def test_two_policies_that_hear_the_same_do_not_get_in_each_others_way(play: Play) -> None:
    play.request(tasks=4, at_once=1)
    other = AdvanceBatches(InTheLog(play.store), play.bus.execute, POLICY).policy
    while unfinished := play.unfinished():
        play.end(unfinished[0])
        for recorded in play.store.read(topics=other.topics):
            await other.handle(recorded)
        await play.hear()
        assert len(play.unfinished()) <= 1
    assert len(play.runs()) == 4


async def test_a_run_on_its_own_concerns_no_batch(play: Play) -> None:
    batch = play.request(tasks=3, at_once=1)
    before = play.topics(batch)
    session = play.store.session(an_envelope())
    alone = Workflow.request(session.new_id(), "mutual_ranking", Task(("Hi",)), 1, ("ada",), "b", None, session.now())
    session.save(alone)
    play.end(alone)
    await play.hear()
    assert play.topics(batch) == before


async def test_a_paused_batch_waits_and_goes_on_with_as_many_as_there_is_room_for(play: Play) -> None:
    batch = play.request(tasks=6, at_once=2)
    play.execute(PauseBatch(batch, "lunch"))
    for run in play.unfinished():
        play.end(run)
    await play.hear()
    assert play.unfinished() == []
    play.execute(ResumeBatch(batch))
    assert len(play.unfinished()) == 2


async def test_a_stop_ends_the_unfinished_runs_and_begins_no_other(play: Play) -> None:
    batch = play.request(tasks=6, at_once=3)
    play.end(play.unfinished()[0])
    play.execute(StopBatch(batch, "enough"))
    await play.hear(forget=True)
    await play.hear()
    assert [run.state for run in play.runs()] == [State.COMPLETED, State.STOPPED, State.STOPPED]
    assert (play.batch(batch).state, play.batch(batch).stopped) == (BatchState.STOPPED, 2)


async def test_what_fell_short_is_retried_within_the_bound_and_what_cannot_be_is_passed_over(play: Play) -> None:
    batch = play.request(tasks=4, at_once=1, limits=Limits(steps=1))
    for state in (State.FAILED, State.EXHAUSTED, State.COMPLETED, State.FAILED):
        play.end(play.unfinished()[0], state)
        await play.hear()
    assert play.batch(batch).state is BatchState.COMPLETED
    by_hand = play.runs()[0].id
    play.execute(RetryWorkflow(by_hand, None, "by hand"))  # the policy has not heard of it yet
    play.execute(RetryBatch(batch, None, "once more"))
    assert play.topics(batch)[-3:] == ["retried", "run_not_retried", "run_retried"]
    while unfinished := play.unfinished():
        assert len([run for run in unfinished if run.id != by_hand]) <= 1
        play.end(unfinished[0])
        await play.hear()
    assert {run.state for run in play.runs()} == {State.COMPLETED}
    assert (play.batch(batch).state, play.batch(batch).completed) == (BatchState.COMPLETED, 4)


async def test_all_runs_are_of_the_roster_as_it_was_when_the_batch_was_asked_for(play: Play) -> None:
    play.request(tasks=2, at_once=1)
    play.execute(ReviseRoster('["dan", "eve", "fay"]', "", 1))
    play.end(play.unfinished()[0])
    await play.hear()
    asked = [each.event for each in play.store.read(topics=["workflow.requested"])]
    assert [(event.roster_revision, event.agents) for event in asked] == [(1, ("ada", "ben", "cyd"))] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (RequestBatch("b", "juggling", (Task(("Hi",)),)), "there is no kind"),
        (RequestBatch("b", "mutual_ranking", (Task(("Hi",)),), agents=("eve",)), "not on the roster: eve"),
        (RequestBatch("b", "mutual_ranking", (Task(("Hi",)),), max_tokens=0), "max_tokens"),
        (
            RequestBatch("b", "mutual_ranking", (Task(("Hi",)), Task(("",))), at_once=1),
            "task 1 needs at least one turn",
        ),
    ],
)
def test_a_batch_whose_runs_could_not_be_is_refused_whole(play: Play, command: RequestBatch, why: str) -> None:
    head = play.store.head()
    with pytest.raises(Invalid, match=why):
        play.execute(command)
    assert play.store.head() == head


async def test_however_many_runs_a_batch_had_its_request_alone_is_read_for_the_next_one(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, history, read = play.request(tasks=4, at_once=1), play.store.history, []

    def counted(id: UUID, upto: int | None = None) -> Sequence[Recorded]:
        found = history(id, upto)
        read.extend(recorded.type for recorded in found if id == batch)
        return found

    monkeypatch.setattr(play.store, "history", counted)
    while unfinished := play.unfinished():
        play.end(unfinished[0])
        await play.hear()
    assert read == ["batch.requested"] * 3
