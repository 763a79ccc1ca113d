"""`python -m adapters.exchange.parquet_process FILE LIMITS`: tells adapters.exchange.parquet what is in a file, a JSON
list a line: ["rows", COUNT], then ["row", ROW] or ["long", LENGTH, BEGINNING] for each; ["refused", WHY] or
["failed", WHY] where it goes no further.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.exchange.fields import shortened
from adapters.exchange.parquet import Limits

BATCH = 64
"""Rows that are decoded together."""


class Refused(ValueError):
    """The file is beyond a limit."""


def main(file: str, limits: str) -> None:
    """Writes what there is to be told."""
    allowed = Limits(**json.loads(limits))
    _bound_memory(allowed.memory)
    for told in _all(Path(file), allowed):
        sys.stdout.buffer.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")


def _all(file: Path, limits: Limits) -> Iterator[list[Any]]:
    """Ends with why not all of it was read, if so."""
    try:
        yield from _told(file, limits)
    except Refused as refused:
        yield ["refused", str(refused)]
    except MemoryError:
        yield ["failed", f"to decode it takes more than {limits.memory:,} bytes; write smaller rows and row groups"]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        yield ["failed", shortened(error)]


def _told(file: Path, limits: Limits) -> Iterator[list[Any]]:
    with pq.ParquetFile(file) as opened:
        _must_be_bounded(opened.metadata, limits)
        yield ["rows", opened.metadata.num_rows]
        unpacked = 0
        for batch in opened.iter_batches(batch_size=BATCH, use_threads=False):
            for raw in batch.to_pylist():
                text = json.dumps(raw, ensure_ascii=False, default=_foreign)
                unpacked += len(text)  # the batch's own count has what many rows share but once
                if unpacked > limits.unpacked:
                    raise Refused(f"the file unpacks to more than {limits.unpacked:,} bytes; import it in parts")
                yield ["row", json.loads(text)] if len(text) <= limits.row else ["long", len(text), text[: limits.row]]


def _must_be_bounded(metadata: pq.FileMetaData, limits: Limits) -> None:
    """By what the file says of itself, before any of it is decoded."""
    if metadata.num_rows > limits.rows:
        raise Refused(f"the file has more than {limits.rows:,} rows; import it in parts")
    for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
        if group.total_byte_size > limits.group:
            raise Refused(f"a row group unpacks to more than {limits.group:,} bytes; write smaller ones")
        if any(group.column(n).num_values > limits.values for n in range(group.num_columns)):
            raise Refused(f"a column of a row group has more than {limits.values:,} values; write smaller groups")


def _foreign(value: object) -> dict[str, str]:
    """What JSON does not know, so that nobody takes it for a text."""
    return {type(value).__name__: str(value)}


def _bound_memory(more: int) -> None:
    """To so many bytes more than there are now."""
    statm = Path("/proc/self/statm")
    now = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    most = now + more if now else 4 * more
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main(*sys.argv[1:])
