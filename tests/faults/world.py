"""A Caravan in one process: clients, workers, policies and projectors over a real event store, with simulated deaths, a
clock that jumps, and news as bad as it can be. Everything that is drawn by chance comes from one seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from adapters.camel_workforce import CamelWorkforce
from adapters.event_store import PostgresEventStore
from adapters.policy_checkpoints import PolicyCheckpoints
from adapters.reliable_bradley_terry import ReliableBradleyTerry
from commands.bus import CommandBus
from commands.policies.kinds import playable
from commands.policies.patience import Patience
from commands.policies.propose_pairs import ProposePairs
from commands.policies.run_workflow import RunWorkflow
from commands.policies.runner import PolicyRunner
from commands.roster import ReviseRoster
from domain.events import Actor, ActorKind, Envelope, Recorded, topic_of
from domain.ports.events import Execute
from domain.preference import Preference
from domain.ranking import Ballot, ranked_pairs, tally
from domain.workflow import Workflow
from gateway.bootstrap import open_engine
from projections import ALL, DERIVED, derived
from projections.engine import catch_up
from projections.follower import Follower
from projections.lookups import PromotedAdapters, RosterRevisions
from projections.rebuild import rebuild
from tests import invariants
from tests.fakes import BEGINNING, SOMEBODY, LivingWorkers
from tests.faults.clients import HANDLERS, Clients
from tests.faults.crashes import Crash, Mortal, dying_after
from tests.faults.news import UnreliableNews
from tests.scripted_agents import ScriptedAgents

AGENTS = '["ada", "ben", "cyd"]'
PROJECTORS = {projector.name: projector for projector in ALL}
BATCHES = (3, 10, 500)
OUR_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
WORKER = Actor("worker", ActorKind.AUTOMATION)
RANKER = ReliableBradleyTerry()


class World:
    """`close` it when done. The database is emptied first, and must not be in use."""

    def __init__(self, database_url: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self._url = database_url
        self._now = BEGINNING
        self._engine = open_engine(database_url)
        self._empty_the_database()
        self._policies = PolicyCheckpoints(self._engine)
        self.clients = Clients(self._open_store, self._new_id, self.chance)
        self._execute()(ReviseRoster(AGENTS, ""), Envelope(SOMEBODY, self._new_id()))
        self.news = UnreliableNews(PROJECTORS)
        self._log = self._open_store()
        self._followers = [self._new_follower() for _ in range(2)]
        self._told = 0
        self._complaints: list[str] = []

    def close(self) -> None:
        self.clients.close()
        self._log.close()
        self._engine.dispose()

    # --- workers and policies

    def play(self, commands: int | None = None) -> None:
        """A worker plays the oldest run that is not over, and dies after that many commands."""
        run = next(iter(self._unfinished()), None)
        if run is None:
            return
        store, agents = self.clients.store, ScriptedAgents()
        before = self._steps(run)
        worker = RunWorkflow(
            log=store,
            execute=self._execute(commands),
            kinds=playable(CamelWorkforce()),
            agents=agents,
            rosters=RosterRevisions(store),
            adapters=PromotedAdapters(self._engine, store),
            workers=LivingWorkers(),
            worker=f"worker-{self._new_id()}",
            actor=WORKER,
            at_once=1,
            patiently=Patience((), lambda: False, delays=()),
        )
        with suppress(Crash, BaseExceptionGroup):
            asyncio.run(_in_silence(worker.play(run)))
        if commands is None and len(agents.calls) != self._steps(run) - before:
            self._complaints.append(f"run {run}: models were called for what was recorded, or their answers were lost")

    def propose_pairs(self, commands: int | None = None, dying_at: int | None = None) -> None:
        """The policy goes on to the head; or dies after that many commands, or at that statement."""
        policy = ProposePairs(self.clients.store, self._execute(commands), RANKER, WORKER).policy
        runner = PolicyRunner(policy, self.clients.store, self._policies, delays=())
        with suppress(Crash), self._dying(dying_at):
            asyncio.run(_in_silence(runner._catch_up(asyncio.Event())))

    # --- projectors

    def publish(self) -> None:
        """The relay tells of everything new; sometimes it dies before it has noted so, and tells it again."""
        head = self.clients.store.head()
        self.news.publish(range(self._told + 1, head + 1))
        self._told = self.chance.choice([head, head, self._told])

    def deliver(self, subscriber: str, dying_at: int | None = None) -> None:
        """The next piece of news wakes a projector, which dies at that statement."""
        if self.news.take(subscriber) is not None:
            self.poll(subscriber, dying_at)

    def poll(self, subscriber: str, dying_at: int | None = None) -> None:
        """A projector looks by itself, and dies at that statement."""
        with suppress(Crash), self._dying(dying_at):
            catch_up(self._engine, self.clients.store, PROJECTORS[subscriber], self.chance.choice(BATCHES))

    def follow(self, dying_at: int | None = None) -> None:
        """One of two processes that keep all read models up to date takes them further, or dies at that statement, and
        then another takes its place."""
        follower = self.chance.randrange(len(self._followers))
        with suppress(Crash), self._dying(dying_at):
            self._followers[follower].advance()
            return
        self._followers[follower] = self._new_follower()

    def count(self, dying_at: int | None = None) -> None:
        """Somebody takes further what is made of other read models, or dies at that statement."""
        with suppress(Crash), self._dying(dying_at):
            for each in DERIVED:
                derived.advance(self._engine, each, self.chance.choice(BATCHES))

    def rebuild(self, subscriber: str, dying_at: int | None = None) -> None:
        """Somebody rebuilds a read model, or goes on with that; and is interrupted at that statement."""
        with suppress(Crash), self._dying(dying_at):
            rebuild(self._engine, self.clients.store, PROJECTORS[subscriber], batch=self.chance.choice(BATCHES))

    def pass_time(self) -> None:
        """The clock jumps, now and then back."""
        self._now += timedelta(seconds=self.chance.uniform(-60, 600))

    # --- the end

    def recover(self) -> None:
        """Everything that died is back and works off what there is."""
        self.clients.send_unanswered_again()
        while self._unfinished():
            self.play()
        self.propose_pairs()
        follower = self._new_follower()
        while follower.advance():
            pass
        for each in DERIVED:
            derived.catch_up(self._engine, each)

    def violations(self) -> list[str]:
        """What does not hold, though it must once everything has recovered."""
        store = self.clients.store
        events = list(store.read())
        return [
            *self.clients.complaints,
            *self._complaints,
            *invariants.log_violations(events, self.clients.acknowledged(), self.clients.refused, self.clients.marks),
            *invariants.run_violations(events),
            *_pair_violations(events),
            *invariants.standing_violations(self._engine, store.head()),
            *invariants.fold_violations(self._engine, store),
            *invariants.derived_violations(self._engine),
        ]

    # --- parts

    def _execute(self, commands: int | None = None) -> Execute:
        store = self.clients.store
        execute = CommandBus(HANDLERS, store.session, store).execute
        return execute if commands is None else Mortal(execute, commands, in_time=self.chance.random() < 0.5)

    def _new_follower(self) -> Follower:
        return Follower(self._engine, self._log, ALL)

    def _unfinished(self) -> Sequence[UUID]:
        store = self.clients.store
        requested = [recorded.event.originator_id for recorded in store.read(topics=[topic_of(Workflow.Requested)])]
        return [run for run in requested if not Workflow.after(each.event for each in store.history(run)).finished]

    def _steps(self, run: UUID) -> int:
        history = self.clients.store.history(run)
        return sum(isinstance(recorded.event, Workflow.StepRecorded) for recorded in history)

    def _dying(self, at: int | None) -> AbstractContextManager[None]:
        return nullcontext() if at is None else dying_after(self._engine, at)

    def _open_store(self) -> PostgresEventStore:
        return PostgresEventStore(self._url, clock=self._clock, new_id=self._new_id)

    def _clock(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def _new_id(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def _empty_the_database(self) -> None:
        with self._engine.begin() as db:
            for table in db.scalars(text(OUR_TABLES)).all():
                db.execute(text(f"DELETE FROM {table}"))
            db.execute(text("DROP SCHEMA IF EXISTS shadow CASCADE"))


async def _in_silence(work: Coroutine[Any, Any, None]) -> None:
    """Without asyncio's complaints about other tasks that died of the same crash."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await work


def _pair_violations(events: Sequence[Recorded]) -> Iterator[str]:
    """The policy proposes each pair of a completed run once, and of no other run any."""
    completed: set[UUID] = set()
    ballots: dict[UUID, list[Ballot]] = defaultdict(list)
    proposed: dict[UUID | None, list[frozenset[UUID | None]]] = defaultdict(list)
    for recorded in events:
        match recorded.event:
            case Workflow.BallotCast(originator_id=run, ballot=ballot):
                ballots[run].append(ballot)
            case Workflow.Completed(originator_id=run):
                completed.add(run)
            case Preference.Proposed(pair=pair, lineage=lineage) if lineage:
                proposed[lineage.run].append(frozenset({pair.chosen.step, pair.rejected.step}))
    for run in {*completed, *proposed}:
        expected = _expected_pairs(ballots[run]) if run in completed else []
        if Counter(proposed[run]) != Counter(expected):
            yield f"of run {run} {len(proposed[run])} pairs are proposed; its ballots make {len(expected)} pairs"


def _expected_pairs(ballots: Sequence[Ballot]) -> list[frozenset[UUID]]:
    return [frozenset({pair.chosen, pair.rejected}) for pair in ranked_pairs(RANKER.rank(tally(ballots)), ballots)]
