"""Work that few may ask for at once, as each takes a processor, and disk, for as long as minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from domain.errors import DomainError


class TooMuchAtOnce(DomainError):
    """As much of that as this gateway does at once is being done. HTTP 503."""

    status = 503


class Turns:
    """For `most` at once; whoever comes when all are taken is told to come again, and does not wait in a thread that
    others need. Threads may share it."""

    def __init__(self, most: int, what: str) -> None:
        self._free = BoundedSemaphore(most)
        self._refusal = f"{most} {what} are being written, and no more at once: try again in a moment"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One of them. Raises TooMuchAtOnce."""
        if not self._free.acquire(blocking=False):
            raise TooMuchAtOnce(self._refusal)
        try:
            yield
        finally:
            self._free.release()
