"""Keeps one process running: a small state machine that a supervisor steps through.

waiting -> starting -> running -> backing off -> starting ...      a task: waiting -> starting -> done
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from loguru import logger

from adapters.backoff import Backoff
from adapters.embedded.errors import EmbeddedError
from adapters.embedded.process import ManagedProcess, ended


class State(StrEnum):
    """What a kept process does."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing-off"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Status:
    """One process as people see it; `since` when it is in its state, `failure` why it last failed."""

    name: str
    state: State
    pid: int | None
    port: int | None
    restarts: int
    since: datetime
    failure: str | None


class Keeper:
    """One process and what became of it.

    Before it was ready for the first time, it fails for good after `attempts` tries; afterwards it is started again
    without end, after delays that grow until it has been ready for `stable_after` seconds.
    """

    def __init__(
        self, process: ManagedProcess, backoff: Backoff, attempts: int = 3, stable_after: float = 60.0
    ) -> None:
        self.process = process
        self.was_ready = False
        self._backoff = backoff
        self._attempts = attempts
        self._stable_after = stable_after
        self._starts = 0
        self._failure: str | None = None
        self._due = 0.0
        self._enter(State.WAITING)

    @property
    def status(self) -> Status:
        """As it is now."""
        return Status(
            name=self.process.name,
            state=self._state,
            pid=self.process.pid,
            port=self.process.port,
            restarts=max(0, self._starts - 1),
            since=self._since,
            failure=self._failure,
        )

    def step(self) -> None:
        """Look at the process and do what is due. Raises EmbeddedError where it never became ready."""
        match self._state:
            case State.WAITING:
                self._spawn()
            case State.BACKING_OFF if time.monotonic() >= self._due:
                self._spawn()
            case State.STARTING:
                self._await_readiness()
            case State.RUNNING:
                self._notice_end()

    def stop(self) -> None:
        """For good."""
        try:
            self.process.stop()
        except EmbeddedError as error:
            logger.error("{}", error)
        self._enter(State.STOPPED)

    def _spawn(self) -> None:
        self._starts += 1
        self._enter(State.STARTING)
        try:
            self.process.spawn()
        except EmbeddedError as error:
            if not self.was_ready:
                raise
            self._back_off(error)

    def _await_readiness(self) -> None:
        code = self.process.exit_code()
        if code == 0 and not self.process.restart:
            self._be_ready(State.DONE)
        elif code is not None:
            self._fail(ended(code))
        elif self._is_ready():
            self._be_ready(State.RUNNING)
        elif time.monotonic() - self._entered > self.process.ready_timeout:
            self.process.end()
            self._fail(f"was not ready after {self.process.ready_timeout:.0f} s")

    def _is_ready(self) -> bool:
        try:
            return self.process.is_ready()
        except Exception as error:  # a check that stumbles must not take the other processes down
            logger.warning("{}: cannot tell whether it is ready: {!r}", self.process.name, error)
            return False

    def _notice_end(self) -> None:
        code = self.process.exit_code()
        if code is None:
            return
        if time.monotonic() - self._entered > self._stable_after:
            self._backoff.reset()
        self._fail(ended(code))

    def _fail(self, reason: str) -> None:
        failure = self.process.failure(reason)
        is_task = not self.process.restart
        if not self.was_ready and (is_task or self._starts >= self._attempts):
            raise failure
        self._back_off(failure)

    def _back_off(self, failure: Exception) -> None:
        delay = self._backoff.next_delay()
        self._due = time.monotonic() + delay
        self._failure = str(failure)
        self._enter(State.BACKING_OFF)
        logger.warning("{} Starting it again in {:.1f} s.", failure, delay)

    def _be_ready(self, state: State) -> None:
        self.was_ready = True
        self._enter(state)

    def _enter(self, state: State) -> None:
        self._state = state
        self._since = datetime.now(UTC)
        self._entered = time.monotonic()
