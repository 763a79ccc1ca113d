"""Jobs, wired: every worker does them, and one of the workers hands them out and asks for the periodic ones."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from adapters.job_queue import JetStreamJobs
from adapters.leadership import Leadership
from adapters.presence import Presence
from adapters.telemetry.work import work as span
from commands.job_kinds import QUEUES
from commands.policies.dispatch_jobs import DispatchJobs
from commands.policies.patience import Patience
from commands.policies.run_jobs import RunJobs
from commands.policies.run_schedules import RunSchedules
from domain.errors import Invalid
from domain.events import Actor, ActorKind
from domain.ports.agents import AgentFactory
from gateway.bootstrap import Core
from gateway.job_handlers import job_handlers
from gateway.running import together
from gateway.settings import Settings
from projections.failures import OUTAGES
from projections.lookups import JobsAtHand

LOCK = 0x6A6F6273  # "jobs"
SLOTS = 2
"""How many jobs of one queue a worker does at once, unless the settings say otherwise."""


async def do_jobs(core: Core, presence: Presence, worker: str, agents: AgentFactory, stop: asyncio.Event) -> None:
    """Until `stop` is set. `agents` makes those that evaluations ask."""
    settings, store = core.settings, core.store
    at_hand = JobsAtHand(core.engine, store, presence)
    queue = JetStreamJobs(str(settings.nats_url), QUEUES)
    runner = RunJobs(
        log=store,
        execute=core.bus.execute,
        queue=queue,
        jobs=at_hand,
        handlers=job_handlers(core, presence, utc_now(), agents),
        files=core.job_results,
        queues=slots(settings),
        worker=worker,
        actor=Actor("worker", ActorKind.AUTOMATION),
        patiently=Patience(OUTAGES, stop.is_set),
        span=span,
    )
    dispatcher = DispatchJobs(store, core.bus.execute, at_hand, queue, Actor("dispatcher", ActorKind.AUTOMATION))
    scheduler = RunSchedules(
        store, core.bus.execute, core.schedules, core.calendar, Actor("scheduler", ActorKind.AUTOMATION), utc_now
    )

    def heard(topic: str) -> None:
        if topic.startswith("job."):
            dispatcher.wake()

    await together(
        queue.run(stop),
        runner.run(stop),
        core.bell.listen(stop, heard),
        Leadership(str(settings.database_url), LOCK, "jobs").lead(
            stop, lambda: together(dispatcher.run(stop), scheduler.run(stop))
        ),
    )


def slots(settings: Settings) -> dict[str, int]:
    """How many jobs of each queue one worker does at once. Raises Invalid for a queue that there is not."""
    if unknown := settings.concurrent_jobs.keys() - set(QUEUES):
        raise Invalid(f"concurrent_jobs: there is no queue {', '.join(sorted(unknown))}; there is {', '.join(QUEUES)}")
    return {queue: settings.concurrent_jobs.get(queue, SLOTS) for queue in QUEUES}


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
