"""How much a run may take: time, model calls, tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import UUID

from domain.errors import DomainError, Invalid


class Limit(StrEnum):
    """By the name of its field in Limits."""

    TOKENS = "tokens"
    STEPS = "steps"
    SECONDS = "seconds"
    STEP_SECONDS = "step_seconds"


class LimitReached(DomainError):
    """The run has used up what it may take, so it ends. HTTP 409."""

    status = 409

    def __init__(self, limit: Limit, allowed: float, step: UUID | None = None) -> None:
        """`step`: the one that took too long."""
        super().__init__(f"the run has reached its limit: {limit} {allowed:g}")
        self.limit = limit
        self.step = step


class TimeLeft(DomainError):
    """The run's time is not up yet: for `seconds` it is not. HTTP 409."""

    status = 409

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the run has {seconds:g} s left")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """None: as much as it needs. `tokens`, in and out, and `steps` are those of the whole run; the calls that are under
    way when the tokens are used up still end. `seconds` count from the run's first start, or its latest retry, without
    its pauses; `step_seconds` is how long one step may take."""

    tokens: int | None = None
    steps: int | None = None
    seconds: float | None = None
    step_seconds: float | None = None

    def must_make_sense(self) -> None:
        """Raises Invalid for a limit that allows nothing."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise Invalid(f"the limit {each.name} must be above 0; leave it out for none")

    def must_allow(self, tokens: int, steps: int) -> None:
        """Whether a run that has used so many tokens may begin a step that makes them so many. Raises LimitReached."""
        if self.tokens is not None and tokens >= self.tokens:
            raise LimitReached(Limit.TOKENS, self.tokens)
        if self.steps is not None and steps > self.steps:
            raise LimitReached(Limit.STEPS, self.steps)


NO_LIMITS = Limits()
