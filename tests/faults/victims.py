"""The processes that faults fall upon. They are real ones, forked from a server that has imported everything already,
and start in milliseconds. Each reaches Postgres through a proxy of its own, where it can be met at named points."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import RLock, Thread

import uvicorn

from adapters import event_recorder, nats, relay
from adapters.sealing import sealer
from gateway.app import create_app
from gateway.bootstrap import open_core
from gateway.logging import configure_logging
from gateway.projectors import run_projectors
from gateway.settings import Settings
from tests.integration.processes import lives
from tests.trapping_proxy import TrappingProxy

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.victims", "tests.faults.writer"])
IDLE_SECONDS = 1
"""What takes many seconds in production, so that a process that hangs a little longer has lost what it held."""


class Victim:
    """A process that dies, hangs and starts again under one name."""

    def __init__(
        self, name: str, proxy: TrappingProxy, log: Path, main: Callable[..., None], *arguments: object
    ) -> None:
        self.name = name
        self.proxy = proxy
        self._log = log
        self._main = main
        self._arguments = arguments
        self._process: ForkServerProcess | None = None
        self._has_died = False
        self._looking = RLock()  # of two threads that ask for an exit code, only one is told

    def start(self) -> None:
        """Again, where it has died."""
        if self.lives:
            return
        self._has_died = self.died_by_itself
        self._process = PROCESSES.Process(
            target=_begin, args=(os.getpid(), self._log, self._main, *self._arguments), daemon=True
        )
        self._process.start()

    @property
    def lives(self) -> bool:
        with self._looking:
            return self._process is not None and self._process.is_alive()

    @property
    def died_by_itself(self) -> bool:
        """Ever: neither killed nor ended in order."""
        ends = (None, 0, -signal.SIGKILL)
        with self._looking:
            return self._has_died or (self._process is not None and self._process.exitcode not in ends)

    def kill(self) -> None:
        """With -9."""
        with self._looking:
            if self._process:
                self._process.kill()
                self._process.join()

    def hang(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self, within_seconds: float) -> bool:
        """Asks it to end. False where it did not."""
        self._signal(signal.SIGTERM)
        with self._looking:
            if self._process:
                self._process.join(within_seconds)
            return not self.lives

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.pid:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def projectors(settings: Settings) -> None:
    """Relay, projectors and sealer, as `caravan projectors` runs them."""
    relay.SILENCE = f"{2 * IDLE_SECONDS}s"
    relay.ACK_SECONDS = IDLE_SECONDS
    nats.ACK_SECONDS = IDLE_SECONDS
    sealer.SILENCE = f"{IDLE_SECONDS}s"
    with open_core(settings) as core:
        asyncio.run(run_projectors(core))


def gateway(settings: Settings) -> None:
    """The HTTP API, as `caravan gateway` serves it."""
    be_impatient()
    with open_core(settings) as core:
        uvicorn.run(
            create_app(core), port=settings.port, log_config=None, access_log=False, timeout_graceful_shutdown=5
        )


def be_impatient() -> None:
    """A process that hangs in a transaction loses it after a second."""
    event_recorder.POOL["POSTGRES_IDLE_IN_TRANSACTION_SESSION_TIMEOUT"] = str(IDLE_SECONDS)


def _begin(owner: int, log: Path, main: Callable[..., None], *arguments: object) -> None:
    Thread(target=_end_with, args=[owner], daemon=True).start()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    configure_logging("INFO", log.stem)
    main(*arguments)


def _end_with(owner: int) -> None:
    """The server that we are forked from outlives its owner, and a tether would tie us to that server."""
    while lives(owner):
        time.sleep(1)
    os._exit(1)
