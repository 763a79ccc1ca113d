"""What may be asked of training runs: by people (request, cancel) and by the trainer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from uuid import UUID

from commands.lora_adapters import named
from domain.dataset import Dataset
from domain.errors import Invalid, NotReady
from domain.lora_adapter import LoraAdapter, Passport, adapter_id, adapter_name
from domain.ports.events import Session, Written
from domain.training import CODE, Original, Reference, StartingPoint, TrainedAdapter, TrainingRun
from domain.training_config import TrainingConfig
from domain.training_progress import Progress


@dataclass(frozen=True, slots=True)
class RequestTraining:
    """`start_from` names the adapter of an earlier round to go on from, e.g. `team@1`; None: the base model alone.
    `reference` says which of the two the new adapter is kept close to."""

    dataset_id: UUID
    base_model: str
    alias: str
    config: TrainingConfig = field(default_factory=TrainingConfig)
    start_from: str | None = None
    reference: Reference = Reference.BASE


@dataclass(frozen=True, slots=True)
class ReproduceAdapter:
    """`anyway`: also with other code than made it, or where nobody noted with which."""

    name: str
    anyway: bool = False


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
        """Raises NotFound, NotReady while the dataset is being built, Invalid when it holds no pair, when there is no
        such base model, or when the training cannot go on from that adapter."""
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
            start_from=_starting_point(command, session),
            at=session.now(),
        )
        return session.save(run)


class Reproducing:
    """Asks for trainings that make an adapter again, under the next revision. `code` is the version of Caravan that
    will do it, and `base_models` those that trainers have."""

    def __init__(self, base_models: Collection[str], code: str) -> None:
        self._base_models = base_models
        self._code = code

    def __call__(self, command: ReproduceAdapter, session: Session) -> Written:
        """From the same dataset, which is built again, by the same configuration and seed. Raises NotFound, and Invalid
        where the adapter is not trained, and where base model or code are others."""
        adapter = named(command.name, session)
        passport = adapter.passport
        if passport is None:
            raise Invalid(f"{adapter.name} is not trained: there is nothing to make again")
        if passport.base_model not in self._base_models:
            raise Invalid(
                f"no trainer has {passport.base_model!r}, from which {adapter.name} was trained: set "
                "CARAVAN_BASE_MODEL to it, and put its weights in their place"
            )
        self._must_be_the_code(adapter.name, passport.made_with.get(CODE), command.anyway)
        run = TrainingRun.request(
            id=session.new_id(),
            dataset_id=passport.dataset_id,
            dataset_sha256=passport.dataset_sha256,
            position=passport.position,
            base_model=passport.base_model,
            alias=passport.alias,
            config=passport.config,
            start_from=passport.start_from,
            reproduces=Original(adapter.name, passport.sha256, passport.base_sha256),
            at=session.now(),
        )
        return session.save(run)

    def _must_be_the_code(self, name: str, was: str | None, anyway: bool) -> None:
        if anyway or was == self._code:
            return
        made = f"was made with Caravan {was}" if was else "does not say with which version of Caravan it was made"
        raise Invalid(
            f"{name} {made}, and this is {self._code}: run that version, or ask for it anyway (--anyway), and see what "
            "differs"
        )


def _starting_point(command: RequestTraining, session: Session) -> StartingPoint | None:
    """Raises NotFound, and Invalid where the adapter cannot be gone on from."""
    if command.start_from is None:
        if command.reference is Reference.START:
            raise Invalid("reference is start, but there is none: name the adapter of an earlier round as start_from")
        return None
    adapter = named(command.start_from, session)
    passport = adapter.must_be_usable()
    if passport.base_model != command.base_model:
        raise Invalid(
            f"{command.start_from} was trained for {passport.base_model!r}, and this is {command.base_model!r}"
        )
    if other := command.config.form.difference(passport.config.form):
        raise Invalid(
            f"{other.option} must be {other.there}, as it is in {command.start_from}: its weights have that form"
        )
    return StartingPoint(adapter.name, passport.sha256, passport.base_sha256, command.reference)


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
        start_from=run.start_from,
        steps=trained.steps,
        stopped_by=trained.stopped_by,
        weighting=trained.weighting,
        made_with=trained.made_with,
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
