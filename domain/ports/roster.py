"""How agents.yaml and its revisions are read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from domain.roster import AgentSpec


class RosterFormat(Protocol):
    """How a roster is written down, i.e. agents.yaml."""

    def parse(self, text: str) -> tuple[AgentSpec, ...]:
        """Raises Invalid with line, column and what to write instead."""

    def changed(self, agent: AgentSpec, changes: Mapping[str, Any]) -> AgentSpec:
        """The agent with these fields, by their names in the file, in place of its own. Raises Invalid."""

    def put_agent(self, text: str, name: str, fields: Mapping[str, Any]) -> str:
        """The text in which that agent, perhaps a new one, has exactly these fields, by their names in the file. Raises
        Invalid."""

    def patch_agent(self, text: str, name: str, changes: Mapping[str, Any]) -> str:
        """The text in which these fields of the agent are so; None takes one away. Raises NotFound or Invalid."""

    def remove_agent(self, text: str, name: str) -> str:
        """The text without that agent. Raises NotFound, or Invalid for the last one."""


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """A revision of the roster, as far as the file is concerned. `sha256` is of its text, in UTF-8, hex."""

    revision: int
    text: str
    sha256: str
    author: str


class KeptRevisions(Protocol):
    """The roster's revisions."""

    def latest(self) -> KeptRevision | None:
        """The one in force, as far as the read model has come; None before the first."""

    def newest(self) -> KeptRevision | None:
        """The one in force, for certain. Takes longer."""

    def holding(self, sha256: str) -> int | None:
        """The newest one with that text; None where no revision ever had it."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """A revision that the file agreed with, byte for byte, and the SHA-256 (hex) that it had then."""

    revision: int
    sha256: str


class FileState(StrEnum):
    """How the file stands to the revision in force."""

    AGREES = "agrees"
    BEHIND = "behind"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNREADABLE = "unreadable"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class FileStanding:
    """The state of the file at `path`, in words as well."""

    path: str
    state: FileState
    detail: str

    @property
    def needs_somebody(self) -> bool:
        """Whether an edit by hand waits for a person."""
        return self.state in (FileState.CONFLICT, FileState.INVALID, FileState.UNREADABLE)


class RosterFile(Protocol):
    """The file that people edit by hand."""

    @property
    def path(self) -> Path: ...

    def read(self) -> bytes | None:
        """What it holds; None where it is not there, or changed since the last time. Raises OSError."""

    def replace(self, content: bytes, held: bytes) -> bool:
        """Writes it whole, unless it holds something else than `held` by now. Raises OSError."""

    def owner(self) -> str | None:
        """Whose file it is, where that is known."""

    def agreed(self) -> Agreed | None:
        """What `agree` was told last, over restarts too."""

    def agree(self, agreed: Agreed) -> None:
        """Remembers that it holds that revision. Raises OSError."""


class Rosters(Protocol):
    """The revisions of agents.yaml."""

    def agents(self, revision: int) -> tuple[AgentSpec, ...]:
        """The agents of that revision. Raises NotFound."""
