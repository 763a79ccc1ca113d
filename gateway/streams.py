"""The live stream, as WebSocket and as server-sent events: same frames, same cursor, same reasons to end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import WebSocket
from loguru import logger
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from gateway.auth import Doorkeeper
from gateway.tail import Frame, Heartbeat, Tail, TooSlow, Wanted
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


@dataclass(frozen=True, slots=True)
class Streams:
    """Opens streams on the tail for callers whose token stays valid."""

    tail: Tail
    doorkeeper: Doorkeeper

    async def frames(self, wanted: Wanted, after: int | None, token: str) -> AsyncGenerator[Frame | Heartbeat]:
        """What `Tail.follow` yields, for as long as the token is valid; of the heartbeats one in a long while.

        Raises Ended.
        """
        checked_at = spoke_at = time.monotonic()
        try:
            async with aclosing(self.tail.follow(wanted, after)) as frames:
                async for frame in frames:
                    now = time.monotonic()
                    if now - checked_at >= RECHECK_SECONDS:
                        checked_at = now
                        if await self.doorkeeper.caller(token, only_reads=True) is None:
                            raise Ended(*REVOKED)
                    if isinstance(frame, Frame) or now - spoke_at >= HEARTBEAT_SECONDS:
                        spoke_at = now
                        yield frame
        except TooSlow as error:
            raise Ended(*TOO_SLOW) from error
        except OUTAGES as error:
            raise Ended(*UNAVAILABLE) from error

    async def websocket(self, socket: WebSocket, wanted: Wanted, after: int | None) -> None:
        """Sends frames until the client leaves, or has to."""
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        sending = asyncio.create_task(_send(socket, self.frames(wanted, after, socket.state.token)))
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
        return _PatientResponse(_as_sse(self.frames(wanted, after, token)), ping=0, send_timeout=SEND_SECONDS)


class _PatientResponse(EventSourceResponse):
    """Ends quietly when the client does not take what it is sent: the connection breaks, which says enough."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.info("stream ended: {}", TOO_SLOW[1])


async def _send(socket: WebSocket, frames: AsyncGenerator[Frame | Heartbeat]) -> None:
    async with aclosing(frames):
        async for frame in frames:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.send_text(frame.text)
            except TimeoutError as error:
                raise Ended(*TOO_SLOW) from error


async def _as_sse(frames: AsyncGenerator[Frame | Heartbeat]) -> AsyncGenerator[ServerSentEvent]:
    try:
        async with aclosing(frames):
            async for frame in frames:
                if isinstance(frame, Frame):
                    yield ServerSentEvent(frame.text, id=str(frame.position), event=frame.type)
                else:
                    yield ServerSentEvent(comment=frame.text, id=str(frame.position))
    except Ended as ended:
        yield ServerSentEvent(json.dumps({"code": ended.code, "reason": ended.reason}), event="ended")


async def _until_gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
