"""What is done for each kind of job, wired to what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import UUID

from adapters.adapter_files import AdapterFiles
from adapters.camel_platforms import EMBEDDED
from adapters.dataset_pairs import FilesOfPairs
from adapters.leftovers import DeadWorkers, HalfDatasets, HalfImports, TrainingFolders, TrainingLogs
from adapters.presence import Presence
from adapters.sealing.anchors import AnchorFile, read_anchors
from adapters.sealing.keys import read_keyring
from adapters.sealing.verification import Report, verify
from commands.evaluating.evaluate import EvaluateAdapter
from commands.exchange.import_file import ImportFileJob
from commands.exchange.withdraw_import import WithdrawImport
from commands.job_kinds import EVALUATE, IMPORT, JOB_KINDS
from commands.maintenance.audit_check import CheckAudit
from commands.maintenance.clean_up import CleanUp
from commands.maintenance.orphans import EndOrphans, work_of_runs, work_of_trainings
from commands.maintenance.parked_report import ParkedReport
from commands.maintenance.reconcile_adapters import ReconcileAdapters
from commands.policies.held_job import Attempt
from commands.policies.run_jobs import JobHandler, in_thread
from domain.evaluation_figures import Resample
from domain.events import Actor, ActorKind
from domain.job import JobKind, Json
from domain.lora_weights import Weights
from domain.ports.agents import AgentFactory
from gateway.bootstrap import Core
from projections import jobs, training_runs
from projections.lookups import RosterRevisions, ServableAdapters, UnattendedWork
from projections.status import status


def job_handlers(core: Core, presence: Presence, up_since: datetime, agents: AgentFactory) -> Mapping[str, JobHandler]:
    """One for each of commands.job_kinds. `up_since`: when this worker began; `agents` makes those that evaluations
    ask."""
    work: Mapping[str, Callable[[Json, Attempt], Json]] = {
        "parked-report": ParkedReport(
            read_models=lambda: {one.name: one.parked for one in status(core.engine, core.store.head())},
            policies=lambda: {one.policy: one.parked for one in core.policies.standings()},
        ),
        "orphans": _orphans(core, presence, up_since),
        "clean-up": _clean_up(core, presence),
        "reconcile-adapters": ReconcileAdapters(
            lambda: _registered_adapters(core), AdapterFiles(core.settings.lora_adapters)
        ),
        "audit-check": CheckAudit(
            lambda: _last_result(core, "audit-check"), lambda since, tell: _verified(core, since, tell)
        ),
        IMPORT: ImportFileJob(
            core.store, core.store.beginnings, core.import_files, core.bus.execute, _automation("job:import")
        ),
        "withdraw-import": WithdrawImport(core.store, core.bus.execute, _automation("job:withdraw-import")),
    }
    in_threads = {name: in_thread(_checked(JOB_KINDS[name], each)) for name, each in work.items()}
    return {**in_threads, EVALUATE: evaluating(core, agents)}


def evaluating(core: Core, agents: AgentFactory) -> EvaluateAdapter:
    """Evaluates adapters on the endpoint that serves the base model."""
    return EvaluateAdapter(
        log=core.store,
        execute=core.bus.execute,
        agents=agents,
        rosters=RosterRevisions(core.store),
        datasets=FilesOfPairs(core.datasets.ensure),
        files=core.job_results,
        resampling=_resampling,
        platform=EMBEDDED,
        actor=_automation("job:evaluate"),
    )


def _resampling(seed: int) -> Resample:
    """Its statistics take a second to import: only who evaluates waits for it."""
    from adapters.bootstrap_interval import resampling

    return resampling(seed)


def _checked(kind: JobKind, work: Callable[[Json, Attempt], Json]) -> Callable[[Json, Attempt], Json]:
    """The job may have been asked for by an older release, whose payloads knew less."""
    return lambda payload, attempt: work(kind.check(payload), attempt)


def _orphans(core: Core, presence: Presence, up_since: datetime) -> EndOrphans:
    work = UnattendedWork(core.engine, core.store, presence)
    kinds = [
        work_of_runs(work.running_runs, work.runs_without_worker),
        work_of_trainings(work.running_trainings, work.trainings_without_worker),
    ]
    actor = _automation("job:orphans")
    return EndOrphans(core.store, core.bus.execute, kinds, actor, lambda: datetime.now(UTC), up_since)


def _clean_up(core: Core, presence: Presence) -> CleanUp:
    def is_over(run: UUID) -> bool:
        with core.engine.connect() as db:
            row = training_runs.find(db, run)
        return bool(row and row["finished_at"])

    settings = core.settings
    return CleanUp(
        [
            TrainingFolders(settings.home / "training", is_over),
            TrainingLogs(settings.logs, is_over),
            DeadWorkers(presence),
            HalfImports(settings.artifacts / "imports"),
            HalfDatasets(settings.artifacts / "datasets"),
        ]
    )


def _automation(subject: str) -> Actor:
    return Actor(subject, ActorKind.AUTOMATION)


def _registered_adapters(core: Core) -> Mapping[str, Weights]:
    servable = ServableAdapters(core.engine, core.store)()
    return {name: adapter.weights for name, adapter in servable.items()}


def _last_result(core: Core, kind: str) -> Json | None:
    with core.engine.connect() as db:
        return jobs.last_result(db, kind)


def _verified(core: Core, since: Json | None, tell: Callable[[int, int], None]) -> Json:
    settings = core.settings
    return asdict(
        verify(
            core.engine,
            read_keyring(settings.seal_keyring),
            read_anchors(settings.anchors) if settings.anchors.exists() else [],
            kept=core.seals.kept(AnchorFile.name),
            on_progress=tell,
            since=Report(seals=since["seals"], seal=since["seal"]) if since else None,
        )
    )
