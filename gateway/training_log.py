"""What the libraries say during a training: its end, and all of it while it grows. The trainer writes it into a file on
its own machine, which need not be the gateway's."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from anyio import to_thread
from sse_starlette import ServerSentEvent

from domain.events import topic_of
from domain.training import TrainingRun, TrainingState
from gateway.errors import LogElsewhere
from gateway.frames import Frame, Heartbeat, Message, Wanted

PIECE_BYTES = 65_536
"""How much is read, and sent, at once."""

STARTED = topic_of(TrainingRun.Started)
ENDINGS = {
    topic_of(TrainingRun.Completed): TrainingState.COMPLETED,
    topic_of(TrainingRun.Failed): TrainingState.FAILED,
    topic_of(TrainingRun.Cancelled): TrainingState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """The file of a run whose trainer, if it has begun, is `worker`. The run was in that `state` at `position`."""

    run: UUID
    file: Path
    state: TrainingState
    worker: str | None
    position: int

    @property
    def is_elsewhere(self) -> bool:
        """Whether somebody writes it, and not here."""
        return self.worker is not None and not self.file.exists()

    @property
    def told_elsewhere(self) -> Told:
        """What a client hears then."""
        return Told.of("elsewhere", detail=str(LogElsewhere(self.run, self.worker)))

    @property
    def turns(self) -> Wanted:
        """The events that say what becomes of the run."""
        return Wanted(types=(STARTED, *ENDINGS), aggregate=self.run)

    def end(self, size: int) -> str:
        """At most so many bytes of it; nothing before the run has begun. Raises LogElsewhere."""
        if self.is_elsewhere:
            raise LogElsewhere(self.run, self.worker)
        if not self.file.exists():
            return ""
        with self.file.open("rb") as opened:
            opened.seek(self.begin_of_end(size))
            return opened.read(size).decode(errors="replace")

    def begin_of_end(self, size: int) -> int:
        """From which byte on there are at most so many."""
        return max(0, self.file.stat().st_size - size) if self.file.exists() else 0


class Growing:
    """A log that is read from the byte `at` on, piece by piece. No piece ends amid a character."""

    def __init__(self, file: Path, at: int) -> None:
        self._file = file
        self._at = at
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def next(self) -> Piece | None:
        """What comes next; None: nothing yet."""
        try:
            with self._file.open("rb") as opened:
                if opened.seek(0, os.SEEK_END) < self._at:
                    self._begin_anew()
                opened.seek(self._at)
                read = opened.read(PIECE_BYTES)
        except FileNotFoundError:
            return None
        self._at += len(read)
        text = self._decoder.decode(read)
        return Piece.of(text, self._at - len(self._decoder.getstate()[0])) if text else None

    def _begin_anew(self) -> None:
        """The log grew too large, and what was read of it lies in the archive."""
        self._at = 0
        self._decoder.reset()

    async def pieces(self) -> AsyncIterator[Sequence[Message]]:
        """All that there is by now."""
        while piece := await to_thread.run_sync(self.next):
            yield [piece]


@dataclass(frozen=True)
class Piece(Message):
    """More of the log, up to the byte `end`: from there a client may resume."""

    end: int

    @classmethod
    def of(cls, text: str, end: int) -> Piece:
        """In JSON, for the lines of server-sent events also end where a progress bar returns."""
        return cls(json.dumps({"text": text}), end)

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(self.text, event="log", id=str(self.end))


@dataclass(frozen=True)
class Told(Message):
    """`elsewhere`, with a `detail`: the log is not on this machine. `over`, with the run's `state`: it is whole."""

    event: str

    @classmethod
    def of(cls, event: str, **said: str) -> Told:
        """That event, and what it says."""
        return cls(json.dumps(said), event)

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(self.text, event=self.event)


@dataclass(frozen=True)
class Beat(Heartbeat):
    """Nothing more was said. It has no id: that of a piece stays the one to resume from."""

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(comment="nothing new")


async def follow(
    log: TrainingLog, after: int, news: AsyncGenerator[Sequence[Message]]
) -> AsyncGenerator[Sequence[Message]]:
    """The log from the byte `after` on, until the run is over. `news`: what becomes of the run (`log.turns`) after
    `log.position`, and a heartbeat at least once a second."""
    growing, begun = Growing(log.file, after), False
    async for piece in growing.pieces():
        yield piece
    if log.is_elsewhere:
        yield [log.told_elsewhere]
    if log.state in ENDINGS.values():
        yield [Told.of("over", state=log.state)]
        return
    async with aclosing(news):
        async for batch in news:
            async for piece in growing.pieces():
                yield piece
            types = [message.type for message in batch if isinstance(message, Frame)]
            if ended := [ENDINGS[type] for type in types if type in ENDINGS]:
                yield [Told.of("over", state=ended[-1])]
                return
            if begun and not log.file.exists():
                yield [log.told_elsewhere]
            begun = STARTED in types
            yield [Beat.at(0)]
