"""The files of imports: what was sent, by its hash, and what was set aside of it.

artifacts/imports/<sha256>
artifacts/imports/<import_id>.set-aside.jsonl
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

from adapters.durable_files import whole
from adapters.exchange.fields import Raw, Unfit, shortened
from adapters.exchange.forms import FORMS, Form, form_of
from adapters.exchange.lines import RawRow, is_parquet, raw_rows
from domain.errors import Invalid, NotFound
from domain.importing import AUTO, Judgment, Row, SetAside, Tie
from domain.ports.imports import Unreadable
from domain.text import escape

MOST_ASIDE = 1024**3
"""Bytes that are kept of what was set aside of one file."""
FIRST_ROWS = 100
"""Among these one must be of a form that we know."""


@dataclass(frozen=True, slots=True)
class FormedFile:
    """Fulfils domain.ports.imports.ImportFile."""

    file: Path
    known: Form

    @property
    def form(self) -> str:
        return self.known.name

    def rows(self) -> Iterator[Row]:
        """Row by row. Raises Unreadable where the file breaks off."""
        for row in raw_rows(self.file):
            yield Row(row.line, row.done, row.text, self._read(row))

    def _read(self, row: RawRow) -> Judgment | Tie | SetAside:
        if row.raw is None:
            return SetAside(row.fault, row.text)
        try:
            return self.known.read(row.raw)
        except Unfit as unfit:
            return SetAside(str(unfit), row.text)


@dataclass(frozen=True, slots=True)
class ImportFolder:
    """Fulfils domain.ports.imports.ImportFiles in `artifacts_dir`/imports."""

    artifacts_dir: Path

    @property
    def forms(self) -> Sequence[str]:
        """The names of the forms that can be imported."""
        return tuple(FORMS)

    def receive(self, sha256: str, pieces: Iterable[bytes]) -> int:
        """Keeps a file, all of it or nothing; returns its size. Raises Invalid for bytes with another hash."""
        digest, size = hashlib.sha256(), 0
        with whole(self._sent(sha256)) as output:
            for piece in pieces:
                digest.update(piece)
                size += output.write(piece)
            if (found := digest.hexdigest()) != sha256:
                raise Invalid(f"what arrived has the SHA-256 {found}, not {sha256}: send it again")
        return size

    def open(self, sha256: str, form: str) -> FormedFile:
        """Raises NotFound, and Unreadable where it is of none of our forms, or `form` is none."""
        file = self._sent(sha256)
        if not file.is_file():
            raise NotFound("file that was sent with the SHA-256", sha256)
        if form == AUTO:
            return FormedFile(file, _recognised(file))
        if form not in FORMS:
            raise Unreadable(f"there is no format {shortened(form)}; there is {', '.join((AUTO, *FORMS))}")
        return FormedFile(file, FORMS[form])

    def glance(self, sha256: str, form: str) -> None:
        """Raises what `open` would, but for Parquet, whose rows are decoded by a process of its own."""
        file = self._sent(sha256)
        if not (file.is_file() and is_parquet(file)):
            self.open(sha256, form)

    @contextmanager
    def setting_aside(self, import_id: UUID) -> Iterator[Callable[[int, SetAside], None]]:
        """Takes what an import sets aside, by line."""
        with whole(self._aside(import_id)) as output:

            def put(line: int, aside: SetAside) -> None:
                row = {"line": line, "reason": aside.reason, "text": escape(aside.text)}
                output.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                if output.tell() > MOST_ASIDE:
                    raise Unreadable(f"up to line {line} more than {MOST_ASIDE:,} bytes were set aside; mend the file")

            yield put

    def set_aside(self, import_id: UUID) -> Path:
        """Its JSON Lines. Raises NotFound where there are none."""
        file = self._aside(import_id)
        if not file.is_file():
            raise NotFound("file of what was set aside by import", import_id)
        return file

    def _sent(self, sha256: str) -> Path:
        return self.artifacts_dir / "imports" / sha256

    def _aside(self, import_id: UUID) -> Path:
        return self.artifacts_dir / "imports" / f"{import_id}.set-aside.jsonl"


def _recognised(file: Path) -> Form:
    rows = 0
    columns: Raw | None = None
    for row in islice(raw_rows(file), FIRST_ROWS):
        rows += 1
        if row.raw is not None:
            columns = columns or row.raw
            if found := form_of(row.raw):
                return found
    if not rows:
        raise Unreadable("it has no rows")
    saw = (
        f"its first one has {', '.join(map(shortened, columns)) or 'no columns'}"
        if columns is not None
        else "no row is a JSON object"
    )
    known = "; ".join(f"{form.name}: {form.what}" for form in FORMS.values())
    raise Unreadable(f"none of the first {FIRST_ROWS} rows is of a form that we know ({known}); {saw}")
