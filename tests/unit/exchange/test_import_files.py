"""Files that somebody sent: read row by row, whatever they hold, and told apart by their bytes."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange import files, lines
from adapters.exchange.files import ImportFolder
from domain.errors import Invalid, NotFound
from domain.importing import Judgment, Row, SetAside
from domain.ports.imports import Unreadable
from tests.builders import an_id
from tests.unit.exchange.test_forms import ALPACA, SAME_PAIR

GOOD = json.dumps(ALPACA).encode()


def sent(folder: Path, content: bytes) -> str:
    digest = sha256(content).hexdigest()
    assert ImportFolder(folder).receive(digest, [content]) == len(content)
    return digest


def rows_of(folder: Path, content: bytes, form: str = "auto") -> list[Row]:
    return list(ImportFolder(folder).open(sent(folder, content), form).rows())


def faults(rows: Iterable[Row]) -> dict[int, str]:
    return {row.line: row.read.reason for row in rows if isinstance(row.read, SetAside)}


def test_a_file_is_kept_under_its_hash_or_not_at_all(tmp_path: Path) -> None:
    folder = ImportFolder(tmp_path)
    digest = sha256(b"ab").hexdigest()

    def breaking_off() -> Iterator[bytes]:
        yield b"a"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        folder.receive(digest, breaking_off())
    with pytest.raises(Invalid, match="send it again"):
        folder.receive(digest, [b"a", b"c"])
    assert list((tmp_path / "imports").iterdir()) == []
    assert folder.receive(digest, [b"a", b"b"]) == 2
    assert (tmp_path / "imports" / digest).read_bytes() == b"ab"
    with pytest.raises(NotFound):
        folder.open("0" * 64, "auto")


@pytest.mark.parametrize("packed", [False, True])
def test_bad_rows_are_told_by_their_line_and_the_others_are_read(tmp_path: Path, packed: bool) -> None:
    hostile = [
        b"\xef\xbb\xbf" + GOOD,
        b"",
        b"{",
        b"[1]",
        b'{"preference": NaN}',
        b'{"preference": 1e999}',
        b'{"preference": 1' + b"0" * 5000 + b"}",
        b'{"preference": 1, "preference": 2}',
        b"\xff\xfe",
        b"[" * 100_000,
        GOOD.replace(b"Paris.", b"\\u0000"),
        GOOD.replace(b"Paris.", b"\\ud800"),
        b'{"x": "' + b"y" * lines.MOST_LINE + b'"}',
        b"null",
        GOOD,
    ]
    content = b"\n".join(hostile)
    rows = rows_of(tmp_path, gzip.compress(content) if packed else content)
    assert [row.line for row in rows if isinstance(row.read, Judgment)] == [1, 15]
    told = faults(rows)
    assert list(told) == list(range(3, 15))
    assert told[3].startswith("this is no JSON")
    assert told[4] == told[14] == "this is no JSON object"
    assert (told[5], told[8]) == ("NaN is no number in JSON", "preference is there twice")
    assert told[6] == "1e999 is too large a number"
    assert "digits is too long" in told[7]
    assert told[9] == "byte 1 of the row is not UTF-8"
    assert told[10] == "this is nested too deeply"
    assert "U+0000" in told[11]
    assert "U+D800" in told[12]
    assert "a row has at most" in told[13]
    assert rows[-1].done == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" + GOOD + b"]", "write one object a line"),
        ("{}".encode("utf-16"), "save the file as UTF-8"),
        (b"PK\x03\x04", "unpack it"),
        (b"", "it has no rows"),
        (b"nonsense", "no row is a JSON object"),
        (b'{"text": "x"}\n' * 3, "its first one has text"),
        (gzip.compress(GOOD)[:-9], "breaks off, after line"),
        (b"PAR1" + b"\0" * 20, "the Parquet file cannot be read after row 0"),
    ],
)
def test_what_cannot_be_imported_as_a_whole_says_what_to_do(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(why)):
        rows_of(tmp_path, content)


def test_a_format_that_is_none_is_refused_and_one_that_is_named_is_taken(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="there is auto, caravan, alpaca-eval"):
        rows_of(tmp_path, GOOD, "csv")
    assert faults(rows_of(tmp_path, GOOD, "hh")) == {1: "chosen is missing"}


def test_a_gzip_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_UNPACKED", 3 * lines.MOST_LINE)
    with pytest.raises(Unreadable, match="unpacks to more than"):
        rows_of(tmp_path, gzip.compress(b"\0" * 8 * lines.MOST_LINE))


@pytest.mark.parametrize(
    ("name", "field", "number", "why"),
    [
        ("our own", "weight", 1e-17, "does not prefer one answer"),
        ("binarized", "score_chosen", 10**400, "score_chosen is too large a number"),
    ],
)
def test_a_number_that_says_nothing_costs_its_row_alone(
    tmp_path: Path, name: str, field: str, number: float, why: str
) -> None:
    _, raw = SAME_PAIR[name]
    rows = rows_of(tmp_path, b"\n".join(json.dumps(row).encode() for row in (raw | {field: number}, raw)))
    assert [type(row.read) for row in rows] == [SetAside, Judgment]
    assert why in faults(rows)[1]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_of_nothing_but_line_feeds_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 10)
    content = GOOD + b"\n" * 11
    with pytest.raises(Unreadable, match="more than 10 rows"):
        rows_of(tmp_path, gzip.compress(content) if packed else content)


@pytest.mark.parametrize("column", [[[0] * 100_000], [None] * 100_000])
def test_a_parquet_bomb_is_given_up_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: list[Any]
) -> None:
    monkeypatch.setattr(lines, "MOST_VALUES", 50_000)
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"prompt": pa.array(column, pa.list_(pa.int64()))}), file)
    assert file.stat().st_size < 10_000
    with pytest.raises(Unreadable, match="more than 50,000 values"):
        rows_of(tmp_path, file.read_bytes())


def test_a_parquet_file_that_takes_more_memory_than_it_says_costs_nobody_else_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One text, to which all rows point: 8 MiB as the file says, 512 as it is decoded, some kilobytes on the disk."""
    monkeypatch.setattr(lines, "MOST_MEMORY", 128 * 2**20)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["x" * 2**23]))
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"prompt": texts}), file, compression="zstd")
    assert file.stat().st_size < 100_000
    assert pq.read_metadata(file).row_group(0).total_byte_size < 2 * 2**23
    with pytest.raises(Unreadable, match="takes more than 134,217,728 bytes"):
        rows_of(tmp_path, file.read_bytes())


