"""Rows out of a file, one at a time and in flat memory: JSON Lines, gzipped or not, and Parquet. The file is somebody
else's: whatever is wrong with one row is told of that row, and the others are read.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from adapters.exchange.fields import Raw, shortened
from adapters.exchange.parquet import Limits, parquet_rows
from domain.ports.imports import Unreadable

MOST_LINE = 1024 * 1024
"""Bytes of one row."""
MOST_UNPACKED = 16 * 1024**3
"""Bytes that come out of one file: more is a bomb."""
MOST_LINES = 50_000_000
"""Of one file, empty ones among them: nothing is told of those, and a worker that says nothing is taken for lost."""
MOST_VALUES = 10_000_000
"""Of one column in a row group of a Parquet file."""
MOST_GROUP = 512 * 1024**2
"""Bytes of one row group of a Parquet file, unpacked, as it says itself."""
MOST_MEMORY = 1024**3
"""Bytes that decoding a Parquet file may take, whatever it says itself."""
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
UTF8_MARK = b"\xef\xbb\xbf"
OTHERS = {
    b"\xff\xfe": "this is UTF-16; save the file as UTF-8",
    b"\xfe\xff": "this is UTF-16; save the file as UTF-8",
    b"PK": "this is a zip archive; unpack it, and import what is in it",
    b"[": "this is one JSON list; write one object a line, e.g. `jq -c '.[]' FILE.json > FILE.jsonl`",
}


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands at `line`, with `text` as it was (its beginning where it is too long). `raw` is None where it
    cannot be read, and `fault` says why. `done`: how much of the file has been read, from 0 to 1."""

    line: int
    text: str
    done: float
    raw: Raw | None
    fault: str = ""


def is_parquet(file: Path) -> bool:
    """By how it begins."""
    with file.open("rb") as opened:
        return opened.read(len(PARQUET)) == PARQUET


def raw_rows(file: Path) -> Iterator[RawRow]:
    """All rows of the file; empty lines are none. Raises Unreadable for what is no such file, or breaks off."""
    with file.open("rb") as opened:
        begin = opened.read(4)
        opened.seek(0)
        if begin == PARQUET:
            yield from _parquet_rows(file)
        elif begin.startswith(GZIP):
            yield from _unpacked_rows(opened, file.stat().st_size)
        else:
            yield from _json_rows(opened, opened, file.stat().st_size)


def _unpacked_rows(packed: BinaryIO, size: int) -> Iterator[RawRow]:
    line = 0
    try:
        with gzip.open(packed) as unpacked:
            for row in _json_rows(cast(BinaryIO, unpacked), packed, size):
                line = row.line
                yield row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable(f"the gzip file is damaged, or breaks off, after line {line}: {error}") from error


def _json_rows(lines: BinaryIO, on_disk: BinaryIO, size: int) -> Iterator[RawRow]:
    number = unpacked = 0
    while line := lines.readline(MOST_LINE + 1):
        number += 1
        _must_not_be_endless(number)
        length, ended = len(line), line.endswith(b"\n")
        while not ended and (more := lines.readline(MOST_LINE)):
            length, ended = length + len(more), more.endswith(b"\n")
            _must_not_be_a_bomb(unpacked + length)
        unpacked += length
        _must_not_be_a_bomb(unpacked)
        if number == 1:
            line = _beginning(line)
        if line.strip() or length > MOST_LINE:
            done = min(1.0, on_disk.tell() / size)
            yield _json_row(number, line, done) if length <= MOST_LINE else _too_long(number, line, length, done)


def _beginning(line: bytes) -> bytes:
    """The first line without a byte order mark. Raises Unreadable for another kind of file."""
    for mark, advice in OTHERS.items():
        if line.startswith(mark):
            raise Unreadable(advice)
    return line.removeprefix(UTF8_MARK)


def _must_not_be_a_bomb(unpacked: int) -> None:
    if unpacked > MOST_UNPACKED:
        raise Unreadable(f"the file unpacks to more than {MOST_UNPACKED:,} bytes; import it in parts")


def _must_not_be_endless(rows: int) -> None:
    if rows > MOST_LINES:
        raise Unreadable(f"the file has more than {MOST_LINES:,} rows; import it in parts")


def _too_long(number: int, line: bytes, length: int, done: float) -> RawRow:
    fault = f"the row has {length:,} bytes, and a row has at most {MOST_LINE:,}"
    return RawRow(number, line.decode(errors="backslashreplace"), done, None, fault)


def _json_row(number: int, line: bytes, done: float) -> RawRow:
    text = line.decode(errors="backslashreplace").rstrip("\r\n")
    try:
        raw = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return RawRow(number, text, done, None, f"byte {error.start + 1} of the row is not UTF-8")
    except json.JSONDecodeError as error:
        return RawRow(number, text, done, None, f"this is no JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return RawRow(number, text, done, None, "this is nested too deeply")
    except ValueError as error:
        return RawRow(number, text, done, None, str(error))
    if not isinstance(raw, dict):
        return RawRow(number, text, done, None, "this is no JSON object")
    return RawRow(number, text, done, raw)


def _parquet_rows(file: Path) -> Iterator[RawRow]:
    limits = Limits(MOST_LINES, MOST_UNPACKED, MOST_VALUES, MOST_GROUP, MOST_LINE, MOST_MEMORY)
    for row in parquet_rows(file, limits):
        too_long = f"the row has {row.length:,} characters, and a row has at most {MOST_LINE:,}"
        done = min(1.0, row.line / max(1, row.rows))
        yield RawRow(row.line, row.text, done, row.raw, "" if row.raw is not None else too_long)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shortened(twice)} is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"{shortened(digits)} is too large a number")
    return value


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise ValueError(f"a number of {len(digits):,} digits is too long") from error


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
)
