"""What is left on the disk: of what is over it goes, of what is not it stays, and what is not ours is not touched."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path

from adapters.adapter_files import AdapterFiles
from adapters.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, sha256_of
from adapters.leftovers import HalfDatasets, HalfImports, TrainingFolders, TrainingLogs
from domain.lora_weights import LoraForm, Weights
from tests.builders import an_id

OVER, GOING_ON = an_id("over"), an_id("going on")
MONTH = timedelta(days=30)


def test_checkpoints_of_trainings_that_are_over_are_removed(tmp_path: Path) -> None:
    for name in (str(OVER), str(GOING_ON), "notes"):
        (tmp_path / name / "checkpoint-4").mkdir(parents=True)
    assert TrainingFolders(tmp_path, lambda run: run == OVER).remove(MONTH) == 1
    assert {path.name for path in tmp_path.iterdir()} == {str(GOING_ON), "notes"}


def test_old_logs_of_trainings_that_are_over_are_removed(tmp_path: Path) -> None:
    old = time.time() - timedelta(days=31).total_seconds()
    for name in (f"training-{OVER}.log", f"training-{GOING_ON}.log", "worker.log"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))
    (tmp_path / f"training-{an_id('young')}.log").touch()
    assert TrainingLogs(tmp_path, lambda run: run != GOING_ON).remove(MONTH) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_half_written_imports_of_yesterday_are_removed(tmp_path: Path) -> None:
    long_ago = time.time() - timedelta(hours=25).total_seconds()
    for name in (".c0ffee.x1", "c0ffee"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / ".c0ffee.x2").touch()
    assert HalfImports(tmp_path).remove(MONTH) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"c0ffee", ".c0ffee.x2"}


def test_what_a_killed_build_or_export_left_is_removed_and_what_is_being_written_stays(tmp_path: Path) -> None:
    long_ago = time.time() - timedelta(hours=25).total_seconds()
    dead = (f".{OVER}.jsonl.x1", ".rivals.x1/rows.sqlite", ".index.x1/draft", f".export.x1/{OVER}.zip")
    alive = (f".{GOING_ON}.jsonl.x2", f".export.x2/{GOING_ON}.zip", f"{OVER}.jsonl", f"{OVER}.index.sqlite")
    for name in (*dead, *alive):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (*dead, f"{OVER}.jsonl"):
        for path in (tmp_path / name, (tmp_path / name).parent):
            if path != tmp_path:
                os.utime(path, (long_ago, long_ago))
    os.utime(tmp_path / ".export.x2", (long_ago, long_ago))
    assert HalfDatasets(tmp_path).remove(MONTH) == len(dead)
    assert {path.name for path in tmp_path.iterdir()} == {Path(name).parts[0] for name in alive}


def test_where_there_is_no_folder_there_is_nothing_to_remove(tmp_path: Path) -> None:
    assert TrainingFolders(tmp_path / "none", lambda run: True).remove(MONTH) == 0
    assert HalfImports(tmp_path / "none").remove(MONTH) == 0
    assert AdapterFiles(tmp_path / "none").names() == frozenset()


def test_adapters_are_known_by_their_weights_and_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    for name in ("team@1", ".team@2.half"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ADAPTER_WEIGHTS).write_bytes(b"weights")
    folder, files = tmp_path / "team@1", AdapterFiles(tmp_path)
    (folder / "passport.json").write_text("{}")
    assert files.names() == {"team@1"}
    assert (files.weights("team@1"), files.passport("team@1")) == (None, None)

    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["v_proj", "q_proj"]}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config))
    form = LoraForm(8, 16, frozenset({"q_proj", "v_proj"}))
    assert files.weights("team@1") == Weights(sha256_of(folder / ADAPTER_WEIGHTS), form)
