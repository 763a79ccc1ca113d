"""Processes that an owner left behind when it was killed, found by what they are and where they work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from signal import Signals

import psutil

Plan = Sequence[tuple[Signals | None, float]]
"""Signals, each with the seconds to wait after it; None waits without a signal."""


def find(program: str, belongs: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """The processes that run `program` and of which `belongs` is true; those we may not look into are not ours."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == program and belongs(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def end(processes: Sequence[psutil.Process], plan: Plan) -> list[psutil.Process]:
    """Go through the plan until all have ended; returns those that have not.

    psutil compares start times before it signals, so a pid that was given to another program is never hit.
    """
    left = list(processes)
    for signal, patience in plan:
        for process in left if signal else ():
            try:
                process.send_signal(signal)
            except psutil.NoSuchProcess:
                continue
        _, left = psutil.wait_procs(left, timeout=patience)
        if not left:
            break
    return left
