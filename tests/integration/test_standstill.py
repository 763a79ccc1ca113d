"""Processes that do nothing, or little, for a while."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from adapters.dpo.standstill import StandstillWatch
from tests.integration.processes import eventually

BUSY = "while True: pass"
LAUNCHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"


def test_a_process_that_waits_stands_still_and_what_computes_or_launches_it_does_not() -> None:
    with _running("import time; time.sleep(600)") as idle, _running(BUSY) as busy, _running(LAUNCHER) as launcher:
        eventually(lambda: psutil.Process(launcher.pid).children())
        watch = StandstillWatch(idle.pid, seconds=2)
        others = [StandstillWatch(busy.pid, 2), StandstillWatch(launcher.pid, 2, launches=True)]
        found: list[list[bool]] = []

        def the_idle_one_stands_still() -> bool:
            found.append([other.stands_still() for other in others])
            return watch.stands_still()

        eventually(the_idle_one_stands_still)
        assert found
        assert not any(map(any, found))


def test_a_process_that_has_ended_stands_still() -> None:
    with _running("") as process:
        process.wait()
    eventually(StandstillWatch(process.pid, seconds=1).stands_still)


@contextmanager
def _running(program: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        try:
            yield process
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else []:
                child.kill()
            process.kill()
