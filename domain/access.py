"""Who may come in, and how much they may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.events import Actor, ActorKind


class Role(StrEnum):
    """From least to most; each may do what the ones before it may.

    A viewer reads, an annotator settles preferences, an operator starts and stops work, an admin changes the agents.
    """

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Whether this role may do all that the other one may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a token stands for."""

    actor: Actor
    role: Role


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as it is listed; the secret itself was shown once and is not kept. Its name is the actor's subject."""

    name: str
    role: Role
    kind: ActorKind
    created_at: datetime
    created_by: str
    revoked_at: datetime | None
