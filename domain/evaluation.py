"""An evaluation: how an adapter does on prompts that nothing in it was trained on, against the base model or another
adapter. A job does the work; what it came to is here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid
from domain.evaluation_figures import Figures
from domain.job import ResultFile

BASE = "base"
"""The base model without an adapter, among the names of adapters."""
MOST_JUDGES = 8
_MOST = {"pairs": 10_000, "prompts": 1_000, "max_tokens": 4_096}


class EvaluationState(StrEnum):
    """`failed`: its job is a dead letter. That is no end as long as this can be replayed, to bring a result or be
    cancelled."""

    REQUESTED = "requested"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked: at most so many held-out `pairs` are scored, and at most so many held-out `prompts` answered,
    in at most `max_tokens` each. The `seed` draws them, and who is shown first. Without pairs nothing is scored, which
    not every server can do, and only answers are compared."""

    pairs: int = 200
    prompts: int = 40
    max_tokens: int = 128
    seed: int = 0

    def check(self) -> None:
        """Raises Invalid for what is nothing, or more than an evaluation may be."""
        for name, most in _MOST.items():
            least = 1 if name == "max_tokens" else 0
            if not least <= getattr(self, name) <= most:
                raise Invalid(f"{name} must lie between {least} and {most:,}")
        if not (self.pairs or self.prompts):
            raise Invalid("pairs and prompts are both 0: there is nothing to ask about")
        if not 0 <= self.seed < 2**31:
            raise Invalid("seed must lie in [0, 2**31)")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated: the `adapter`, `against` another one or BASE, both on `base_model`, on what that part of the
    dataset holds. `judges` are agents of the roster's `roster_revision`; None: there is no roster, and the base model
    judges."""

    adapter: str
    against: str
    base_model: str
    dataset_id: UUID
    part: str
    roster_revision: int | None
    judges: tuple[str, ...]


class Evaluation(BaseAggregate[UUID]):
    TOPIC = "evaluation"

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`job` does it."""

        TOPIC = "evaluation.requested"
        originator_topic: str
        subject: Subject
        plan: Plan
        job: UUID

    class Completed(Event):
        """`items`: the file with all that was scored and judged, one by one."""

        TOPIC = "evaluation.completed"
        class_version = 2
        figures: Figures
        items: ResultFile

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """What a model did not take kept an evaluation from being completed, and later on was not counted."""
            return data | {"figures": data["figures"] | {"refused": 0}}

        def apply(self, aggregate: Evaluation) -> None:
            aggregate.state = EvaluationState.COMPLETED
            aggregate.figures = self.figures

    class Failed(Event):
        TOPIC = "evaluation.failed"
        reason: str

        def apply(self, aggregate: Evaluation) -> None:
            aggregate.state = EvaluationState.FAILED

    class Cancelled(Event):
        TOPIC = "evaluation.cancelled"
        reason: str

        def apply(self, aggregate: Evaluation) -> None:
            aggregate.state = EvaluationState.CANCELLED

    def __init__(self, subject: Subject, plan: Plan, job: UUID) -> None:
        self.subject = subject
        self.plan = plan
        self.job = job
        self.state = EvaluationState.REQUESTED
        self.figures: Figures | None = None

    @classmethod
    def request(cls, id: UUID, subject: Subject, plan: Plan, job: UUID, at: datetime) -> Self:
        """Raises Invalid for a plan that cannot be, too many judges, and an adapter against itself."""
        plan.check()
        if subject.adapter == subject.against:
            raise Invalid(f"{subject.adapter} against itself says nothing: name `{BASE}` or another adapter")
        if len(subject.judges) > MOST_JUDGES:
            raise Invalid(f"an evaluation has at most {MOST_JUDGES} judges")
        return cls._create(cls.Requested, id=id, subject=subject, plan=plan, job=job, timestamp=at)

    def complete(self, figures: Figures, items: ResultFile, at: datetime) -> None:
        """It is done. A repeat changes nothing: a job may be done twice. Raises AlreadyDone where it was cancelled."""
        if self.state is EvaluationState.CANCELLED:
            raise AlreadyDone("the evaluation was cancelled")
        if self.state is not EvaluationState.COMPLETED:
            self.trigger_event(self.Completed, figures=figures, items=items, timestamp=at)

    def fail(self, reason: str, at: datetime) -> None:
        """Its job ended without a result. Raises AlreadyDone."""
        self._must_not_be(EvaluationState.COMPLETED, EvaluationState.CANCELLED, EvaluationState.FAILED)
        self.trigger_event(self.Failed, reason=reason, timestamp=at)

    def cancel(self, reason: str, at: datetime) -> None:
        """Nobody wants it any more, whether its job failed or not. Raises AlreadyDone."""
        self._must_not_be(EvaluationState.COMPLETED, EvaluationState.CANCELLED)
        self.trigger_event(self.Cancelled, reason=reason, timestamp=at)

    def _must_not_be(self, *over: EvaluationState) -> None:
        if self.state in over:
            raise AlreadyDone(f"the evaluation is {self.state} already")
