"""What a run is made of: its task, its cast, and the steps that they take."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from domain.errors import Invalid
from domain.model_call import ModelCall, ToolCall
from domain.roster import AgentSpec


@dataclass(frozen=True, slots=True)
class Task:
    """What the agents are asked: the user's turns, in order. `ref` is the caller's own name for it."""

    turns: tuple[str, ...]
    ref: str = ""
    category: str = ""

    @property
    def characters(self) -> int:
        """Of all its text."""
        return sum(map(len, (*self.turns, self.ref, self.category)))

    def must_be_askable(self, named: str = "a task") -> None:
        """Raises Invalid for one without turns, and for an empty turn."""
        if not self.turns or not all(turn.strip() for turn in self.turns):
            raise Invalid(f"{named} needs at least one turn, and no turn may be empty")


@dataclass(frozen=True, slots=True)
class CastMember:
    """An agent of this run and the adapter that it runs on from start to end, e.g. `team@1` (None: the base model)."""

    agent: str
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One model call of a run. `phase` is what it was for (`answer`, `score`, `verdict`), `n` counts within it.

    `attempt` above 1: it was begun before, and nobody knows what came of that; the call may have been made again.
    """

    id: UUID
    agent: str
    phase: str
    n: int
    call: ModelCall
    attempt: int = 1


TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolStep:
    """One use of a tool, which a model call of the agent had asked for. `n` counts the agent's uses of tools, `seconds`
    is how long it took. `attempt` above 1: as with Step, so a tool must bear being used twice."""

    id: UUID
    agent: str
    n: int
    call: ToolCall
    seconds: float
    attempt: int = 1
    phase: str = TOOL


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a run begins that shares another one's past, by reference.

    `run` is the one that it was taken from, `step` the last step that both have (None: they share no step), `shared`
    the steps up to that one in the order in which they were recorded, by that run or by those that it was itself taken
    from. `specs` are the agents that are not as the pinned revision of the roster describes them; `cast` says of those
    who go on as they were what they run on. The nth agent of a run takes the place of the nth of the other one.
    """

    run: UUID
    step: UUID | None
    shared: tuple[UUID, ...]
    specs: tuple[AgentSpec, ...]
    cast: tuple[CastMember, ...]


def step_id(run: UUID, agent: str, phase: str, n: int) -> UUID:
    """A step's id follows from its place in the run, so that a run taken over recognises what is recorded."""
    return uuid5(run, f"{agent}/{phase}/{n}")
