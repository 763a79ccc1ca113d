"""One sign-in, and what the person may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from ui.api import Api


class Role(IntEnum):
    """The API's roles: each may do what the ones before it may."""

    VIEWER = 0
    ANNOTATOR = 1
    OPERATOR = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(slots=True)
class Session:
    """One sign-in, under the `id` that the browser holds. `drafts` holds what was put into a form and not sent yet, by
    the name of its field, so that a reload keeps it. `used_at` is by this process's own clock, as is `kept_at`, when it
    was last said to be worth keeping."""

    api: Api
    subject: str
    role: Role
    id: str = field(default="", repr=False)
    drafts: dict[str, Any] = field(default_factory=dict)
    used_at: float = 0.0
    kept_at: float = 0.0
