"""Many ids in little room."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from uuid import UUID

WIDTH = 16
"""Bytes of an id."""


class IdSet:
    """A set of UUIDs that only grows.

    `packed` is the same set as one piece of bytes, 16 an id, in order. A set made of it searches it and never takes it
    apart: so 50,000 ids are there as soon as their bytes are.
    """

    def __init__(self, packed: bytes = b"") -> None:
        """Raises ValueError for bytes that are no whole number of ids."""
        if len(packed) % WIDTH:
            raise ValueError(f"{len(packed)} bytes are no whole number of ids")
        self._packed = packed
        self._added: set[bytes] = set()

    def add(self, id: UUID) -> None:
        if id not in self:
            self._added.add(id.bytes)

    def __contains__(self, id: UUID) -> bool:
        return id.bytes in self._added or self._is_packed(id.bytes)

    def __len__(self) -> int:
        return len(self._packed) // WIDTH + len(self._added)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and self.packed == other.packed

    __hash__ = None  # type: ignore[assignment]  # as every set that changes

    def __copy__(self) -> IdSet:
        twin = IdSet(self._packed)
        twin._added = set(self._added)
        return twin

    @property
    def packed(self) -> bytes:
        return b"".join(sorted([*_split(self._packed), *self._added])) if self._added else self._packed

    def _is_packed(self, id: bytes) -> bool:
        start = WIDTH * bisect_left(range(len(self._packed) // WIDTH), id, key=self._nth)
        return self._packed[start : start + WIDTH] == id

    def _nth(self, n: int) -> bytes:
        return self._packed[WIDTH * n : WIDTH * (n + 1)]


def _split(packed: bytes) -> Iterator[bytes]:
    return (packed[start : start + WIDTH] for start in range(0, len(packed), WIDTH))
