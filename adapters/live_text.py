"""What models say while they say it, over core NATS: nobody keeps it, for the step's event brings the whole text.

A worker speaks on `tokens.<run>`, whether anybody listens or not. A gateway hears a run only while somebody views it;
who begins to listen says so on `watching.<run>`, and is told what was said so far.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import msgspec
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from adapters.bell import connected
from adapters.endpoint_values import LONGEST_TEXT
from adapters.nats import OUTAGES
from adapters.stopping import pause, unless
from domain.current_step import CurrentStep
from domain.text import escape

TOKENS, WATCHING = "tokens", "watching"
PACE_SECONDS = 0.05
"""How long text is collected before it is told."""
PIECE = 50_000
"""Characters in one message, of which NATS takes up to a megabyte."""


class TokenDelta(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="token_delta"):
    """More of the text of a step that is not recorded yet. `seq` 0 begins the text, or begins it anew: after an attempt
    that failed, or for those who came later. Each following one is one more; after a gap something was lost. `attempt`
    is that at the step: a worker that was taken for lost may still speak for an earlier one."""

    run: UUID
    step: UUID
    agent: str
    phase: str
    n: int
    attempt: int
    seq: int
    text: str


class Utterance:
    """What is said for one step. Never waits, never fails, and holds no more than an event may."""

    def __init__(self, step: CurrentStep, changed: Callable[[], None] = lambda: None) -> None:
        self.step = step
        self._changed = changed
        self._begin()
        self._seq, self._heard, self._withdrawn = 0, False, False

    def begin(self) -> None:
        """What was said so far does not count: the attempt has failed."""
        if self._heard:
            self._seq, self._withdrawn = 0, True
            self._changed()
        self._begin()

    def add(self, text: str) -> None:
        """The next piece, as the endpoint said it."""
        if text := text[: LONGEST_TEXT - self._length]:
            self._length += len(text)
            self._text += escape(text)
            self._changed()

    def repeat(self) -> None:
        """Somebody came who has heard nothing yet."""
        self._seq, self._told = 0, 0
        if self._text:
            self._changed()

    def due(self) -> Iterator[TokenDelta]:
        """What was not told yet."""
        while self._withdrawn or self._told < len(self._text):
            piece = self._text[self._told : self._told + PIECE]
            step = self.step
            yield TokenDelta(step.run, step.id, step.agent, step.phase, step.n, step.attempt, self._seq, piece)
            self._told, self._seq = self._told + len(piece), self._seq + 1
            self._heard, self._withdrawn = True, False

    def _begin(self) -> None:
        self._text, self._length, self._told = "", 0, 0


class LiveText:
    """Tells what is said on this event loop. `run` it as a task; without NATS nothing is told, and nothing waits."""

    def __init__(self, nats_url: str) -> None:
        self._url = nats_url
        self._said: list[Utterance] = []
        self._ended: deque[Utterance] = deque(maxlen=100)
        self._something, self._end = asyncio.Event(), asyncio.Event()

    @contextmanager
    def utterance(self, step: CurrentStep) -> Iterator[Utterance]:
        """To be filled while the model answers. What is left at the end is told at once."""
        said = Utterance(step, self._something.set)
        self._said.append(said)
        try:
            yield said
        finally:
            self._said.remove(said)
            self._ended.append(said)
            self._something.set()
            self._end.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        await unless(stop, connected(self._url, self._speak))

    async def _speak(self, client: Client) -> None:
        await client.subscribe(f"{WATCHING}.*", cb=self._greet)
        while True:
            await self._something.wait()
            self._something.clear()
            self._end.clear()
            if client.is_connected:
                with suppress(*OUTAGES):
                    await self._tell(client)
            await pause(self._end, PACE_SECONDS)

    async def _tell(self, client: Client) -> None:
        for said in [*self._ended, *self._said]:
            for delta in said.due():
                await client.publish(f"{TOKENS}.{delta.run}", msgspec.json.encode(delta))
        self._ended.clear()

    async def _greet(self, message: Msg) -> None:
        run = message.subject.removeprefix(f"{WATCHING}.")
        for said in self._said:
            if str(said.step.run) == run:
                said.repeat()


class LiveTextFeed:
    """Hears what is said in those runs that somebody follows, of each step the last attempt. `run` it as a task."""

    def __init__(self, nats_url: str) -> None:
        self._url = nats_url
        self._followers: Counter[UUID] = Counter()
        self._newcomers: set[UUID] = set()
        self._changed = asyncio.Event()
        self._repeated: dict[UUID, dict[UUID, int]] = defaultdict(dict)
        """By run and step, the last attempt heard of, where it is not the first."""

    @contextmanager
    def following(self, run: UUID) -> Iterator[None]:
        """Within it that run is heard, however many follow it."""
        self._followers[run] += 1
        self._newcomers.add(run)
        self._changed.set()
        try:
            yield
        finally:
            self._followers[run] -= 1
            self._followers += Counter()  # forgets those that nobody follows
            self._changed.set()

    async def run(self, stop: asyncio.Event, heard: Callable[[TokenDelta], None]) -> None:
        """Until `stop` is set."""

        async def hear(message: Msg) -> None:
            try:
                delta = msgspec.json.decode(message.data, type=TokenDelta)
            except msgspec.MsgspecError as error:
                logger.warning("something else than our workers speaks on {}: {}", message.subject, error)
            else:
                if self._is_of_the_last_attempt(delta):
                    heard(delta)

        async def listen(client: Client) -> None:
            subscriptions: dict[UUID, Subscription] = {}
            self._newcomers |= self._followers.keys()
            while True:
                for run in self._followers.keys() - subscriptions.keys():
                    subscriptions[run] = await client.subscribe(f"{TOKENS}.{run}", cb=hear)
                for run in subscriptions.keys() - self._followers.keys():
                    await subscriptions.pop(run).unsubscribe()
                    self._repeated.pop(run, None)
                while self._newcomers:
                    await client.publish(f"{WATCHING}.{self._newcomers.pop()}")
                await self._changed.wait()
                self._changed.clear()

        await unless(stop, connected(self._url, listen))

    def _is_of_the_last_attempt(self, delta: TokenDelta) -> bool:
        repeated = self._repeated[delta.run]
        if delta.attempt > repeated.get(delta.step, 1):
            repeated[delta.step] = delta.attempt
        return delta.attempt == repeated.get(delta.step, 1)
