"""Datasets in the files of other tools: JSON Lines, Parquet, and a folder that `datasets.load_dataset` opens, with its
card. All of them are written row by row from the dataset's own JSON Lines, and the same dataset gives the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.exchange.card import card, table_of

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
TRL = pa.schema([(name, MESSAGES) for name in ("prompt", "chosen", "rejected")])
"""All that TRL's DPOTrainer reads."""
SCHEMA = pa.schema(
    [
        *TRL,
        ("weight", pa.float64()),
        ("preference_id", pa.string()),
        ("verdict", pa.string()),
        ("method", pa.string()),
        ("probability", pa.float64()),
        ("run_id", pa.string()),
        ("chosen_step", pa.string()),
        ("rejected_step", pa.string()),
        ("chosen_agent", pa.string()),
        ("rejected_agent", pa.string()),
        ("position", pa.int64()),
    ]
)
"""A dataset's rows. What a row lacks is null."""
COLUMNS = {"trl": TRL, "all": SCHEMA}
GROUP = 1_000
"""Rows of a row group."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file knows."""


@dataclass(frozen=True, slots=True)
class Exporter:
    """Fulfils domain.ports.datasets.DatasetExporter."""

    def export(
        self, parts: Mapping[str, Path], facts: Mapping[str, Any], format: str, columns: str, output: Path
    ) -> None:
        """Writes `output`. `parts` are the dataset's JSON Lines, by the name of the split, `facts` what its card says.

        Of `jsonl` and `parquet` there is one file, in which the parts follow each other.
        """
        schema = COLUMNS[columns]
        match format:
            case "jsonl":
                with output.open("wb") as opened:
                    opened.writelines(_lines(_all(parts), schema))
            case "parquet":
                _write_parquet(_all(parts), schema, output)
            case _:
                _write_folder(parts, facts, schema, output)


def _all(parts: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    for file in parts.values():
        yield from _rows(file)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        for line in opened:
            yield json.loads(line)


def _lines(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Iterator[bytes]:
    for row in rows:
        known = {name: row.get(name) for name in schema.names}
        yield json.dumps(known, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _write_parquet(rows: Iterator[dict[str, Any]], schema: pa.Schema, output: Path) -> int:
    """Returns how many rows it wrote."""
    count = 0
    with pq.ParquetWriter(output, schema, compression="zstd") as writer:
        while group := list(islice(rows, GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _write_folder(parts: Mapping[str, Path], facts: Mapping[str, Any], schema: pa.Schema, output: Path) -> None:
    """A zip of `README.md` and `data/<split>-00000-of-00001.parquet`, as the Hugging Face Hub has them. A split without
    rows has no file: `load_dataset` refuses the whole folder for one."""
    counts: dict[str, int] = {}
    with ZipFile(output, "w") as folder:
        for split, file in parts.items():
            table = output.with_name(f"{output.name}.{split}")
            counts[split] = _add_table(folder, split, file, schema, table) if file.stat().st_size else 0
        folder.writestr(ZipInfo("README.md", LONG_AGO), card(facts, counts, schema), compress_type=ZIP_DEFLATED)


def _add_table(folder: ZipFile, split: str, file: Path, schema: pa.Schema, table: Path) -> int:
    """Returns how many rows it has. `table` is where it lies meanwhile."""
    try:
        count = _write_parquet(_rows(file), schema, table)
        place = ZipInfo(table_of(split), LONG_AGO)
        place.file_size = table.stat().st_size  # beyond 2 GiB an entry has another form, from its beginning on
        with folder.open(place, "w") as entry:
            _copy(table, entry)
    finally:
        table.unlink(missing_ok=True)
    return count


def _copy(file: Path, entry: IO[bytes]) -> None:
    with file.open("rb") as opened:
        shutil.copyfileobj(opened, entry)
