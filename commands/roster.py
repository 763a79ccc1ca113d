"""What may be asked of the agents' roster."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from domain.errors import PreconditionRequired, VersionConflict
from domain.ports import RosterFormat, Session, Written
from domain.roster import ROSTER_ID, AgentRoster

ANY: Literal["*"] = "*"
"""As the expected revision: whichever there is, as HTTP's `If-Match: *` says it."""


@dataclass(frozen=True, slots=True)
class ReviseRoster:
    """`text` is the whole agents.yaml; `expected_revision` the one that it was edited from (None: there was none)."""

    text: str
    reason: str = ""
    expected_revision: int | Literal["*"] | None = None


class Revising:
    """Keeps a new revision, once it is valid."""

    def __init__(self, format: RosterFormat) -> None:
        self._format = format

    def __call__(self, command: ReviseRoster, session: Session) -> Written:
        """Raises Invalid with line and column, VersionConflict when somebody else revised it meanwhile, and
        PreconditionRequired when there is a revision and the caller does not say that it edited this one."""
        agents = self._format.parse(command.text)
        digest = sha256(command.text.encode()).hexdigest()
        roster = session.find(AgentRoster, ROSTER_ID)
        if roster is None:
            if command.expected_revision:
                raise VersionConflict(command.expected_revision, 0)
            roster = AgentRoster.begin(command.text, digest, agents, command.reason, at=session.now())
        elif command.expected_revision is None:
            raise PreconditionRequired("send If-Match with the ETag of the revision that you edited: no edit is lost")
        else:
            if command.expected_revision != ANY:
                roster.must_be_at(command.expected_revision)
            roster.revise(command.text, digest, agents, command.reason, at=session.now())
        return session.save(roster)
