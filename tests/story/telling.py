"""How the story tells who, when and what: the same ids, times and texts, always."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid5

from domain.events import Actor, ActorKind, Envelope

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ANNOTATOR = Actor("ada", ActorKind.HUMAN)
SHA = "c0ffee" * 10 + "c0de"
EMPTY = sha256().hexdigest()


def id_of(name: str) -> UUID:
    """The same id for the same name, always."""
    return uuid5(UUID(int=0), name)


ENVELOPE = Envelope(ANNOTATOR, correlation_id=id_of("correlation"))


def at(second: int) -> datetime:
    """So many seconds into the story."""
    return BEGINNING + timedelta(seconds=second)
