"""Which step of which run a model is being asked for: for those on the way to the model who tell about the call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from domain.steps import step_id


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """A step that is not recorded yet. `attempt` above 1: it was begun before."""

    run: UUID
    agent: str
    phase: str
    n: int
    attempt: int = 1

    @property
    def id(self) -> UUID:
        """The one that the step will have."""
        return step_id(self.run, self.agent, self.phase, self.n)


_CURRENT: ContextVar[CurrentStep | None] = ContextVar("current_step", default=None)


@contextmanager
def asking_for(step: CurrentStep) -> Iterator[None]:
    """Within it that step is the current one. Tasks do not see each other's."""
    token = _CURRENT.set(step)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_step() -> CurrentStep | None:
    """None where a model is asked for no step."""
    return _CURRENT.get()
