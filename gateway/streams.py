"""The live stream, as WebSocket and as server-sent events: same frames, same cursor, same reasons to end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fastapi import WebSocket
from loguru import logger
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gateway.auth import Doorkeeper
from gateway.frames import Heartbeat, Message, Wanted
from gateway.serving import ENCODED
from gateway.tail import Tail, TooSlow
from gateway.training_log import TrainingLog, follow
from projections.failures import OUTAGES

PROTOCOL = "caravan.v1"
"""The subprotocol that a browser offers beside its token."""

HEARTBEAT_SECONDS = 15.0
SEND_SECONDS = 20.0
RECHECK_SECONDS = 1.0


class Ended(Exception):
    """Why a stream was ended, and what to do about it. `code` is the WebSocket's close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


TOO_SLOW = (4429, "you read too slowly: come back with after=<the last position you saw>")
REVOKED = (4401, "the token was revoked")
UNAVAILABLE = (1013, "the log cannot be read right now: come back with after=<the last position you saw>")


class LiveText(Protocol):
    """What is said in runs while it is said (adapters/live_text.py)."""

    def following(self, run: UUID) -> AbstractContextManager[None]:
        """Within it that run is heard."""


@dataclass(frozen=True, slots=True)
class Streams:
    """Opens streams on the tail for callers whose token stays valid."""

    tail: Tail
    doorkeeper: Doorkeeper
    live_text: LiveText

    def messages(self, wanted: Wanted, after: int | None, token: str) -> AsyncGenerator[Sequence[Message]]:
        """What `Tail.follow` yields, for as long as the token is valid; of the heartbeats one in a long while.

        Raises Ended.
        """
        return _sparing(self._allowed(wanted, after, token))

    async def _allowed(self, wanted: Wanted, after: int | None, token: str) -> AsyncGenerator[Sequence[Message]]:
        checked_at = time.monotonic()
        heard = self.live_text.following(wanted.aggregate) if wanted.deltas and wanted.aggregate else nullcontext()
        try:
            async with aclosing(self.tail.follow(wanted, after, heard)) as batches:
                async for batch in batches:
                    now = time.monotonic()
                    if now - checked_at >= RECHECK_SECONDS:
                        checked_at = now
                        if await self.doorkeeper.caller(token, only_reads=True) is None:
                            raise Ended(*REVOKED)
                    yield batch
        except TooSlow as error:
            raise Ended(*TOO_SLOW) from error
        except OUTAGES as error:
            raise Ended(*UNAVAILABLE) from error

    async def websocket(self, socket: WebSocket, wanted: Wanted, after: int | None) -> None:
        """Sends frames until the client leaves, or has to."""
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        sending = asyncio.create_task(_send(socket, self.messages(wanted, after, socket.state.token)))
        leaving = asyncio.create_task(_until_gone(socket))
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, leaving):
            task.cancel()
        outcome, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
        if isinstance(outcome, Ended):
            logger.info("stream ended: {}", outcome.reason)
            await socket.close(outcome.code, outcome.reason)
        elif isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            raise outcome

    def events(self, wanted: Wanted, after: int | None, token: str) -> EventSourceResponse:
        """The same as server-sent events; a comment now and then while nothing happens."""
        return _response(self.messages(wanted, after, token))

    def training_log(self, log: TrainingLog, after: int, token: str) -> EventSourceResponse:
        """A training's log from a byte on, until the run is over."""
        return _response(_sparing(follow(log, after, self._allowed(log.turns, log.position, token))))


class _PatientResponse(EventSourceResponse):
    """Ends quietly when the client does not take what it is sent: the connection breaks, which says enough."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.info("stream ended: {}", TOO_SLOW[1])


def _response(batches: AsyncGenerator[Sequence[Message]]) -> EventSourceResponse:
    return _PatientResponse(_as_sse(batches), ping=0, send_timeout=SEND_SECONDS)


async def _sparing(batches: AsyncGenerator[Sequence[Message]]) -> AsyncGenerator[Sequence[Message]]:
    """Of the heartbeats one in a long while."""
    spoke_at = time.monotonic()
    async with aclosing(batches):
        async for batch in batches:
            now = time.monotonic()
            if not isinstance(batch[0], Heartbeat) or now - spoke_at >= HEARTBEAT_SECONDS:
                spoke_at = now
                yield batch


async def _send(socket: WebSocket, batches: AsyncGenerator[Sequence[Message]]) -> None:
    send = _sender(socket)
    async with aclosing(batches):
        async for batch in batches:
            await send(batch)


def _sender(socket: WebSocket) -> Callable[[Sequence[Message]], Awaitable[None]]:
    """How a batch is sent: in one write, where our own server takes it. Raises Ended when it is not taken in time."""
    encoded = socket.scope["extensions"].get(ENCODED)

    async def send_one_by_one(batch: Sequence[Message]) -> None:
        for message in batch:
            await in_time(socket.send_text(message.text))

    async def send_at_once(batch: Sequence[Message]) -> None:
        encoded["write"](b"".join([message.on_websocket for message in batch]))
        if not encoded["writable"]():
            await in_time(encoded["drained"]())

    async def in_time(sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await sending
        except TimeoutError as error:
            raise Ended(*TOO_SLOW) from error

    return send_at_once if encoded else send_one_by_one


async def _as_sse(batches: AsyncGenerator[Sequence[Message]]) -> AsyncGenerator[bytes | ServerSentEvent]:
    try:
        async with aclosing(batches):
            async for batch in batches:
                yield b"".join([message.as_sse for message in batch])
    except Ended as ended:
        yield ServerSentEvent(json.dumps({"code": ended.code, "reason": ended.reason}), event="ended")


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
