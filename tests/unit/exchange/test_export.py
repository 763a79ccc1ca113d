"""Exports: what other tools open, with the types that they expect and the rows that were there."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from trl import is_conversational, maybe_extract_prompt

from adapters.exchange.card import MEANINGS
from adapters.exchange.export import COLUMNS, SCHEMA, Exporter
from adapters.exchange.forms import form_of
from domain.dataset_recipe import NEWEST_BUILDER, Filter, Part, Recipe
from domain.dataset_rows import rows
from domain.importing import Judgment
from domain.preference import Verdict
from tests.builders import NOW, a_preference, an_id, lives, recorded

FACTS = {"dataset_id": str(an_id("dataset")), "as_of": 7, "filter": {"min_weight": 0.5}, "sha256": "c0de"}


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """Two pairs to train on, one of them settled, and one to test with, which nobody wrote or ran."""
    waiting, settled, by_hand = a_preference("one"), a_preference("two"), a_preference("three", run=None)
    settled.annotate(Verdict.ACCEPTED, "", at=NOW)
    made = {}
    for split, preferences in (("train", [waiting, settled]), ("test", [by_hand])):
        events = [event for preference in preferences for event in preference.pending_events]
        made[split] = tmp_path / f"{split}.jsonl"
        found = rows(lives(recorded(events)), Filter())  # type: ignore[arg-type]
        made[split].write_bytes(b"".join(row.line(NEWEST_BUILDER) for row in found))
    return made


def lines(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def exported(parts: dict[str, Path], format: str, columns: str = "all") -> Path:
    output = next(iter(parts.values())).with_name(f"exported.{format}")
    Exporter().export(parts, FACTS, format, columns, output)
    return output


def unpacked(output: Path) -> Path:
    folder = output.with_suffix("")
    with ZipFile(output) as zipped:
        zipped.extractall(folder)
    return folder


def test_every_column_of_a_dataset_has_a_type_and_a_meaning(parts: dict[str, Path]) -> None:
    for row in lines(*parts.values()):
        assert row.keys() <= set(SCHEMA.names) == MEANINGS.keys()


@pytest.mark.parametrize("columns", COLUMNS)
def test_json_lines_and_parquet_hold_every_row_in_order(parts: dict[str, Path], columns: str) -> None:
    wanted = [{name: row.get(name) for name in COLUMNS[columns].names} for row in lines(parts["train"], parts["test"])]
    assert lines(exported(parts, "jsonl", columns)) == wanted
    table = pq.read_table(exported(parts, "parquet", columns))
    assert table.schema.equals(COLUMNS[columns])
    assert table.to_pylist() == wanted


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Path]], Any]:
    """What `load_dataset` makes of the folder that these parts are exported to."""
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    return lambda parts: load_dataset(str(unpacked(exported(parts, "folder"))), cache_dir=str(tmp_path / "cache"))


def test_load_dataset_opens_the_folder_and_trl_takes_its_rows(
    parts: dict[str, Path], opened: Callable[[dict[str, Path]], Any]
) -> None:
    loaded = opened(parts)
    assert {split: len(part) for split, part in loaded.items()} == {"train": 2, "test": 1}
    assert [without_nulls(row) for row in loaded["train"]] == [without_nulls(row) for row in lines(parts["train"])]
    for row in loaded["train"]:
        assert is_conversational(row)
        assert maybe_extract_prompt(row) == row
    assert loaded["test"].features["run_id"].dtype == "string"  # although all of them are null


@pytest.mark.parametrize("empty", ["train", "test"])
def test_load_dataset_opens_a_folder_of_which_a_split_is_empty(
    parts: dict[str, Path], opened: Callable[[dict[str, Path]], Any], empty: str
) -> None:
    parts[empty].write_bytes(b"")
    assert opened(parts).keys() == parts.keys() - {empty}
    assert f"| {empty} | 0 |" in (exported(parts, "folder").with_suffix("") / "README.md").read_text()


@pytest.mark.parametrize("name", ["no", "null", "on", "y", "true", "validation", "a1_"])
def test_load_dataset_opens_a_split_whatever_its_name_means_to_yaml(
    parts: dict[str, Path], opened: Callable[[dict[str, Path]], Any], name: str
) -> None:
    Recipe(parts=(Part(name, 10),)).must_make_sense()
    assert opened({"train": parts["train"], name: parts["test"]}).keys() == {"train", name}


def test_the_card_says_what_it_is_and_claims_no_licence(parts: dict[str, Path]) -> None:
    text = (unpacked(exported(parts, "folder")) / "README.md").read_text()
    _, head, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    known = yaml.safe_load(head)
    assert [each["split"] for each in known["configs"][0]["data_files"]] == ["train", "test"]
    assert "license" not in known
    assert "Annotators are people, or agents and automations" in body
    for said in ("| as_of | `7` |", '| filter | `{"min_weight": 0.5}` |', "| train | 2 |", "`c0de`", "Not stated"):
        assert said in body


@pytest.mark.parametrize("format", ["jsonl", "parquet", "folder"])
def test_the_same_dataset_gives_the_same_bytes(parts: dict[str, Path], format: str) -> None:
    assert exported(parts, format).read_bytes() == exported(parts, format).read_bytes()


def test_a_folder_takes_a_table_beyond_what_an_old_zip_file_holds(
    parts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000)  # rather than 2 GiB
    folder = unpacked(exported(parts, "folder"))
    assert pq.read_table(folder / "data" / "train-00000-of-00001.parquet").num_rows == 2


def test_what_is_exported_can_be_imported(parts: dict[str, Path]) -> None:
    for file in (exported(parts, "jsonl"), exported(parts, "parquet")):
        found = lines(file) if file.suffix == ".jsonl" else pq.read_table(file).to_pylist()
        for row in found:
            form = form_of(row)
            assert form
            assert form.name == "caravan"
            judgment = form.read(row)
            assert isinstance(judgment, Judgment)
            assert str(judgment.known_as) == row["preference_id"]


def test_an_empty_dataset_is_exported_too(tmp_path: Path) -> None:
    empty = tmp_path / "train.jsonl"
    empty.touch()
    assert exported({"train": empty}, "jsonl").read_bytes() == b""
    assert pq.read_table(exported({"train": empty}, "parquet")).num_rows == 0
    card = (unpacked(exported({"train": empty}, "folder")) / "README.md").read_text()
    assert "n<1K" in card
    assert "configs" not in card  # there is nothing to open
