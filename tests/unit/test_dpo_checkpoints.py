"""Checkpoints as torch and transformers leave them, whole and half."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adapters.dpo.checkpoints import KEPT_PAIRS, last_whole_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run whose pairs are kept."""
    (tmp_path / KEPT_PAIRS).mkdir()
    return tmp_path


def a_checkpoint(folder: Path, step: int, *random_states: str) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir()
    for name in random_states or ("rng_state.pth",):
        torch.save({"cpu": torch.random.get_rng_state()}, checkpoint / name)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 4}')
    return checkpoint


def test_a_training_goes_on_from_the_newest_checkpoint(folder: Path) -> None:
    assert last_whole_checkpoint(folder, processes=1) is None
    a_checkpoint(folder, 8)
    newest = a_checkpoint(folder, 12)
    assert last_whole_checkpoint(folder, processes=1) == newest


@pytest.mark.parametrize("state", ["", '{"global_step": '])
def test_a_checkpoint_without_a_whole_state_is_thrown_away(folder: Path, state: str) -> None:
    whole, half = a_checkpoint(folder, 4), a_checkpoint(folder, 8)
    (half / "trainer_state.json").write_text(state)
    assert last_whole_checkpoint(folder, processes=1) == whole
    assert not half.exists()


def test_a_checkpoint_is_whole_when_each_process_has_left_its_random_numbers(folder: Path) -> None:
    whole = a_checkpoint(folder, 4, "rng_state_0.pth", "rng_state_1.pth")
    without = a_checkpoint(folder, 8, "rng_state_0.pth")
    half = a_checkpoint(folder, 12, "rng_state_0.pth", "rng_state_1.pth")
    written = (half / "rng_state_1.pth").read_bytes()
    (half / "rng_state_1.pth").write_bytes(written[: len(written) // 2])
    assert last_whole_checkpoint(folder, processes=2) == whole
    assert not without.exists()
    assert not half.exists()


def test_nobody_goes_on_from_a_training_that_took_its_pairs_by_another_rule(folder: Path) -> None:
    """It kept none on disk, or kept them elsewhere; those that are written after it are not its own."""
    (folder / KEPT_PAIRS).rename(folder / "pairs")
    other = a_checkpoint(folder, 4)
    assert last_whole_checkpoint(folder, processes=1) is None
    assert not other.exists()
