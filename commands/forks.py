"""Forks: a run that begins with what another one has recorded, and goes on with other agents, prompts or models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.errors import Invalid, NotFound
from domain.events import Recorded
from domain.limits import Limits
from domain.lora_adapter import LoraAdapter, adapter_id
from domain.ports.events import Session, Written
from domain.ports.roster import RosterFormat
from domain.roster import ROSTER_ID, AgentRoster, AgentSpec, ModelSpec
from domain.steps import CastMember, Fork
from domain.workflow import Workflow

Endpoint = tuple[str, str | None, str | None]
"""Platform, URL, and the variable that holds the key."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is otherwise with one agent of the run. `becomes`: another one, of the roster as it is now, takes its place.

    `model` is one as agents.yaml has it, at an endpoint that is there. `adapter` (None: the base model) counts where
    `pins_adapter`; else the agent keeps its own, unless its model is another one.
    """

    agent: str
    becomes: str | None = None
    system_message: str | None = None
    model: Mapping[str, Any] | None = None
    ballot: str | None = None
    adapter: str | None = None
    pins_adapter: bool = False


@dataclass(frozen=True, slots=True)
class ForkWorkflow:
    """`step`: the last one that both runs share; None: they share the task alone. `limits` None: those of the run."""

    run: UUID
    step: UUID | None
    changes: tuple[Change, ...] = ()
    batch: str = ""
    limits: Limits | None = None


class Forking:
    """Forks runs. What becomes of an agent must be what agents.yaml could say of one."""

    def __init__(self, format: RosterFormat) -> None:
        self._format = format

    def __call__(self, command: ForkWorkflow, session: Session) -> Written:
        """Raises NotFound, and Invalid for a step that is not the run's, or a change that cannot be made."""
        history = session.history(command.run)
        if not history or not isinstance(asked := history[0].event, Workflow.Requested):
            raise NotFound("workflow", command.run)
        changes = _by_agent(command.changes, asked.agents)
        origin = Workflow.after(recorded.event for recorded in history)
        pinned = _pinned(asked.roster_revision, session)
        specs = pinned | {spec.name: spec for spec in (asked.fork.specs if asked.fork else ())}
        team = [(specs[name], changes.get(name)) for name in asked.agents]
        now = {spec.name: spec for spec in session.get(AgentRoster, ROSTER_ID).agents}
        endpoints = {_endpoint(spec.model) for spec in (*specs.values(), *now.values())}
        others = [self._changed(spec, change, now, endpoints) for spec, change in team]
        for change in command.changes:
            _must_be_served(change, session)
        ran_on = {member.agent: member for member in (*(asked.fork.cast if asked.fork else ()), *origin.cast)}
        cast = [_cast(ran_on.get(spec.name), change) for spec, change in team]
        run = Workflow.request(
            id=session.new_id(),
            kind=asked.kind,
            task=asked.task,
            roster_revision=asked.roster_revision,
            agents=tuple(spec.name for spec in others),
            batch=command.batch,
            max_tokens=asked.max_tokens,
            at=session.now(),
            limits=command.limits or origin.limits,
            fork=Fork(
                run=origin.id,
                step=command.step,
                shared=_shared(asked, history, command.step),
                specs=tuple(spec for spec in others if pinned.get(spec.name) != spec),
                cast=tuple(member for member in cast if member),
            ),
        )
        return session.save(run)

    def _changed(
        self, spec: AgentSpec, change: Change | None, now: Mapping[str, AgentSpec], endpoints: Collection[Endpoint]
    ) -> AgentSpec:
        """Raises Invalid for another agent that is not on the roster, an endpoint that is not in it, and settings that
        agents.yaml would not take."""
        if change is None:
            return spec
        if change.becomes is not None:
            if change.becomes not in now:
                raise Invalid(f"not on the roster: {change.becomes}; there is {', '.join(now)}")
            spec = now[change.becomes]
        asked: dict[str, Any] = {"system_message": change.system_message, "ballot": change.ballot}
        asked = {name: value for name, value in asked.items() if value is not None}
        if change.model is not None:
            asked |= {"model": change.model, "adapter": None}
        spec = self._format.changed(spec, asked)
        if _endpoint(spec.model) not in endpoints:
            raise Invalid(
                f"{spec.name}: agents.yaml sends nothing to {spec.model.url or spec.model.platform} with that key; "
                "choose an endpoint that it names, or have an admin add an agent there"
            )
        return spec


def _endpoint(model: ModelSpec) -> Endpoint:
    return model.platform, model.url, model.key_env


def _must_be_served(change: Change, session: Session) -> None:
    """Raises Invalid for an adapter that is not there to be used."""
    if change.pins_adapter and change.adapter is not None:
        adapter = session.find(LoraAdapter, adapter_id(change.adapter))
        if adapter is None:
            raise Invalid(f"there is no adapter {change.adapter}; write its full name, e.g. team@2")
        adapter.must_be_usable()


def _by_agent(changes: Sequence[Change], agents: Sequence[str]) -> Mapping[str, Change]:
    if unknown := {change.agent for change in changes} - set(agents):
        raise Invalid(f"not in the run: {', '.join(sorted(unknown))}; there is {', '.join(agents)}")
    by_agent = {change.agent: change for change in changes}
    if len(by_agent) < len(changes):
        raise Invalid("an agent is named twice; put all that changes of it together")
    return by_agent


def _pinned(revision: int, session: Session) -> dict[str, AgentSpec]:
    for recorded in session.history(ROSTER_ID):
        if isinstance(recorded.event, AgentRoster.Revised) and recorded.event.originator_version == revision:
            return {spec.name: spec for spec in recorded.event.agents}
    raise NotFound("agent roster revision", str(revision))


def _cast(member: CastMember | None, change: Change | None) -> CastMember | None:
    """What the agent runs on; None where that is found out as the run starts."""
    if change is None:
        return member
    name = change.becomes or change.agent
    if change.pins_adapter:
        return CastMember(name, change.adapter)
    if change.model:
        return CastMember(name, None)
    return None if change.becomes else member


def _shared(asked: Workflow.Requested, history: Sequence[Recorded], step: UUID | None) -> tuple[UUID, ...]:
    """The ids of the run's steps up to that one. Raises Invalid where it is none of them."""
    if step is None:
        return ()
    kept = (Workflow.StepRecorded, Workflow.ToolUsed)
    own = [recorded.event.step.id for recorded in history if isinstance(recorded.event, kept)]
    steps = [*(asked.fork.shared if asked.fork else ()), *own]
    if step not in steps:
        raise Invalid(
            f"step {step} is none of the run's {len(steps)} steps, which `caravan logs` and GET .../steps show"
        )
    return tuple(steps[: steps.index(step) + 1])
