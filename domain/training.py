"""A training run: one dataset, one base model, one configuration, and the LoRA adapter that comes out of them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost

LOSSES = frozenset(
    {
        "sigmoid",
        "sigmoid_norm",
        "hinge",
        "ipo",
        "nca_pair",
        "bco_pair",
        "sppo_hard",
        "aot",
        "aot_unpaired",
        "apo_zero",
        "apo_down",
        "discopop",
        "sft",
    }
)
"""Those of TRL's losses for DPO that need no setting but `beta`."""

_MOST = {
    "steps": 100_000,
    "batch_size": 256,
    "gradient_accumulation": 256,
    "max_length": 8_192,
    "lora_rank": 256,
    "lora_alpha": 1_024,
    "max_pairs": 1_000_000,
}
_MOST_MODULES = 16
_MODULE = re.compile(r"[A-Za-z0-9_]{1,64}")


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


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How to train. DPO (Rafailov et al. 2023, arXiv:2305.18290) with LoRA (Hu et al. 2021, arXiv:2106.09685).

    `loss` names some of LOSSES: `sigmoid` is DPO itself, `sft` keeps the chosen answers likely. `target_modules` are
    names of layers. `max_length` in tokens; `max_pairs` takes the pairs that weigh most. `precision`: `bf16` or `fp32`.
    """

    steps: int = 24
    batch_size: int = 4
    gradient_accumulation: int = 1
    learning_rate: float = 5e-4
    beta: float = 0.1
    max_length: int = 256
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    loss: tuple[str, ...] = ("sigmoid", "sft")
    loss_weights: tuple[float, ...] = (1.0, 1.0)
    precision: str = "bf16"
    max_pairs: int = 64
    seed: int = 0

    def check(self) -> None:
        """Raises Invalid for a value that no training can use."""
        for name, most in _MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise Invalid(f"{name} must lie between 1 and {most}")
        for name in ("learning_rate", "beta"):
            if not 0 < getattr(self, name) < math.inf:
                raise Invalid(f"{name} must be a number above 0")
        if not 0 <= self.lora_dropout < 1:
            raise Invalid("lora_dropout must lie in [0, 1)")
        if self.precision not in ("bf16", "fp32"):
            raise Invalid("precision is bf16 or fp32")
        if not 0 <= self.seed < 2**31:
            raise Invalid("seed must lie in [0, 2**31)")
        self._check_losses()
        self._check_modules()

    def _check_losses(self) -> None:
        if not self.loss or not LOSSES.issuperset(self.loss) or len(set(self.loss)) < len(self.loss):
            raise Invalid(f"loss must name some of {', '.join(sorted(LOSSES))}, each once")
        if len(self.loss) != len(self.loss_weights) or not all(map(math.isfinite, self.loss_weights)):
            raise Invalid("loss_weights must hold one number for each loss")

    def _check_modules(self) -> None:
        if not 1 <= len(self.target_modules) <= _MOST_MODULES or not all(map(_MODULE.fullmatch, self.target_modules)):
            raise Invalid(f"target_modules must name 1 to {_MOST_MODULES} layers, e.g. q_proj")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is. `margin` is TRL's rewards/margins, `accuracy` its rewards/accuracies."""

    step: int
    total_steps: int
    loss: float
    margin: float
    accuracy: float
    seconds_left: float
    samples_per_second: float


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All that a trainer needs. `dataset_file` is a path on the trainer's machine; `position` and `dataset_sha256` go
    into the adapter's passport."""

    run_id: UUID
    adapter_name: str
    dataset_id: UUID
    dataset_file: str
    dataset_sha256: str
    position: int
    base_model: str
    config: TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """What a training made. `sha256` is that of adapter_model.safetensors, `base_sha256` that of the base's weights.

    `loss_before` is the loss on the first batch, before any update, and `loss_after` the one on the last batch. As the
    two hold different pairs, they tell whether a training worked, and not how well: that is asked on unseen prompts.
    """

    name: str
    sha256: str
    base_model: str
    base_sha256: str
    pairs: int
    loss_before: float
    loss_after: float
    seconds: float


class TrainingRun(BaseAggregate[UUID]):
    TOPIC = "training_run"

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`alias` is the family that the adapter will belong to; `position` and `dataset_sha256` freeze the data."""

        TOPIC = "training_run.requested"
        originator_topic: str
        dataset_id: UUID
        dataset_sha256: str
        position: int
        base_model: str
        alias: str
        config: TrainingConfig

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
        epoch: int
        progress: Progress

        def apply(self, aggregate: TrainingRun) -> None:
            aggregate.step = self.progress.step

    class Completed(Event):
        TOPIC = "training_run.completed"
        epoch: int
        adapter: TrainedAdapter

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

    def __init__(
        self,
        dataset_id: UUID,
        dataset_sha256: str,
        position: int,
        base_model: str,
        alias: str,
        config: TrainingConfig,
    ) -> None:
        self.dataset_id = dataset_id
        self.dataset_sha256 = dataset_sha256
        self.position = position
        self.base_model = base_model
        self.alias = alias
        self.config = config
        self.state = TrainingState.REQUESTED
        self.worker = ""
        self.epoch = 0
        self.step = 0
        self.adapter_name: str | None = None
        self.adapter: TrainedAdapter | None = None

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
    ) -> Self:
        """Asks for a training on a dataset that is built. Raises Invalid for a configuration that cannot work."""
        config.check()
        return cls._create(
            cls.Requested,
            id=id,
            dataset_id=dataset_id,
            dataset_sha256=dataset_sha256,
            position=position,
            base_model=base_model,
            alias=alias,
            config=config,
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
