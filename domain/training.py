"""A training run: one dataset, one base model, one configuration, and the LoRA adapter that comes out of them.

Its history may be long, so it declares its fields, as what shall have snapshots must.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost
from domain.training_config import TrainingConfig, before_auto, before_their_names
from domain.training_health import HealthCode
from domain.training_progress import Progress
from domain.weighting import BEFORE_LOTS


class TrainingState(StrEnum):
    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrainingCancelled(DomainError):
    """The trainer stopped because somebody cancelled the run. HTTP 409."""

    status = 409


class TrainingFailed(DomainError):
    """The trainer could not finish; the text says why. HTTP 409."""

    status = 409


CODE = "caravan"
"""Among what an adapter was made with: the version of Caravan."""


class Reference(StrEnum):
    """What a training must not stray from: the base model, or the adapter that it goes on from."""

    BASE = "base"
    START = "start"


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The adapter of an earlier round, from whose weights a training goes on. `sha256` is that of its weights,
    `base_sha256` that of its base model's."""

    adapter: str
    sha256: str
    base_sha256: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Original:
    """The adapter that a training makes again, and the hashes of its weights and its base model's."""

    adapter: str
    sha256: str
    base_sha256: str


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All that a trainer needs. `dataset_file` is a path on the trainer's machine; `position` and `dataset_sha256` go
    into the adapter's passport. `start_from`: None, from the base model alone. `base_sha256`: what the base model's
    weights must be; None: whatever they are."""

    run_id: UUID
    adapter_name: str
    dataset_id: UUID
    dataset_file: str
    dataset_sha256: str
    position: int
    base_model: str
    config: TrainingConfig
    start_from: StartingPoint | None = None
    base_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """What a training made. `sha256` is that of adapter_model.safetensors, `base_sha256` that of the base's weights.

    `loss_before` is the loss on the first batch, before any update, and `loss_after` the one on the last batch. As the
    two hold different pairs, they tell whether a training worked, and not how well: that is asked on unseen prompts.
    `precision` is what it was computed in; None: as the run's configuration says. `steps` were made, fewer than asked
    for where the warning `stopped_by` ended the training early; None: as many as the configuration says. `weighting`
    says how the pairs' weights acted. `made_with`: the versions of Caravan and its libraries, the machine and device.
    """

    name: str
    sha256: str
    base_model: str
    base_sha256: str
    pairs: int
    loss_before: float
    loss_after: float
    seconds: float
    precision: str | None = None
    steps: int | None = None
    stopped_by: HealthCode | None = None
    weighting: str = BEFORE_LOTS
    made_with: dict[str, str] = field(default_factory=dict)


class TrainingRun(BaseAggregate[UUID]):
    TOPIC = "training_run"

    dataset_id: UUID
    dataset_sha256: str
    position: int
    base_model: str
    alias: str
    config: TrainingConfig
    start_from: StartingPoint | None
    reproduces: Original | None = None
    state: TrainingState = field(default=TrainingState.REQUESTED, init=False)
    worker: str = field(default="", init=False)
    epoch: int = field(default=0, init=False)
    step: int = field(default=0, init=False)
    adapter_name: str | None = field(default=None, init=False)
    adapter: TrainedAdapter | None = field(default=None, init=False)

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`alias` is the family that the adapter will belong to; `position` and `dataset_sha256` freeze the data, and
        `start_from` the weights to go on from; None: the base model's alone. `reproduces`: the adapter that is to be
        made again; None: a new one."""

        TOPIC = "training_run.requested"
        class_version = 4
        originator_topic: str
        dataset_id: UUID
        dataset_sha256: str
        position: int
        base_model: str
        alias: str
        config: TrainingConfig
        start_from: StartingPoint | None
        reproduces: Original | None

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"config": before_auto(data["config"])}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"config": before_their_names(data["config"]), "start_from": None}

        @staticmethod
        def upcast_v3_v4(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"reproduces": None}

    class Started(Event):
        TOPIC = "training_run.started"
        worker: str
        epoch: int
        adapter_name: str

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.state = TrainingState.RUNNING
            aggregate.worker = self.worker
            aggregate.epoch = self.epoch
            aggregate.adapter_name = self.adapter_name

    class Progressed(Event):
        TOPIC = "training_run.progressed"
        class_version = 2
        epoch: int
        progress: Progress

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return dict(data)

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.step = self.progress.step

    class Completed(Event):
        TOPIC = "training_run.completed"
        class_version = 4
        epoch: int
        adapter: TrainedAdapter

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"adapter": data["adapter"] | {"precision": None}}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"adapter": data["adapter"] | {"weighting": "sampling/1"}}

        @staticmethod
        def upcast_v3_v4(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"adapter": data["adapter"] | {"made_with": {}}}

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.state = TrainingState.COMPLETED
            aggregate.adapter = self.adapter

    class Failed(Event):
        TOPIC = "training_run.failed"
        epoch: int
        reason: str

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.state = TrainingState.FAILED

    class Cancelled(Event):
        TOPIC = "training_run.cancelled"
        reason: str

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.state = TrainingState.CANCELLED

    @classmethod
    def request(
        cls,
        id: UUID,
        dataset_id: UUID,
        dataset_sha256: str,
        position: int,
        base_model: str,
        alias: str,
        config: TrainingConfig,
        at: datetime,
        start_from: StartingPoint | None = None,
        reproduces: Original | None = None,
    ) -> Self:
        """Asks for a training on a dataset that is built. Raises Invalid for a configuration that cannot work."""
        config.check()
        if start_from and start_from.reference is Reference.START and not config.precompute_ref_log_probs:
            raise Invalid(
                "precompute_ref_log_probs must be true where reference is start: its adapter is then trained on"
            )
        return cls._create(
            cls.Requested,
            id=id,
            dataset_id=dataset_id,
            dataset_sha256=dataset_sha256,
            position=position,
            base_model=base_model,
            alias=alias,
            config=config,
            start_from=start_from,
            reproduces=reproduces,
            timestamp=at,
        )

    @property
    def finished(self) -> bool:
        return self.state not in (TrainingState.REQUESTED, TrainingState.RUNNING)

    def start(self, worker: str, adapter_name: str, at: datetime) -> None:
        """A trainer takes the run, or takes it over; the adapter's name stays. Raises AlreadyDone."""
        if self.finished:
            raise AlreadyDone(f"the training run is {self.state}")
        name = self.adapter_name or adapter_name
        self.trigger_event(self.Started, worker=worker, epoch=self.epoch + 1, adapter_name=name, timestamp=at)

    def progress(self, epoch: int, progress: Progress, at: datetime) -> None:
        """Keeps a step's metrics. A step seen before changes nothing. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        if progress.step > self.step:
            self.trigger_event(self.Progressed, epoch=epoch, progress=progress, timestamp=at)

    def complete(self, epoch: int, adapter: TrainedAdapter, at: datetime) -> None:
        """The adapter is written. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Completed, epoch=epoch, adapter=adapter, timestamp=at)

    def fail(self, epoch: int, reason: str, at: datetime) -> None:
        """The training cannot go on. Raises LeaseLost, AlreadyDone."""
        self._must_hold(epoch)
        self.trigger_event(self.Failed, epoch=epoch, reason=reason, timestamp=at)

    def cancel(self, reason: str, at: datetime) -> None:
        """Ends the run, whether it has begun or not; the trainer sees it and stops. Raises AlreadyDone."""
        if self.finished:
            raise AlreadyDone(f"the training run is {self.state} already")
        self.trigger_event(self.Cancelled, reason=reason, timestamp=at)

    def _must_hold(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise LeaseLost(f"the training run is in epoch {self.epoch}; epoch {epoch} was taken over")
        if self.state is not TrainingState.RUNNING:
            raise AlreadyDone(f"the training run is {self.state}")
