"""Runs Caravan's processes: starts them in order, keeps them running, stops them in reverse."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Self

from loguru import logger

from adapters.backoff import Backoff
from adapters.embedded import record
from adapters.embedded.errors import FolderUnusable
from adapters.embedded.keeper import Keeper, Status
from adapters.embedded.locks import OwnerLock
from adapters.embedded.log_archive import LogArchive
from adapters.embedded.process import ManagedProcess

LOG_SECONDS = 5.0
"""How often it is looked whether a log has grown too large."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """The one supervisor of a data folder; it keeps its lock and its record in `run_folder`.

    `observer` is told of every change of a process's state. `backoff` makes one Backoff for each process.
    `archive` takes what they, and what they start, have logged beside each other once that is too much.
    Whatever kills the supervisor also kills its processes: each is tethered to it (see tether.py).
    """

    def __init__(
        self,
        processes: Sequence[ManagedProcess],
        run_folder: Path,
        *,
        observer: Callable[[Status], None] | None = None,
        backoff: Callable[[], Backoff] = Backoff,
        tick: float = 0.1,
        archive: LogArchive | None = None,
    ) -> None:
        self._keepers = [Keeper(process, backoff()) for process in processes]
        self._run_folder = run_folder.absolute()
        self._lock = OwnerLock(self._run_folder / record.LOCK)
        self._observer = observer
        self._tick = tick
        self._archive = archive
        self._logs_due = 0.0
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._told: list[Status] = []
        self._started_at = datetime.now(UTC)

    def status(self) -> list[Status]:
        """Of every process, in the order of their start."""
        return [keeper.status for keeper in self._keepers]

    def request_stop(self) -> None:
        """Make `run` stop everything and return. From any thread."""
        self._stop.set()

    def run(self) -> None:
        """Run the processes until SIGTERM, SIGINT, SIGHUP or `request_stop`; a second signal kills what still runs.

        Raises FolderInUse, which names the other supervisor's pid, and the first process's EmbeddedError that did
        not become ready. Signals are only heard when this is the main thread.
        """
        self._own_run_folder()
        try:
            with self._signals_heard():
                self._run_until_stopped()
        finally:
            record.remove(self._run_folder)
            self._lock.release()

    @contextmanager
    def in_background(self) -> Iterator[Self]:
        """Run them in a thread: the body begins when all are ready, and its end stops them.

        Raises what `run` does, from the start or, if something failed later, from the end.
        """
        errors: list[BaseException] = []

        def run() -> None:
            try:
                self.run()
            except BaseException as error:
                errors.append(error)
            finally:
                self._settled.set()

        thread = threading.Thread(target=run, name="supervisor")
        thread.start()
        try:
            self._settled.wait()
            if not errors:
                yield self
        finally:
            self.request_stop()
            thread.join()
        if errors:
            raise errors[0]

    def _run_until_stopped(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
                self._look_after_logs()
                self._stop.wait(self._tick)
        finally:
            for keeper in reversed(self._keepers):
                keeper.stop()
                self._tell()

    def _step(self) -> None:
        for keeper in self._keepers:
            keeper.step()
            self._tell()
            if not keeper.was_ready:
                return  # what follows waits for it
        self._settled.set()

    def _look_after_logs(self) -> None:
        if self._archive is None or time.monotonic() < self._logs_due:
            return
        self._logs_due = time.monotonic() + LOG_SECONDS
        try:
            for keeper in self._keepers:
                keeper.process.log.rotate(self._archive)
            for folder in {keeper.process.log.path.parent for keeper in self._keepers}:
                self._archive.empty_large(folder)
            self._archive.forget()
        except OSError as error:  # e.g. a full disk: no reason to stop what runs
            logger.error("logs cannot be archived: {}", error)

    def _tell(self) -> None:
        now = self.status()
        if now == self._told:
            return
        changed = [status for status in now if status not in self._told]
        self._told = now
        try:
            record.write(self._run_folder, self._started_at, now)
        except OSError as error:  # e.g. a full disk: no reason to stop what runs
            logger.error("The supervisor's record cannot be written: {}", error)
        for status in changed:
            self._tell_observer(status)

    def _tell_observer(self, status: Status) -> None:
        if self._observer:
            try:
                self._observer(status)
            except Exception:  # whatever it is, no reason to stop what runs
                logger.exception("the observer failed at {}", status.name)

    def _own_run_folder(self) -> None:
        try:
            self._run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise FolderUnusable(f"{self._run_folder} cannot be made: {error}. Choose another data folder.") from error
        self._lock.acquire()

    @contextmanager
    def _signals_heard(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heed) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._stop.is_set():
            for keeper in self._keepers:
                keeper.process.kill()
        self._stop.set()
