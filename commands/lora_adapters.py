"""What may be asked of LoRA adapters."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from domain.errors import AlreadyDone, Invalid, NotFound
from domain.evaluation import BASE, Evaluation
from domain.events import Recorded
from domain.lora_adapter import (
    LoraAdapter,
    adapter_id,
    adapter_name,
    alias_in_use,
    alias_of,
    must_not_be_in_use,
    no_such_adapter,
    standing,
)
from domain.ports.events import Session, Written


@dataclass(frozen=True, slots=True)
class PromoteAdapter:
    """`evaluation`: the one that speaks for it. `over`: the adapter that it takes the place of, or `base`, as a policy
    says, which promotes nothing that was rolled back; None: whatever is in use."""

    name: str
    reason: str
    evaluation: UUID | None = None
    over: str | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RollBackAdapter:
    """`adapter`: the one that is to be taken out of use; None: whichever the alias means."""

    alias: str
    reason: str
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class RetireAdapter:
    name: str
    reason: str = ""
    expected_version: int | None = None


def promote(command: PromoteAdapter, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone (in use already, or retired; with `over`: rolled back, or `over` is
    in use no more), Invalid (not trained yet, no reason, or an evaluation of another adapter)."""
    adapter = named(command.name, session, command.expected_version)
    if command.evaluation:
        evaluation = session.get(Evaluation, command.evaluation)
        if evaluation.subject.adapter != adapter.name:
            raise Invalid(f"evaluation {evaluation.id} is of {evaluation.subject.adapter}, not of {adapter.name}")
        if evaluation.figures is None:
            raise Invalid(f"evaluation {evaluation.id} is {evaluation.state}: only one that is completed has figures")
    acts = _acts(alias_of(adapter.name), session)
    must_not_be_in_use(adapter.name, acts)
    if command.over and adapter.rolled_back:
        raise AlreadyDone(f"{adapter.name} was rolled back; only a person promotes it again")
    if command.over and command.over != (now := next(reversed(standing(acts)), BASE)):
        raise AlreadyDone(f"{command.over} is not in use any more: {now} is")
    adapter.promote(command.reason, session.now(), command.evaluation)
    return session.save(adapter)


def roll_back(command: RollBackAdapter, session: Session) -> Written:
    """Raises NotFound for an alias without any adapter, AlreadyDone where none is in use, or another one than the
    caller thought, and Invalid without a reason."""
    names = _standing(command.alias, session)
    if not names:
        named(adapter_name(command.alias, 1), session)
        raise AlreadyDone(f"{command.alias} means the base model: no adapter of it is in use, so none is rolled back")
    if command.adapter not in (None, names[-1]):
        raise AlreadyDone(f"{command.alias} does not mean {command.adapter} any more, but {names[-1]}: look again")
    adapter = session.get(LoraAdapter, adapter_id(names[-1]))
    adapter.roll_back(names[-2] if len(names) > 1 else None, command.reason, at=session.now())
    return session.save(adapter)


def retire(command: RetireAdapter, session: Session) -> Written:
    """Raises NotFound, VersionConflict, Invalid (not trained yet)."""
    adapter = named(command.name, session, command.expected_version)
    adapter.retire(command.reason, at=session.now())
    return session.save(adapter)


def named(name: str, session: Session, expected_version: int | None = None) -> LoraAdapter:
    """The adapter of that name; of `team@production` the one in use. Raises NotFound in the words of the caller, who
    knows names and no ids."""
    if alias := alias_in_use(name):
        found = in_use(alias, session)
        if found is None:
            raise no_such_adapter(name)
        name = found
    try:
        return session.get(LoraAdapter, adapter_id(name), expected_version)
    except NotFound as unknown:
        raise no_such_adapter(name) from unknown


def in_use(alias: str, session: Session) -> str | None:
    """The adapter that the alias means now, by the log itself; None: the base model."""
    return next(reversed(_standing(alias, session)), None)


def _standing(alias: str, session: Session) -> tuple[str, ...]:
    return standing(_acts(alias, session))


def _acts(alias: str, session: Session) -> list[Recorded]:
    """All that happened to those of its adapters whose promotion stands, in the log's order."""
    acts: list[Recorded] = []
    revision = 1
    while adapter := session.find(LoraAdapter, adapter_id(adapter_name(alias, revision))):
        if adapter.stands:
            acts += session.history(adapter.id)
        revision += 1
    return sorted(acts, key=lambda recorded: recorded.position)
