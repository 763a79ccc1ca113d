"""What the worker and the trainer do, wired. Each runs until it is told to stop, and leaves the rest to the next."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID, uuid4

from adapters.agents_yaml import may_hold_key
from adapters.bradley_terry import BradleyTerry
from adapters.camel_agents import CamelAgents
from adapters.nats import News, NewsDesk
from adapters.presence import Presence
from adapters.trl_trainer import TrlTrainer
from commands.policies.build_dataset import BuildDataset
from commands.policies.kinds import KINDS
from commands.policies.patience import Patience
from commands.policies.propose_pairs import ProposePairs
from commands.policies.run_training import RunTraining
from commands.policies.run_workflow import RunWorkflow
from commands.policies.runner import Policy, PolicyRunner
from commands.policies.sweep import Sweep
from domain.events import Actor, ActorKind
from gateway.bootstrap import Core
from gateway.running import Job, stopped_by_signals, together
from projections.failures import OUTAGES
from projections.lookups import PromotedAdapters, RosterRevisions, UnattendedWork


async def work(core: Core) -> None:
    """Plays workflow runs, proposes the pairs that their ballots make, and builds datasets."""
    settings, store = core.settings, core.store
    presence, worker = Presence(core.engine), _own_name("worker")
    agents = CamelAgents(
        embedded_url=settings.embedded_model_url,
        embedded_key=str(settings.model_key),
        tokenizer_file=_if_there(settings.base_model_dir / "tokenizer.json"),
        secrets={name: value for name, value in os.environ.items() if may_hold_key(name)},
    )
    stop = stopped_by_signals()
    runs = RunWorkflow(
        log=store,
        execute=core.bus.execute,
        kinds=KINDS,
        agents=agents,
        rosters=RosterRevisions(store),
        adapters=PromotedAdapters(core.engine, store),
        workers=presence,
        worker=worker,
        actor=_automation("worker"),
        at_once=settings.concurrent_runs,
        patiently=Patience(OUTAGES, stop.is_set),
    )
    policies = [
        ProposePairs(store, core.bus.execute, BradleyTerry(), _automation("policy:propose-pairs")).policy,
        BuildDataset(store, core.dataset_files, core.bus.execute, _automation("policy:build-dataset")).policy,
    ]
    unattended = UnattendedWork(core.engine, store, presence)
    desk = _desk(core)
    desk.subscribe("run-workflow", ["events.workflow.requested"], _offering(runs.offer))
    try:
        with presence.announced(worker):
            await together(
                runs.run(stop),
                *(_driven(policy, core, desk, stop) for policy in policies),
                Sweep(unattended.runs_without_worker, runs.offer).run(stop),
                desk.run(stop),
            )
    finally:
        await agents.close()


async def train(core: Core) -> None:
    """Runs the training runs, one at a time."""
    settings, store = core.settings, core.store
    actor = _automation("trainer")
    presence, worker = Presence(core.engine), _own_name("trainer")
    stop = stopped_by_signals()
    trainings = RunTraining(
        log=store,
        execute=core.bus.execute,
        trainer=TrlTrainer(
            settings.base_model_dir, settings.artifacts, settings.home / "training", settings.logs.absolute()
        ),
        dataset_file=BuildDataset(store, core.dataset_files, core.bus.execute, actor).ensure,
        workers=presence,
        worker=worker,
        actor=actor,
        patiently=Patience(OUTAGES, stop.is_set),
    )
    unattended = UnattendedWork(core.engine, store, presence)
    desk = _desk(core)
    desk.subscribe("run-training", ["events.training_run.requested"], _offering(trainings.offer))
    over = ["events.training_run.cancelled", "events.training_run.failed"]
    desk.subscribe("forget-training", over, _offering(trainings.offer))
    with presence.announced(worker):
        await together(
            trainings.run(stop),
            Sweep(unattended.trainings_without_worker, trainings.offer).run(stop),
            desk.run(stop),
        )


def _driven(policy: Policy, core: Core, desk: NewsDesk, stop: asyncio.Event) -> Job:
    """The policy's runner, woken by news of its topics."""
    runner = PolicyRunner(policy, core.store, core.policies)

    async def wake(news: Sequence[News]) -> None:
        runner.wake()

    desk.subscribe(policy.name.replace("_", "-"), [f"events.{topic}" for topic in policy.topics], wake)
    return runner.run(stop)


def _offering(offer: Callable[[UUID], None]) -> Callable[[Sequence[News]], Job]:
    async def heed(news: Sequence[News]) -> None:
        for item in news:
            offer(item.aggregate_id)

    return heed


def _desk(core: Core) -> NewsDesk:
    return NewsDesk(str(core.settings.nats_url))


def _automation(subject: str) -> Actor:
    return Actor(subject, ActorKind.AUTOMATION)


def _if_there(file: Path) -> Path | None:
    return file if file.exists() else None


def _own_name(role: str) -> str:
    """Unlike any other process's, past ones included: a restarted worker is another worker."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
