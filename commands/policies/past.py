"""What a fork shares with the runs that it was taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from domain.ports.events import EventLog
from domain.steps import Step, ToolStep
from domain.workflow import Workflow

Place = tuple[str, str, int]
"""Agent, phase and number of a step."""


@dataclass(frozen=True, slots=True)
class Past:
    """`root` is the run with which it all began, `names` who was there in each agent's place; `steps` are those shared,
    and `tools` the tools used there, by their place in the fork. A run that is no fork is its own root, and shares
    nothing."""

    root: UUID
    names: Mapping[str, str]
    steps: Mapping[Place, Step]
    tools: Mapping[Place, ToolStep]


def past_of(requested: Workflow.Requested, log: EventLog) -> Past:
    """Reads it from the log."""
    agents, steps, tools = requested.agents, dict[Place, Step](), dict[Place, ToolStep]()
    wanted = set(requested.fork.shared if requested.fork else ())
    run = requested
    while run.fork:
        history = log.history(run.fork.run)
        (run,) = (event for recorded in history[:1] if isinstance(event := recorded.event, Workflow.Requested))
        for recorded in history:
            match recorded.event:
                case Workflow.StepRecorded(step=step) if step.id in wanted:
                    steps[agents[run.agents.index(step.agent)], step.phase, step.n] = step
                case Workflow.ToolUsed(step=used) if used.id in wanted:
                    tools[agents[run.agents.index(used.agent)], used.phase, used.n] = used
    return Past(run.originator_id, dict(zip(agents, run.agents, strict=True)), steps, tools)
