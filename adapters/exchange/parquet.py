"""Rows out of a Parquet file that somebody else wrote, decoded in a process of its own whose memory is bounded.

What a Parquet file says of itself may be a lie, and also an honest one of some kilobytes can hold one long text to
which a million rows point. Arrow knows no bound, but the system does: the process that goes beyond it fails alone, and
so does one that a damaged file makes Arrow crash in. It knows none of our secrets.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

from domain.ports.imports import Unreadable

KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "HOME")
"""Of our environment, what the process may know."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a file: `rows`, `unpacked` bytes; of a row group: `values` of a column, `group` bytes; of a row: `row`
    characters as JSON; and bytes of `memory` to decode it in."""

    rows: int
    unpacked: int
    values: int
    group: int
    row: int
    memory: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """The row at `line` of `rows`, as JSON; `raw` is None where that is too long, and `text` then its beginning.
    `length` in characters."""

    line: int
    rows: int
    length: int
    text: str
    raw: dict[str, Any] | None


def parquet_rows(file: Path, limits: Limits) -> Iterator[Decoded]:
    """All rows of the file. Raises Unreadable for what is no such file, breaks off, or is beyond the limits."""
    line = rows = 0
    with _decoding(file, limits) as process:
        try:
            for told in process.stdout or ():
                match json.loads(told) if told.endswith(b"\n") else None:  # it ended in the middle
                    case ["rows", rows]:
                        pass
                    case ["row", raw]:
                        line += 1
                        text = json.dumps(raw, ensure_ascii=False)
                        yield Decoded(line, rows, len(text), text, raw)
                    case ["long", length, text]:
                        line += 1
                        yield Decoded(line, rows, length, text, None)
                    case ["refused", why]:
                        raise Unreadable(why)
                    case ["failed", why]:
                        raise Unreadable(f"the Parquet file cannot be read after row {line}: {why}")
            if process.wait() != 0 or line < rows:
                why = "it is damaged, or the process that decodes it was ended or could not start"
                raise Unreadable(f"the Parquet file cannot be read after row {line}: {why}")
        finally:
            process.kill()


def _decoding(file: Path, limits: Limits) -> Popen[bytes]:
    known = {name: os.environ[name] for name in KEPT if name in os.environ}
    return Popen(
        [sys.executable, "-m", "adapters.exchange.parquet_process", str(file), json.dumps(asdict(limits))],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env=known | {"ARROW_DEFAULT_MEMORY_POOL": "system"},  # others reserve more than they use
    )
