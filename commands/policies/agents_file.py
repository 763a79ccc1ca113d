"""Keeps the file agents.yaml and its revisions together: an edit by hand becomes a revision, and a revision made
elsewhere is written back where that is wanted.

An edit counts as made from the revision that the file last agreed with. Where another one has come since, nobody's
change is overwritten: the file is let be, and the standing names both.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID, uuid4, uuid5

from loguru import logger

from commands.roster import ReviseRoster
from domain.errors import Invalid, VersionConflict
from domain.events import Actor, ActorKind, Envelope
from domain.ports.events import Execute
from domain.ports.roster import Agreed, FileStanding, FileState, KeptRevision, KeptRevisions, RosterFile
from domain.text import from_utf8

_EDITS = UUID("5b1d6a52-0b5f-5f0e-9a0b-3a1b0c9f7d21")


class FollowAgentsFile:
    """`write_back`: whether revisions that were made elsewhere are written into the file."""

    def __init__(self, file: RosterFile, revisions: KeptRevisions, execute: Execute, write_back: bool) -> None:
        self._file = file
        self._revisions = revisions
        self._execute = execute
        self._write_back = write_back
        self._actor = Actor(f"file:{file.path.name}", ActorKind.AUTOMATION)
        self._settled: tuple[str, int] | None = None
        self.standing: FileStanding | None = None

    def look(self) -> None:
        """Takes in what has changed since the last look; to be called every second or so, from one thread at a time.
        Several processes may: one edit is one revision."""
        try:
            content = self._file.read()
            if content is not None:
                self._compare(content, sha256(content).hexdigest())
            elif not self._file.path.exists():
                self._stand(FileState.ABSENT, f"{self._file.path} is not there")
        except OSError as error:
            self._stand(FileState.UNREADABLE, str(error))

    def _compare(self, content: bytes, here: str) -> None:
        known = self._revisions.latest()
        if known and self._settled == (here, known.revision):
            return
        self._settled = None
        if current := self._revisions.newest():
            self._stand(*self._decide(content, here, current))

    def _decide(self, content: bytes, here: str, current: KeptRevision) -> tuple[FileState, str]:
        if here == current.sha256:
            return self._agree(current.revision, here)
        holding, agreed = self._revisions.holding(here), self._file.agreed()
        if agreed is None or agreed.revision > current.revision:  # not known, or of another database
            agreed = Agreed(holding, here) if holding else None
        if agreed and agreed.sha256 == here and holding:
            return self._fall_behind(content, here, current, agreed)
        if agreed and agreed.revision == current.revision:
            return self._revise(content, here, current)
        self._settled = here, current.revision
        return FileState.CONFLICT, self._conflict(current, agreed)

    def _fall_behind(self, content: bytes, here: str, current: KeptRevision, agreed: Agreed) -> tuple[FileState, str]:
        if not self._write_back:
            self._settled = here, current.revision
            self._remember(agreed)
            return FileState.BEHIND, f"{_holds(agreed.revision)}; revision {current.revision} is in force"
        if not self._file.replace(current.text.encode(), content):
            return FileState.BEHIND, "somebody saves it just now"
        logger.info("revision {} is written into {}", current.revision, self._file.path)
        return self._agree(current.revision, current.sha256)

    def _revise(self, content: bytes, here: str, current: KeptRevision) -> tuple[FileState, str]:
        owner = self._file.owner()
        reason = f"edited by hand in {self._file.path}" + (f", a file of {owner}" if owner else "")
        envelope = Envelope(self._actor, uuid4(), command_id=uuid5(_EDITS, f"{here} after {current.revision}"))
        try:
            written = self._execute(ReviseRoster(from_utf8(content), reason, current.revision), envelope)
        except Invalid as error:
            self._settled = here, current.revision
            return FileState.INVALID, f"revision {current.revision} stays in force: {error}"
        except VersionConflict:  # the next look knows the other revision
            return FileState.BEHIND, "another revision is being made"
        logger.info("revision {} was {}", written.version, reason)
        return self._agree(written.version, here)

    def _conflict(self, current: KeptRevision, agreed: Agreed | None) -> str:
        file = self._file.path
        begun = f"from revision {agreed.revision}" if agreed else "from no known revision"
        return (
            f"it was edited {begun}, and revision {current.revision}, by {current.author}, is in force: nothing of "
            f"either is lost. `caravan agents apply {file}` puts the file in force; "
            f"`caravan agents show > {file}` gives it up"
        )

    def _agree(self, revision: int, digest: str) -> tuple[FileState, str]:
        self._remember(Agreed(revision, digest))
        self._settled = digest, revision
        return FileState.AGREES, _holds(revision)

    def _remember(self, agreed: Agreed) -> None:
        if self._file.agreed() != agreed:
            self._file.agree(agreed)

    def _stand(self, state: FileState, detail: str) -> None:
        standing = FileStanding(str(self._file.path), state, detail)
        if standing.needs_somebody and standing != self.standing:
            logger.warning("{}: {}", self._file.path, detail)
        self.standing = standing


def _holds(revision: int) -> str:
    return f"it holds revision {revision}"
