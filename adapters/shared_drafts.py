"""Drafts of a dataset's lines, the work shared out among processes where there is much of it.

Each drafts the preferences that began between two positions, of which each page has equally many, and they are told in
the order of the positions: so the bytes are the same however many processes there are. What one of them does not tell,
because it failed or was killed, is drafted here. A process knows none of our secrets but how to reach the log.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import Pipe
from signal import SIGKILL
from subprocess import DEVNULL, Popen
from typing import Protocol

import msgspec
from loguru import logger

from adapters.embedded.tether import tethered
from adapters.exchange.parquet import KEPT
from domain.dataset_drafts import LIVES, Drafting, Page
from domain.dataset_recipe import Filter, Recipe
from domain.dataset_rows import BEGINNING, TELLING
from domain.events import Life

ALONE = 10
"""Pages that are drafted before there are others to help: a process takes a second to begin."""
AHEAD = 2
"""Pages that a process is asked for before the first of them is taken from it."""
PATIENCE = 120
"""Seconds for a page, which takes less than one."""
Span = tuple[int, int]
"""Preferences that began after the one position, and up to the other."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told to begin with: the dataset, and the log's address, which has its password in it."""

    database_url: str
    filter: Filter
    recipe: Recipe
    position: int


class PreferenceLog(Protocol):
    """What is read here: adapters.event_store.PostgresEventStore."""

    def lives(self, began: str, upto: int, telling: Sequence[str], after: int, until: int) -> Iterator[Life]: ...

    def cut(self, began: str, after: int, upto: int, lives: int) -> int | None: ...


class Helper(Protocol):
    """Drafts the spans that it is asked for, and tells the page of each in that order."""

    def ask(self, span: Span) -> None:
        """Says nothing where it is gone."""

    def told(self) -> Page | None:
        """What was asked first and is not told yet; None where it is gone."""

    def close(self) -> None:
        """Ends it."""


class DraftingProcess:
    """One of them, told its order."""

    def __init__(self, order: Order) -> None:
        self._pipe, theirs = Pipe()
        self._pages = msgspec.msgpack.Decoder(Page)
        self._gone = False
        with theirs:
            program = [sys.executable, "-m", "adapters.draft_process", str(theirs.fileno())]
            self.process = Popen(
                tethered(program, SIGKILL),
                stdin=DEVNULL,
                stdout=DEVNULL,
                pass_fds=[theirs.fileno()],
                env={name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PG")},
            )
        self._send(order)

    def ask(self, span: Span) -> None:
        self._send(span)

    def told(self) -> Page | None:
        if self._gone:
            return None
        try:
            if not self._pipe.poll(PATIENCE):
                raise TimeoutError(f"it has said nothing for {PATIENCE} s")
            return self._pages.decode(self._pipe.recv_bytes())
        except (EOFError, OSError) as gone:
            logger.warning("a process that drafts a dataset is gone, and its work is done without it: {!r}", gone)
            self._gone = True
            return None

    def close(self) -> None:
        self._pipe.close()
        self.process.kill()
        self.process.wait()

    def _send(self, what: object) -> None:
        with suppress(OSError):
            self._pipe.send_bytes(msgspec.msgpack.encode(what))


@dataclass(frozen=True, slots=True)
class SharedDrafter:
    """Fulfils domain.ports.datasets.Drafter, with the help of up to so many `processes`, or of none where it is 1.
    `alone` is after how many pages they begin, and `lives` how many preferences a page has."""

    log: PreferenceLog
    database_url: str
    processes: int
    alone: int = ALONE
    lives: int = LIVES
    helper: Callable[[Order], Helper] = DraftingProcess

    @contextmanager
    def pages(self, filter: Filter, recipe: Recipe, position: int) -> Iterator[Iterator[Page]]:
        """Raises UnknownEvent or ValueError, as it goes, for events that cannot be read. No process is left at the
        end."""
        with ExitStack() as helpers:
            yield self._pages(Order(self.database_url, filter, recipe, position), helpers)

    def _pages(self, order: Order, helpers: ExitStack) -> Iterator[Page]:
        drafting, reached = Drafting(order.filter, order.recipe), 0
        for number, page in enumerate(drafting.pages(self._lives(order, (0, order.position)), self.lives), 1):
            yield page
            if number == self.alone and self.processes > 1:
                reached = page.reached
                break
        else:
            return
        ours = list(self._helpers(order, helpers))
        if not ours:
            yield from drafting.pages(self._lives(order, (reached, order.position)), self.lives)
            return
        asked: deque[tuple[Helper, Span]] = deque()
        for helper, span in zip(cycle(ours), self._spans(order, reached), strict=False):
            helper.ask(span)
            asked.append((helper, span))
            if len(asked) == AHEAD * len(ours):
                yield self._told(order, drafting, *asked.popleft())
        for each in asked:
            yield self._told(order, drafting, *each)

    def _helpers(self, order: Order, helpers: ExitStack) -> Iterator[Helper]:
        """As many as can be started."""
        for _ in range(self.processes):
            try:
                yield helpers.enter_context(closing(self.helper(order)))
            except OSError as refused:
                logger.warning("a dataset is drafted by fewer processes than it may be: {!r}", refused)
                return

    def _spans(self, order: Order, after: int) -> Iterator[Span]:
        """Of a page each, but for the last."""
        while until := self.log.cut(BEGINNING, after, order.position, self.lives):
            yield after, until
            after = until
        yield after, order.position

    def _told(self, order: Order, drafting: Drafting, helper: Helper, span: Span) -> Page:
        return helper.told() or drafting.page(self._lives(order, span))

    def _lives(self, order: Order, span: Span) -> Iterator[Life]:
        return self.log.lives(BEGINNING, order.position, TELLING, *span)
