"""What a stream sends, in both of its forms; each is encoded once, however many clients get it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

import msgspec
from sse_starlette import ServerSentEvent
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from domain.batch import Batch
from domain.events import ActorKind
from domain.workflow import Workflow

RECORDED = Workflow.StepRecorded.TOPIC
RUN_REQUESTED = Batch.RunRequested.TOPIC


class Said(Protocol):
    """A piece of text, as workers tell it (adapters/live_text.py)."""

    @property
    def run(self) -> UUID: ...

    @property
    def step(self) -> UUID: ...

    @property
    def agent(self) -> str: ...


@dataclass(frozen=True)
class Message:
    """`text` is JSON."""

    text: str

    @cached_property
    def on_websocket(self) -> bytes:
        """As a text frame of RFC 6455, whose frames from a server are the same for every client."""
        return WebSocketFrame(Opcode.TEXT, self.text.encode()).serialize(mask=False)

    @cached_property
    def as_sse(self) -> bytes:
        """As a server-sent event."""
        return self._event().encode()

    def _event(self) -> ServerSentEvent:
        raise NotImplementedError


@dataclass(frozen=True)
class Frame(Message):
    """One event of the log."""

    position: int
    type: str
    aggregate: UUID
    agent: str | None = None
    """Who did it, where that was an agent."""
    step: UUID | None = None
    """The one that it records."""
    run: UUID | None = None
    """The one that it asks for, where it is a batch's."""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Frame:
        """`event`: a CloudEvent."""
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        recorded = event.get("data", {}) if event["type"] == RECORDED else {}
        step = UUID(recorded["step"]["id"]) if "step" in recorded else None
        run = UUID(event["data"]["run"]) if event["type"] == RUN_REQUESTED else None
        agent = event["actor"] if event.get("actorkind") == ActorKind.AGENT else None
        return cls(text, event["position"], event["type"], UUID(event["subject"]), agent, step, run)

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(self.text, id=str(self.position), event=self.type)


@dataclass(frozen=True)
class Delta(Message):
    """More of what is said for a step of that run, before the step is recorded. It has no position: it is not kept."""

    run: UUID
    step: UUID
    agent: str

    @classmethod
    def of(cls, heard: Said) -> Delta:
        """As it was heard."""
        return cls(msgspec.json.encode(heard).decode(), heard.run, heard.step, heard.agent)

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(self.text, event="token_delta")


@dataclass(frozen=True)
class Heartbeat(Message):
    """Nothing more that the client wants happened up to `position`: from there it may resume."""

    position: int

    @classmethod
    def at(cls, position: int) -> Heartbeat:
        """The heartbeat for a client that is that far."""
        return cls(json.dumps({"type": "heartbeat", "position": position}), position)

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(comment=self.text, id=str(self.position))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a client follows; empty and None: all. `deltas`: what is said in that run as well, word by word.
    `batch`: those of the batch and its runs, which the batch's own events tell."""

    types: tuple[str, ...] = ()
    aggregate: UUID | None = None
    agent: str | None = None
    deltas: bool = False
    batch: UUID | None = None

    def __contains__(self, message: Frame | Delta) -> bool:
        if isinstance(message, Delta):
            return self.deltas and self.aggregate == message.run and self.agent in (None, message.agent)
        return (
            (not self.types or message.type in self.types)
            and self.aggregate in (None, message.aggregate)
            and self.agent in (None, message.agent)
        )
