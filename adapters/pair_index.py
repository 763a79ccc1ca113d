"""Which pairs are in which dataset, and where: an index beside each dataset's files, made of them when it is first
needed. Whoever deletes one loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from adapters.artifacts import DatasetFolder
from adapters.durable_files import sync
from adapters.rival_rows import UNSAFE_BUT_FAST
from domain.dataset_diff import Change, DatasetParts, PairChange, changed
from domain.ports.datasets import Turn

FORMAT = 2
"""Of an index; those of others are made anew."""
TABLE = "CREATE TABLE pairs (id BLOB, part TEXT, digest BLOB, place INTEGER, size INTEGER, weight REAL)"
INSERT = "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?)"
INDEX = "CREATE UNIQUE INDEX by_id ON pairs (id)"
DIFFERENCES = """
CREATE TEMP VIEW differences AS
SELECT now.id AS id, was.part AS was_part, was.digest, was.place, was.size, now.part AS part, now.digest, now.place,
    now.size
FROM main.pairs AS now LEFT JOIN was.pairs AS was ON was.id = now.id
WHERE was.id IS NULL OR was.digest <> now.digest OR was.part <> now.part
UNION ALL
SELECT was.id, was.part, was.digest, was.place, was.size, NULL, NULL, NULL, NULL
FROM was.pairs AS was LEFT JOIN main.pairs AS now ON now.id = was.id WHERE now.id IS NULL
"""
PLACE = """
SELECT part, weight, (
    SELECT count(*) FROM pairs AS other WHERE other.part = pair.part
    AND (-other.weight, substr(other.id, 9), other.place) < (-pair.weight, substr(pair.id, 9), pair.place)
) FROM pairs AS pair WHERE id = ?
"""
PAGE = "SELECT * FROM differences WHERE id > ? ORDER BY id LIMIT ?"
COUNTS = """
SELECT CASE WHEN was_part IS NULL THEN 'added' WHEN part IS NULL THEN 'removed' ELSE 'changed' END, count(*)
FROM differences GROUP BY 1
"""
Place = tuple[str, bytes, int, int]
"""Part, digest of the line, offset and bytes."""


class _Line(msgspec.Struct, frozen=True):
    """Of a line's columns, what the index has of them."""

    preference_id: UUID
    weight: float


@dataclass(frozen=True, slots=True)
class Held:
    """A pair in a dataset's part. `heavier`: how many pairs of the part are taken before it where not all are: those
    that weigh more, and of equal ones those with a lower lot, as domain.training has it."""

    part: str
    weight: float
    heavier: int


class PairIndex:
    """`file_of` gives the file of a part, whole, however long that takes. `turn` is had for as long as an index is
    made."""

    def __init__(self, files: DatasetFolder, file_of: Callable[[UUID, str], Path], turn: Turn = nullcontext) -> None:
        self._files = files
        self._file_of = file_of
        self._turn = turn

    def find(self, dataset: DatasetParts, preference: UUID) -> Held | None:
        """Where in the dataset that pair is; None where it is not in it."""
        with closing(self._opened(dataset)) as db:
            found = db.execute(PLACE, (preference.bytes,)).fetchone()
        return found and Held(*found)

    def counts(self, was: DatasetParts, now: DatasetParts) -> dict[str, int]:
        """How many pairs differ, by what became of them."""
        with closing(self._compared(was, now)) as db:
            found: dict[str, int] = dict(db.execute(COUNTS).fetchall())
        return {change.value: found.get(change.value, 0) for change in Change}

    def differences(self, was: DatasetParts, now: DatasetParts, after: UUID | None, limit: int) -> list[PairChange]:
        """The first so many of the pairs that differ from `was` to `now` and come after that one, by their ids."""
        with closing(self._compared(was, now)) as db:
            rows = db.execute(PAGE, (after.bytes if after else b"", limit)).fetchall()
        return [self._difference(was.id, now.id, row) for row in rows]

    def _difference(self, was: UUID, now: UUID, row: tuple[Any, ...]) -> PairChange:
        id, was_part, part = UUID(bytes=row[0]), row[1], row[5]
        if was_part is None:
            return PairChange(id, Change.ADDED, None, part)
        if part is None:
            return PairChange(id, Change.REMOVED, was_part, None)
        return changed(id, was_part, part, self._row(was, row[1:5]), self._row(now, row[5:9]))

    def _row(self, dataset: UUID, place: Place) -> dict[str, Any]:
        """What is at that place; where the file is not what it was, in the one that is written again."""
        part, digest, offset, size = place
        line = _read(self._files.path(dataset, part), offset, size)
        if _digest(line) != digest:
            line = _read(self._file_of(dataset, part), offset, size)
        found: dict[str, Any] = json.loads(line)
        return found

    def _compared(self, was: DatasetParts, now: DatasetParts) -> sqlite3.Connection:
        self._opened(was).close()
        db = self._opened(now)
        db.execute("ATTACH DATABASE ? AS was", (_read_only(self._files.index(was.id)),))
        db.execute(DIFFERENCES)
        return db

    def _opened(self, dataset: DatasetParts) -> sqlite3.Connection:
        file = self._files.index(dataset.id)
        if not file.exists() or _format(file) != FORMAT:
            with self._turn():
                self._make(dataset, file)
        return sqlite3.connect(_read_only(file), uri=True)

    def _make(self, dataset: DatasetParts, file: Path) -> None:
        """It appears whole: of two who make it at once, the later one puts the same in its place."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".index.", dir=file.parent) as folder:
            draft = Path(folder) / file.name
            with closing(sqlite3.connect(draft, isolation_level=None)) as db:
                for statement in (*UNSAFE_BUT_FAST, f"PRAGMA user_version = {FORMAT}", TABLE, "BEGIN"):
                    db.execute(statement)
                for part in dataset.parts:
                    db.executemany(INSERT, _lines(part, self._file_of(dataset.id, part)))
                db.execute("COMMIT")
                db.execute(INDEX)
            sync(draft)
            draft.replace(file)
        sync(file.parent)


def _format(file: Path) -> int:
    with closing(sqlite3.connect(_read_only(file), uri=True)) as db:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found


def _lines(part: str, file: Path) -> Iterator[tuple[bytes, str, bytes, int, int, float]]:
    offset, decoder = 0, msgspec.json.Decoder(_Line)
    with file.open("rb") as lines:
        for line in lines:
            row = decoder.decode(line)
            yield row.preference_id.bytes, part, _digest(line), offset, len(line), row.weight
            offset += len(line)


def _read(file: Path, offset: int, size: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(offset)
            return opened.read(size)
    except FileNotFoundError:
        return b""


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).digest()[:16]


def _read_only(file: Path) -> str:
    return f"{file.absolute().as_uri()}?mode=ro"
