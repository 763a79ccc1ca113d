"""The tree's hashes as they are stored: tiles of up to 256, as in C2SP's tlog-tiles.

Row 0 holds the leaves' hashes; each other row the hashes of the full tiles of the row below. Whatever lies between is
computed. Tiles are an index, made of the events and no evidence by themselves: signed roots are what they must match.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from adapters.event_tables import SEAL_TILES
from adapters.sealing.merkle import HASH_BYTES, CompactRange, merged, root
from domain.errors import DomainError

HEIGHT = 8
WIDTH = 1 << HEIGHT


class TreeDamaged(DomainError):
    """The log, or the stored tree over it, is not what was sealed. HTTP 409."""

    status = 409

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; `caravan audit verify` looks at everything")


class Tiles:
    """The stored tree, over one connection and for one transaction: what it has read it remembers."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._read: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """The hash over the leaves from index * 2**level up to (index + 1) * 2**level. Raises TreeDamaged."""
        row, within = divmod(level, HEIGHT)
        number, first = divmod(index << within, WIDTH)
        hashes = self._tile(row, number)[first : first + (1 << within)]
        if len(hashes) < 1 << within:
            raise TreeDamaged(f"tile {number} of row {row} lacks hashes")
        return merged(hashes)

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """The hashes of the leaves from `begin` to `end`, or of as many as there are."""
        numbers = range(begin // WIDTH, -(-end // WIDTH))
        hashes = [hash for number in numbers for hash in self._tile(0, number)]
        return hashes[begin % WIDTH :][: end - begin]

    def compact(self, size: int) -> CompactRange:
        """The right edge of the tree over the first `size` leaves. Raises TreeDamaged."""
        levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
        return CompactRange(size, [self.node(level, (size >> level) - 1) for level in levels])

    def check(self, size: int, expected: bytes) -> None:
        """Raises TreeDamaged where this is not the tree of that size and root, or goes on beyond it."""
        if root(size, self.node) != expected:
            raise TreeDamaged("the stored tree does not have the root of the last seal")
        if len(self._tile(0, size // WIDTH)) > size % WIDTH or self._tile(0, size // WIDTH + 1):
            raise TreeDamaged("the stored tree goes on beyond the last seal: seals were removed after it")

    def append(self, size: int, leaves: Sequence[bytes]) -> None:
        """Adds leaf hashes to a tree of that size."""
        row, first, hashes = 0, size, leaves
        while hashes:
            number, kept = divmod(first, WIDTH)
            together = [*self._tile(row, number)[:kept], *hashes]
            full = []
            for offset in range(0, len(together), WIDTH):
                tile = together[offset : offset + WIDTH]
                self._write(row, number + offset // WIDTH, tile)
                if len(tile) == WIDTH:
                    full.append(merged(tile))
            row, first, hashes = row + 1, number, full

    def _tile(self, row: int, number: int) -> list[bytes]:
        if (row, number) not in self._read:
            tile = SEAL_TILES.c
            stored = self._db.scalar(select(tile.hashes).where(tile.row == row, tile.number == number)) or b""
            self._read[row, number] = [stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES)]
        return self._read[row, number]

    def _write(self, row: int, number: int, hashes: list[bytes]) -> None:
        insertion = insert(SEAL_TILES).values(row=row, number=number, hashes=b"".join(hashes))
        self._db.execute(
            insertion.on_conflict_do_update(
                index_elements=["row", "number"], set_={"hashes": insertion.excluded.hashes}
            )
        )
        self._read[row, number] = hashes
