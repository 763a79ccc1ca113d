"""Notices that a process does nothing any more, e.g. because its threads wait for each other."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import psutil

LEAST_SHARE = 0.001
"""Of one core: less than what a process uses that reads a large model from a slow disk, and more than threads that only
look at the clock."""
LOOKS = 30
"""How many in a row must have found nothing. They are counted, and not the time that went by: while a machine, or all
of a container, is suspended, nobody looks either."""


class StandstillWatch:
    """Of a process: whether it used no processor for `seconds`. Or of those that it `launches` instead: a launcher
    looks after them many times a second."""

    def __init__(self, pid: int, seconds: float, launches: bool = False) -> None:
        self._pid = pid
        self._launches = launches
        self._interval = seconds / LOOKS
        self._least = LEAST_SHARE * seconds
        self._used, self._in_vain = 0.0, 0
        self._next_look = time.monotonic()

    def stands_still(self) -> bool:
        """Can be asked as often as one likes."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + self._interval
        used = sum(map(_processor_seconds, self._watched()))
        if abs(used - self._used) > self._least:  # less than before, when one of them has ended
            self._used, self._in_vain = used, 0
            return False
        self._in_vain += 1
        return self._in_vain >= LOOKS

    def abort(self) -> None:
        """Ends what is watched with SIGABRT, on which Python's faulthandler says where each thread stands."""
        for process in self._watched():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGABRT)

    def _watched(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self._pid)
            return process.children(recursive=True) if self._launches else [process]
        except psutil.NoSuchProcess:
            return []


def _processor_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
