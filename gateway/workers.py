"""What the worker and the trainer do, wired. Each runs until it is told to stop, and leaves the rest to the next."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

from adapters.camel_agents import CamelAgents
from adapters.camel_workforce import CamelWorkforce
from adapters.endpoint_keys import endpoint_keys
from adapters.live_text import LiveText
from adapters.nats import News, NewsDesk
from adapters.presence import Presence
from adapters.reliable_bradley_terry import ReliableBradleyTerry
from adapters.telemetry.agents import TracedAgents
from adapters.telemetry.work import work as span
from adapters.tools.servers_file import read_servers
from adapters.tools.toolbox import Toolbox
from adapters.trl_trainer import TrlTrainer
from commands.policies.advance_batches import AdvanceBatches
from commands.policies.end_evaluations import EndEvaluations
from commands.policies.kinds import playable
from commands.policies.patience import Patience
from commands.policies.promote_adapters import PromoteAdapters
from commands.policies.propose_pairs import ProposePairs
from commands.policies.run_training import RunTraining
from commands.policies.run_workflow import RunWorkflow
from commands.policies.runner import Policy, PolicyRunner
from commands.policies.sweep import Sweep
from domain.evaluation_figures import PromotionRule
from domain.events import Actor, ActorKind, topic_of
from domain.model_hosts import ModelHosts
from domain.workflow import Workflow
from gateway.answers import answers_of, open_answers
from gateway.bootstrap import Core, known_secrets
from gateway.jobs import do_jobs
from gateway.replicas import serve_adapters
from gateway.running import Job, stopped_by_signals, together
from gateway.settings import Settings
from projections.failures import OUTAGES
from projections.lookups import BatchRuns, PromotedAdapters, RosterRevisions, UnattendedWork


async def work(core: Core) -> None:
    """Plays workflow runs, lets batches go on, proposes the pairs that ballots make, builds datasets, does jobs, and
    keeps model servers in step with the registry."""
    settings, store = core.settings, core.store
    presence, worker = Presence(core.engine), _own_name("worker")
    live = LiveText(str(settings.nats_url))
    secrets, hide = endpoint_keys(os.environ, settings.secrets_dir), known_secrets(settings).hide
    toolbox = Toolbox(read_servers(settings.mcp_servers), secrets, settings.logs, settings.tool_seconds, hide)
    kept = open_answers(core)
    agents = CamelAgents(
        embedded_url=settings.embedded_model_url,
        embedded_key=str(settings.model_key),
        tokenizer_file=_if_there(settings.base_model_dir / "tokenizer.json"),
        secrets=secrets,
        hosts=ModelHosts(settings.model_hosts),
        hide=hide,
        live=live if settings.live_text else None,
        toolbox=toolbox,
        answers=answers_of(core, kept),
    )
    stop = stopped_by_signals()
    drained = Event()  # until then an answer that was paid for is worth another try to record it
    runs = RunWorkflow(
        log=store,
        execute=core.bus.execute,
        kinds=playable(CamelWorkforce()),
        agents=TracedAgents(agents),
        rosters=RosterRevisions(store),
        adapters=PromotedAdapters(core.engine, store),
        workers=presence,
        worker=worker,
        actor=_automation("worker"),
        at_once=settings.concurrent_runs,
        patiently=Patience(OUTAGES, drained.is_set),
        drain_seconds=settings.drain_seconds,
        drained=drained,
        span=span,
        calls_at_once=settings.concurrent_calls,
    )
    policies = [
        AdvanceBatches(BatchRuns(core.engine, store), core.bus.execute, _automation("policy:advance-batches")).policy,
        ProposePairs(store, core.bus.execute, ReliableBradleyTerry(), _automation("policy:propose-pairs")).policy,
        core.datasets_of(_automation("policy:build-dataset")).policy,
        EndEvaluations(store, core.bus.execute, _automation("policy:end-evaluations")).policy,
        PromoteAdapters(store, core.bus.execute, _rule(settings), _automation("policy:promote-adapters")).policy,
    ]
    unattended = UnattendedWork(core.engine, store, presence)
    desk = _desk(core)
    desk.subscribe("run-workflow", ["events.workflow.requested"], _offering(runs.offer))
    again = [f"events.workflow.{what}" for what in ("resumed", "released", "retried")]
    desk.subscribe("rerun-workflow", again, _offering(runs.offer))

    def hear(topic: str) -> None:
        if topic == topic_of(Workflow.Stopped):
            runs.look_again()

    try:
        with presence.announced(worker):
            await together(
                runs.run(stop),
                *(_driven(policy, core, desk, stop) for policy in policies),
                Sweep(unattended.runs_without_worker, runs.offer).run(stop),
                desk.run(stop),
                core.bell.listen(stop, hear),
                live.run(stop),
                do_jobs(core, presence, worker, agents, stop),
                serve_adapters(core, stop),
            )
    finally:
        await agents.close()
        await toolbox.close()
        kept.close()


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
        dataset_file=core.datasets_of(actor).ensure,
        dataset_again=core.datasets_of(actor).again,
        workers=presence,
        worker=worker,
        actor=actor,
        patiently=Patience(OUTAGES, stop.is_set),
        span=span,
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
    runner = PolicyRunner(policy, core.store, core.policies, span=span)

    async def wake(news: Sequence[News]) -> None:
        runner.wake()

    desk.subscribe(policy.name.replace("_", "-"), [f"events.{topic}" for topic in policy.topics], wake)
    return runner.run(stop)


def _offering(offer: Callable[[UUID], None]) -> Callable[[Sequence[News]], Job]:
    async def heed(news: Sequence[News]) -> None:
        for item in news:
            offer(item.aggregate_id)

    return heed


def _rule(settings: Settings) -> PromotionRule | None:
    least = settings.promote_win_rate
    return None if least is None else PromotionRule(least, settings.promote_gain)


def _desk(core: Core) -> NewsDesk:
    return NewsDesk(str(core.settings.nats_url))


def _automation(subject: str) -> Actor:
    return Actor(subject, ActorKind.AUTOMATION)


def _if_there(file: Path) -> Path | None:
    return file if file.exists() else None


def _own_name(role: str) -> str:
    """Unlike any other process's, past ones included: a restarted worker is another worker."""
    return f"{role}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
