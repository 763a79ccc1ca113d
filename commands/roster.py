"""What may be asked of the agents' roster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from domain.errors import PreconditionRequired, VersionConflict
from domain.ports.events import Session, Written
from domain.ports.roster import RosterFormat
from domain.roster import ROSTER_ID, AgentRoster

ANY: Literal["*"] = "*"
"""As the expected revision: whichever there is, as HTTP's `If-Match: *` says it."""
ExpectedRevision = int | Literal["*"] | None


@dataclass(frozen=True, slots=True)
class ReviseRoster:
    """`text` is the whole agents.yaml; `expected_revision` the one that it was edited from (None: there was none)."""

    text: str
    reason: str = ""
    expected_revision: ExpectedRevision = None


@dataclass(frozen=True, slots=True)
class PutAgent:
    """That agent shall be exactly so, whether it is there yet or not. `fields` as agents.yaml names them."""

    name: str
    fields: Mapping[str, Any]
    reason: str = ""
    expected_revision: ExpectedRevision = None


@dataclass(frozen=True, slots=True)
class PatchAgent:
    """Some fields of that agent shall be so; None takes one away."""

    name: str
    changes: Mapping[str, Any]
    reason: str = ""
    expected_revision: ExpectedRevision = None


@dataclass(frozen=True, slots=True)
class RemoveAgent:
    """That agent shall be gone."""

    name: str
    reason: str = ""
    expected_revision: ExpectedRevision = None


class Revising:
    """Keeps a new revision, once it is valid.

    Its methods raise Invalid, with line and column or the path of a field, VersionConflict when somebody else revised
    it meanwhile, and PreconditionRequired when the caller does not say which revision it edited.
    """

    def __init__(self, format: RosterFormat) -> None:
        self._format = format

    def revise(self, command: ReviseRoster, session: Session) -> Written:
        """The whole text; the first revision needs none before it."""
        agents = self._format.parse(command.text)
        roster = session.find(AgentRoster, ROSTER_ID)
        if roster is None:
            if command.expected_revision:
                raise VersionConflict(command.expected_revision, 0)
            roster = AgentRoster.begin(command.text, _digest(command.text), agents, command.reason, at=session.now())
        else:
            _require(roster, command.expected_revision)
            roster.revise(command.text, _digest(command.text), agents, command.reason, at=session.now())
        return session.save(roster)

    def put(self, command: PutAgent, session: Session) -> Written:
        """One agent in a roster that is there. Raises NotFound where there is none."""
        return self._edit(command, session, lambda text: self._format.put_agent(text, command.name, command.fields))

    def patch(self, command: PatchAgent, session: Session) -> Written:
        """Fields of one agent. Raises NotFound."""
        return self._edit(command, session, lambda text: self._format.patch_agent(text, command.name, command.changes))

    def remove(self, command: RemoveAgent, session: Session) -> Written:
        """Takes one agent out. Raises NotFound."""
        return self._edit(command, session, lambda text: self._format.remove_agent(text, command.name))

    def _edit(
        self, command: PutAgent | PatchAgent | RemoveAgent, session: Session, edited: Callable[[str], str]
    ) -> Written:
        roster = session.get(AgentRoster, ROSTER_ID)
        _require(roster, command.expected_revision)
        text = edited(roster.text)
        roster.revise(text, _digest(text), self._format.parse(text), command.reason, at=session.now())
        return session.save(roster)


def _require(roster: AgentRoster, expected: ExpectedRevision) -> None:
    if expected is None:
        raise PreconditionRequired("send If-Match with the ETag of the revision that you edited: no edit is lost")
    if expected != ANY:
        roster.must_be_at(expected)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
