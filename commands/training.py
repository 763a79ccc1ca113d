"""What may be asked of training runs: by people (request, cancel) and by the trainer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from uuid import UUID

from domain.dataset import Dataset
from domain.errors import Invalid, NotReady
from domain.lora_adapter import LoraAdapter, Passport, adapter_id, adapter_name
from domain.ports import Session, Written
from domain.training import Progress, TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig


@dataclass(frozen=True, slots=True)
class RequestTraining:
    dataset_id: UUID
    base_model: str
    alias: str
    config: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True, slots=True)
class StartTraining:
    """`expected_version`: where the run stood when it was found without a worker, so that of two takers one wins."""

    run: UUID
    worker: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RecordProgress:
    run: UUID
    epoch: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class CompleteTraining:
    run: UUID
    epoch: int
    adapter: TrainedAdapter


@dataclass(frozen=True, slots=True)
class FailTraining:
    run: UUID
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class CancelTraining:
    run: UUID
    reason: str
    expected_version: int | None = None


class Requesting:
    """Asks for trainings of the base models that trainers have."""

    def __init__(self, base_models: Collection[str]) -> None:
        self._base_models = base_models

    def __call__(self, command: RequestTraining, session: Session) -> Written:
        """Raises NotFound, NotReady while the dataset is being built, Invalid when it holds no pair or when there
        is no such base model."""
        if command.base_model not in self._base_models:
            raise Invalid(f"no trainer has {command.base_model!r}; there is {', '.join(sorted(self._base_models))}")
        dataset = session.get(Dataset, command.dataset_id)
        if dataset.sha256 is None:
            raise NotReady("the dataset is not built yet; try again in a moment")
        if not dataset.pairs:
            raise Invalid("the dataset holds no pair; loosen its filter, or annotate some preferences first")
        adapter_name(command.alias, 1)
        run = TrainingRun.request(
            id=session.new_id(),
            dataset_id=dataset.id,
            dataset_sha256=dataset.sha256,
            position=dataset.position,
            base_model=command.base_model,
            alias=command.alias,
            config=command.config,
            at=session.now(),
        )
        return session.save(run)


def start(command: StartTraining, session: Session) -> Written:
    """A trainer takes the run, or takes it over. At the first start the next revision of the alias is reserved for it.

    Raises NotFound, VersionConflict (another trainer was faster), AlreadyDone (the run is over).
    """
    run = session.get(TrainingRun, command.run, command.expected_version)
    if run.adapter_name:
        run.start(command.worker, run.adapter_name, at=session.now())
        return session.save(run)
    revision = _next_revision(run.alias, session)
    run.start(command.worker, adapter_name(run.alias, revision), at=session.now())
    return session.save(run, LoraAdapter.reserve(run.alias, revision, run.id, at=session.now()))


def progress(command: RecordProgress, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(TrainingRun, command.run)
    run.progress(command.epoch, command.progress, at=session.now())
    return session.save(run)


def complete(command: CompleteTraining, session: Session) -> Written:
    """Ends the run and registers its adapter, in one transaction. Raises NotFound, LeaseLost, AlreadyDone."""
    run = session.get(TrainingRun, command.run)
    trained = command.adapter
    run.complete(command.epoch, trained, at=session.now())
    alias, _, revision = trained.name.partition("@")
    passport = Passport(
        alias=alias,
        revision=int(revision),
        sha256=trained.sha256,
        base_model=trained.base_model,
        base_sha256=trained.base_sha256,
        training_run=run.id,
        dataset_id=run.dataset_id,
        dataset_sha256=run.dataset_sha256,
        position=run.position,
        pairs=trained.pairs,
        config=replace(run.config, precision=trained.precision or run.config.precision),
    )
    adapter = session.get(LoraAdapter, adapter_id(trained.name))
    adapter.register(passport, at=session.now())
    return session.save(run, adapter)


def fail(command: FailTraining, session: Session) -> Written:
    """Raises NotFound, LeaseLost (taken over), AlreadyDone (the run is over)."""
    run = session.get(TrainingRun, command.run)
    run.fail(command.epoch, command.reason, at=session.now())
    return session.save(run)


def cancel(command: CancelTraining, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone when the run is over."""
    run = session.get(TrainingRun, command.run, command.expected_version)
    run.cancel(command.reason, at=session.now())
    return session.save(run)


def _next_revision(alias: str, session: Session) -> int:
    revision = 1
    while session.find(LoraAdapter, adapter_id(adapter_name(alias, revision))):
        revision += 1
    return revision
