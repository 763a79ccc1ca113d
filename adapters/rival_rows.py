"""Which rows of a dataset say the same as others, or the opposite: kept in SQLite, on disk, which groups them in as
little memory as we allow it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.dataset_tally import Traits
from domain.sameness import Rival

BATCH = 1_000
UNSAFE_BUT_FAST = (
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA cache_size = -16384",
)
"""Nobody needs it after a crash. The cache is in KiB."""
TABLE = """
CREATE TABLE rows (choice BLOB, number INTEGER, swapped INTEGER, weight REAL, settled INTEGER, position INTEGER,
    part TEXT, verdict TEXT, method TEXT, prompt INTEGER, chosen INTEGER, rejected INTEGER)
"""
INSERT = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INDEX = "CREATE INDEX by_choice ON rows (choice, number)"
GROUPS = """
SELECT * FROM rows
WHERE choice IN (SELECT choice FROM rows GROUP BY choice HAVING count(*) > 1) ORDER BY choice, number
"""


class RivalRows:
    """Fulfils domain.ports.datasets.Rivals."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._waiting: list[tuple[object, ...]] = []

    def add(self, choice: bytes, rival: Rival, traits: Traits) -> None:
        """A row more."""
        *counted, characters = traits
        self._waiting.append((choice, *rival, *counted, *characters))
        if len(self._waiting) == BATCH:
            self._write()

    def groups(self) -> Iterator[Sequence[tuple[Rival, Traits]]]:
        """The rows of each choice that has more than one, in order."""
        self._write()
        self._db.execute(INDEX)
        for _, rows in groupby(self._db.execute(GROUPS), key=itemgetter(0)):
            yield [
                (
                    Rival(number, bool(swapped), weight, bool(settled), position),
                    Traits(part, verdict, method, tuple(characters)),
                )
                for _, number, swapped, weight, settled, position, part, verdict, method, *characters in rows
            ]

    def _write(self) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(INSERT, self._waiting)
        self._db.execute("COMMIT")
        self._waiting.clear()


@contextmanager
def rival_rows(folder: Path) -> Iterator[RivalRows]:
    """None yet, in a folder of their own within this one, which is gone at the end."""
    with TemporaryDirectory(prefix=".rivals.", dir=folder) as own:
        db = sqlite3.connect(Path(own) / "rows.sqlite", isolation_level=None)
        try:
            for statement in (*UNSAFE_BUT_FAST, TABLE):
                db.execute(statement)
            yield RivalRows(db)
        finally:
            db.close()
