"""What may be asked of LoRA adapters."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import NotFound
from domain.lora_adapter import LoraAdapter, adapter_id
from domain.ports import Session, Written


@dataclass(frozen=True, slots=True)
class PromoteAdapter:
    name: str
    reason: str = ""
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RetireAdapter:
    name: str
    reason: str = ""
    expected_version: int | None = None


def promote(command: PromoteAdapter, session: Session) -> Written:
    """Raises NotFound, VersionConflict, AlreadyDone (retired), Invalid (not trained yet)."""
    adapter = _named(command.name, session, command.expected_version)
    adapter.promote(command.reason, at=session.now())
    return session.save(adapter)


def retire(command: RetireAdapter, session: Session) -> Written:
    """Raises NotFound, VersionConflict, Invalid (not trained yet)."""
    adapter = _named(command.name, session, command.expected_version)
    adapter.retire(command.reason, at=session.now())
    return session.save(adapter)


def _named(name: str, session: Session, expected_version: int | None) -> LoraAdapter:
    """Raises NotFound in the words of the caller, who knows names and no ids."""
    try:
        return session.get(LoraAdapter, adapter_id(name), expected_version)
    except NotFound as unknown:
        raise NotFound("adapter", name) from unknown
