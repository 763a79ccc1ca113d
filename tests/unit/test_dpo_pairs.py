from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dpo.pairs import BadDataset, ChatMessage, WeightedPair, heaviest, read_pairs, weighted_order

PROMPT = [{"role": "user", "content": "Which?"}]
weights = st.lists(st.floats(min_value=0.01, max_value=1), min_size=1, max_size=20)


def test_rows_are_read_without_their_lineage_and_weigh_1_unless_they_say_so(tmp_path: Path) -> None:
    [bare, weighted] = read(tmp_path, a_row(), a_row(weight=0.25, run_id="some run"))
    assert (bare.weight, weighted.weight) == (1.0, 0.25)
    assert bare.chosen == (ChatMessage("assistant", "This."),)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (a := {"prompt": PROMPT, "chosen": PROMPT}, "line 1: rejected: Field required"),
        (a | {"rejected": PROMPT}, "line 1: chosen and rejected must end with the assistant's message"),
        (a | {"rejected": "That."}, "line 1: rejected: Input should be a valid"),
        (a | {"rejected": PROMPT, "weight": 1.5}, "line 1: weight: Input should be less than or equal to 1"),
        (a | {"rejected": PROMPT, "weight": float("nan")}, "line 1: weight: "),
        (a | {"rejected": [{"role": "assistant", "content": None}]}, "line 1: rejected.0.content: "),
    ],
)
def test_a_bad_row_is_named_by_its_line_and_column(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadDataset, match=reason):
        read(tmp_path, row)


def test_a_file_with_another_hash_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("no matter what")
    with pytest.raises(BadDataset, match="build the dataset again"):
        read_pairs(file, "0" * 64)


def test_the_heaviest_pairs_are_taken_in_their_own_order() -> None:
    pairs = [a_pair(weight) for weight in (0.5, 1.0, 0.1, 0.5)]
    assert [pair.weight for pair in heaviest(pairs, 3)] == [0.5, 1.0, 0.5]
    assert heaviest(pairs, 2) == [pairs[0], pairs[1]]


def test_a_coin_toss_teaches_nothing() -> None:
    assert heaviest([a_pair(0), a_pair(0.1)], 2) == [a_pair(0.1)]
    with pytest.raises(BadDataset, match="nothing to learn"):
        heaviest([a_pair(0)], 2)
    with pytest.raises(BadDataset, match="nothing to learn"):
        heaviest([], 2)


@given(count=st.integers(1, 20), epochs=st.integers(1, 5), seed=st.integers(0, 9))
def test_equal_weights_make_shuffled_epochs(count: int, epochs: int, seed: int) -> None:
    order = weighted_order([0.7] * count, count * epochs, seed)
    for start in range(0, len(order), count):
        assert sorted(order[start : start + count]) == list(range(count))


@given(weights=weights, draws=st.integers(1, 500), seed=st.integers(0, 9))
def test_a_pair_is_drawn_as_often_as_it_weighs(weights: list[float], draws: int, seed: int) -> None:
    drawn = Counter(weighted_order(weights, draws, seed))
    assert drawn.total() == draws
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        assert abs(drawn[index] - draws * share) <= 1 + share * len(weights)


@given(weights=weights, seed=st.integers(0, 9))
def test_the_seed_decides_the_order(weights: list[float], seed: int) -> None:
    assert weighted_order(weights, 50, seed) == weighted_order(weights, 50, seed)


def a_row(**columns: Any) -> dict[str, Any]:
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("This.", "That."))
    return {"prompt": PROMPT, "chosen": chosen, "rejected": rejected} | columns


def a_pair(weight: float) -> WeightedPair:
    said = (ChatMessage("assistant", "This."),)
    return WeightedPair(said, said, said, weight)


def read(folder: Path, *rows: dict[str, Any]) -> list[WeightedPair]:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = folder / "pairs.jsonl"
    file.write_bytes(content)
    return read_pairs(file, hashlib.sha256(content).hexdigest())
