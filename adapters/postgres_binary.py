"""PostgreSQL's binary form of arrays and rows, for a statement that takes very many values at once.

psycopg writes these forms too, but hands each value to a dumper of its own. Here what many rows have in common is
written once. Numbers are big-endian; `array_recv` and `record_recv` in PostgreSQL's source read this:

    array   how many dimensions (1; 0 where it is empty), 0 (no nulls), the oid of its elements' type, and for the
            dimension how many there are and the first one's number (1); then each element's length and bytes
    row     how many fields; then of each the oid of its type, its length (-1 where it is null) and its bytes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import BytesBinaryDumper

smallint, integer, bigint = (Struct(f">{size}").pack for size in "hiq")
TEXT = psycopg.adapters.types["text"].oid

_array_head = Struct(">iiIii").pack
_field_head = Struct(">Ii").pack


class Binary(bytes):
    """A parameter in binary form; what type it is of, the statement tells."""


class BinaryDumper(BytesBinaryDumper):
    """Hands it on as it is."""

    oid = 0

    def dump(self, obj: Buffer) -> Buffer:
        return obj


psycopg.adapters.register_dumper(Binary, BinaryDumper)


def array(oid: int, elements: Sequence[bytes]) -> bytes:
    """Of elements of that type."""
    parts = [_array_head(1 if elements else 0, 0, oid, len(elements), 1)[: None if elements else 12]]
    for element in elements:
        parts += integer(len(element)), element
    return b"".join(parts)


def head(type: str, length: int) -> bytes:
    """What comes before the bytes of a row's field of that type."""
    return _field_head(psycopg.adapters.types[type].oid, length)


def field(type: str, is_array: bool = False) -> Callable[[bytes | None], bytes]:
    """What makes a row's field of the bytes of a value of that type, or of None."""
    info = psycopg.adapters.types[type]
    oid = info.array_oid if is_array else info.oid
    null = _field_head(oid, -1)
    return lambda value: null if value is None else _field_head(oid, len(value)) + value
