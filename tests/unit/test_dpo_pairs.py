from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.dpo.pairs import BadDataset, ChatMessage, WeightedPair, take_pairs

PROMPT = [{"role": "user", "content": "Which?"}]


def test_rows_are_read_without_their_lineage_and_weigh_1_unless_they_say_so(tmp_path: Path) -> None:
    [bare, weighted] = read(tmp_path, a_row(), a_row(weight=0.25, run_id="some run"))
    assert (bare.weight, weighted.weight) == (1.0, 0.25)
    assert bare.chosen == (ChatMessage("assistant", "This."),)
    assert bare.columns().keys() == {"prompt", "chosen", "rejected", "weight"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            a := {"prompt": PROMPT, "chosen": PROMPT, "preference_id": str(UUID(int=1))},
            "line 1: rejected: Field required",
        ),
        (a | {"rejected": PROMPT}, "line 1: chosen and rejected must end with the assistant's message"),
        (a | {"rejected": "That."}, "line 1: rejected: Input should be a valid"),
        (a | {"rejected": PROMPT, "weight": 1.5}, "line 1: weight: Input should be less than or equal to 1"),
        (a | {"rejected": PROMPT, "weight": float("nan")}, "line 1: weight: "),
        (a | {"rejected": [{"role": "assistant", "content": None}]}, "line 1: rejected.0.content: "),
        (a | {"rejected": PROMPT, "preference_id": "one"}, "line 1: preference_id: Input should be a valid UUID"),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_column(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadDataset, match=reason):
        read(tmp_path, row)


def test_of_several_bad_rows_the_first_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="line 2: weight: Input should be a valid number"):
        read(tmp_path, a_row(), a_row(weight="much"), {}, a_row())


def test_a_file_with_another_hash_is_not_read(tmp_path: Path) -> None:
    """Nor is it told what is wrong with its rows."""
    file = tmp_path / "pairs.jsonl"
    for content in ("no matter what", json.dumps(a_row())):
        file.write_text(content)
        with pytest.raises(BadDataset, match="build the dataset again"):
            take_pairs(file, "0" * 64, 2)


def test_the_heaviest_pairs_are_taken_in_their_own_order(tmp_path: Path) -> None:
    rows = [a_row(weight=weight, preference_id=str(UUID(int=n))) for n, weight in enumerate((0.5, 1.0, 0.1, 0.5))]
    assert [pair.weight for pair in read(tmp_path, *rows, limit=3)] == [0.5, 1.0, 0.5]
    assert [pair.preference_id.int for pair in read(tmp_path, *rows, limit=2)] == [0, 1]


def test_a_coin_toss_teaches_nothing(tmp_path: Path) -> None:
    assert [pair.weight for pair in read(tmp_path, a_row(weight=0), a_row(weight=0.1))] == [0.1]
    for nothing in ([a_row(weight=0)], []):
        with pytest.raises(BadDataset, match="nothing to learn"):
            read(tmp_path, *nothing)


def test_no_more_is_in_memory_than_is_taken(tmp_path: Path) -> None:
    """Of ten megabytes."""
    rows = [a_row(prompt=[{"role": "user", "content": f"{n}" * 1000}], weight=1 / (n + 1)) for n in range(1000, 4000)]
    file, sha256 = written(tmp_path, rows)
    del rows
    tracemalloc.start()
    take_pairs(file, sha256, 10)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.stat().st_size > 10_000_000
    assert most < 1_000_000


def a_row(**columns: Any) -> dict[str, Any]:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("This.", "That."))
    row = {"prompt": PROMPT, "chosen": chosen, "rejected": rejected, "preference_id": str(UUID(int=1))}
    return row | columns


def read(folder: Path, *rows: dict[str, Any], limit: int = 2) -> list[WeightedPair]:
    return take_pairs(*written(folder, rows), limit)


def written(folder: Path, rows: Iterable[dict[str, Any]]) -> tuple[Path, str]:
    """A file of them, and its hash."""
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = folder / "pairs.jsonl"
    file.write_bytes(content)
    return file, hashlib.sha256(content).hexdigest()
