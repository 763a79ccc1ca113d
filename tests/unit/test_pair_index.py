"""What a dataset's index knows of its pairs."""

from __future__ import annotations

import json
from itertools import starmap
from pathlib import Path
from uuid import UUID

from adapters.artifacts import DatasetFolder
from adapters.pair_index import PairIndex
from domain.dataset_diff import DatasetParts
from domain.weighting import heaviest, lot_of
from tests.builders import an_id

WEIGHTS = {an_id(str(n)): (1.0, 0.5, 1.0, 0.25)[n % 4] for n in range(40)}
DATASET = DatasetParts(an_id("dataset"), ("train", "test"))


def test_of_each_pair_it_knows_whether_a_training_takes_it(tmp_path: Path) -> None:
    files = DatasetFolder(tmp_path)
    files.write(DATASET.id, starmap(a_line, WEIGHTS.items()))
    files.path(DATASET.id, "test").write_bytes(a_line(an_id("held out"), 1.0))
    index = PairIndex(files, files.path)
    found = {id: index.find(DATASET, id) for id in WEIGHTS}
    for most in range(1, len(WEIGHTS) + 1):
        taken = heaviest(WEIGHTS, WEIGHTS.__getitem__, lot_of, most)
        assert [id for id, held in found.items() if held and held.heavier < most] == taken


def a_line(id: UUID, weight: float) -> bytes:
    return json.dumps({"preference_id": str(id), "weight": weight}).encode() + b"\n"