def test_a_text_to_which_many_rows_point_counts_for_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MOST_UNPACKED", 2**19)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 64, pa.int32()), pa.array(["x" * 2**15]))
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"prompt": texts}), file)
    with pytest.raises(Unreadable, match="unpacks to more than"):
        rows_of(tmp_path, file.read_bytes())


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_damaged_parquet_file_is_given_up_with_a_reason(tmp_path: Path, place: float) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([{"prompt": f"prompt {n}" * 9} for n in range(500)]), file)
    content = bytearray(file.read_bytes())
    content[int(len(content) * place) : int(len(content) * place) + 200] = b"\xff" * 200
    with pytest.raises(Unreadable, match="cannot be read after row 0"):
        rows_of(tmp_path, bytes(content))


def test_what_json_does_not_know_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    row = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
    pq.write_table(pa.Table.from_pylist([row, row | {"rejected": "Nay."}]), file)
    table = pq.read_table(file).set_column(1, "chosen", pa.array([b"So.", b"So."]))
    pq.write_table(table, file)
    rows = list(ImportFolder(tmp_path).open(sent(tmp_path, file.read_bytes()), "trl").rows())
    assert [type(row.read) for row in rows] == [SetAside, SetAside]
    assert "chosen" in faults(rows)[1]


def test_no_more_than_so_much_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_ASIDE", 100)
    folder, id = ImportFolder(tmp_path), an_id("import")
    with folder.setting_aside(id) as put, pytest.raises(Unreadable, match="mend the file"):
        put(1, SetAside("bad", "x" * 100))


@pytest.mark.parametrize("name", ["explicit conversations", "implicit conversations", "binarized", "our own"])
def test_parquet_holds_the_same(tmp_path: Path, name: str) -> None:
    form, raw = SAME_PAIR[name]
    bad: dict[str, Any] = raw | {"chosen": None}
    file = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([raw, bad, raw]), file)
    taken = ImportFolder(tmp_path).open(sent(tmp_path, file.read_bytes()), "auto")
    found = list(taken.rows())
    assert taken.form == form
    assert [type(row.read) for row in found] == [Judgment, SetAside, Judgment]
    (reason,) = faults(found).values()
    assert "chosen" in reason
    assert found[-1].done == 1


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_whatever_bytes_come_each_row_is_a_pair_or_has_a_reason(rows: list[bytes]) -> None:
    for number, row in enumerate(rows, start=1):
        found = lines._json_row(number, row, 0.5)
        assert (found.raw is None) == bool(found.fault)


def test_what_is_set_aside_can_be_read_once_the_import_has_ended_well(tmp_path: Path) -> None:
    folder, id = ImportFolder(tmp_path), an_id("import")

    def breaking_off() -> None:
        with folder.setting_aside(id) as put:
            put(1, SetAside("bad", "x"))
            raise KeyError

    with pytest.raises(KeyError):
        breaking_off()
    with pytest.raises(NotFound):
        folder.set_aside(id)
    with folder.setting_aside(id) as put:
        put(3, SetAside("bad", "a\0b"))
    (line,) = folder.set_aside(id).read_text().splitlines()
    assert json.loads(line) == {"line": 3, "reason": "bad", "text": "a␛0000b"}
