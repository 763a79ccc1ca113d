"""What a verification stops at."""

from __future__ import annotations


class Wrong(Exception):
    """The log is not what it was: at `position`, and perhaps after it; nothing is known to be wrong before."""

    def __init__(self, position: int, problem: str) -> None:
        super().__init__(problem)
        self.position = position
        self.problem = problem
