"""A process that somebody looks after: how it is started, known to be ready, and stopped."""

from __future__ import annotations

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

from adapters.embedded.disk import NO_SPACE
from adapters.embedded.errors import DiskFull, EmbeddedError, PortTaken, ProcessFailed
from adapters.embedded.logs import LogFile
from adapters.embedded.ports import LOOPBACK, is_free
from adapters.embedded.tether import STAY, tethered


@dataclass(frozen=True)
class Account:
    """A user of the system, by number."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Launch:
    """What to run, and how."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    account: Account | None = None
    death_signal: Signals = SIGKILL


class ManagedProcess(ABC):
    """One process at a time under one name.

    `stop_signals` are sent one after the other, each with `grace` seconds to end in, until one works.
    `restart` says whether a supervisor starts it again; `port` is for people who look for it.
    """

    restart = True
    stop_signals: Sequence[Signals] = (SIGTERM, SIGKILL)
    grace = 10.0
    ready_timeout = 60.0
    port: int | None = None

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = LogFile(log)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> Launch:
        """Make ready what the process needs, and say how to run it. May take seconds. Raises EmbeddedError."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it serves; asked a few times a second, only while it runs."""

    @abstractmethod
    def release(self) -> None:
        """Give back what `prepare` took; the process has ended and will not be started again."""

    @property
    def pid(self) -> int | None:
        """Of the process that runs; None where none does."""
        return self._process.pid if self._process and self._process.returncode is None else None

    def spawn(self) -> None:
        """Start the process, and do not wait until it is ready. Raises EmbeddedError.

        It runs in a session of its own, so that Ctrl-C in a terminal reaches whoever looks after it alone.
        """
        try:
            launch = self.prepare()
            uid, gid = (launch.account.uid, launch.account.gid) if launch.account else (STAY, STAY)
            with self.log.open() as output:
                self._process = subprocess.Popen(
                    tethered(launch.argv, launch.death_signal, uid, gid),
                    env=dict(launch.env),
                    cwd=launch.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            if error.errno == ENOSPC:
                raise DiskFull(self.log.path.parent) from error
            raise ProcessFailed(self.name, f"cannot be started: {error}", tail="") from error

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        if self._process is None:
            return None
        if self._process.returncode is None and self._process.poll() is not None:
            self._kill_group(self._process.pid)
        return self._process.returncode

    def failure(self, reason: str) -> EmbeddedError:
        """The error that tells people why it does not run."""
        tail = self.log.tail()
        if NO_SPACE in tail:
            return DiskFull(self.log.path.parent)
        return ProcessFailed(self.name, reason, tail, self.log.path)

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises EmbeddedError."""
        try:
            self.spawn()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it, politely first, and give everything back. Stopping twice does no harm."""
        try:
            self.end()
        finally:
            self.release()

    def end(self) -> None:
        """End the process; it may be spawned again. Raises ProcessFailed where not even SIGKILL ends it."""
        for signal in self.stop_signals:
            if self._process is None or self.pid is None:
                return
            self._process.send_signal(signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self.grace)
                self._kill_group(self._process.pid)
        if self.pid is not None:
            raise self.failure("does not end")

    def kill(self) -> None:
        """End it without asking."""
        if self.pid is not None:
            self._kill_group(self.pid)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.ready_timeout
        while not self.is_ready():
            code = self.exit_code()
            if code is not None:
                raise self.failure(ended(code))
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {self.ready_timeout:.0f} s")
            time.sleep(0.05)

    @staticmethod
    def _kill_group(leader: int) -> None:
        """What a process started and did not end itself would hold its ports and its memory.

        Only for a process that runs or was reaped this moment: later, its number may be somebody else's.
        """
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Child(ManagedProcess):
    """Any command, e.g. `Child("gateway", [sys.executable, "-m", "gateway.cli", "gateway"], env, log, ...)`.

    `ready` must answer within a second or so; without one, the process is ready once it runs.
    Without `restart` it is a task: what follows waits until it has ended well (exit code 0).
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool] | None = None,
        restart: bool = True,
        port: int | None = None,
        host: str = LOOPBACK,
        cwd: Path | None = None,
        grace: float = 10.0,
        ready_timeout: float = 60.0,
    ) -> None:
        super().__init__(name, log)
        self.restart, self.port, self.host = restart, port, host
        self.grace, self.ready_timeout = grace, ready_timeout
        self._launch = Launch(list(argv), dict(env), cwd)
        self._ready = ready

    def prepare(self) -> Launch:
        if self.port is not None and not is_free(self.port, self.host):
            raise PortTaken(self.name, self.port, self.host)
        return self._launch

    def is_ready(self) -> bool:
        if not self.restart:
            return self.exit_code() == 0
        return self._ready is None or self._ready()

    def release(self) -> None:
        """Nothing was taken."""


def ended(code: int) -> str:
    """An exit code as people say it."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {Signals(-code).name}"
