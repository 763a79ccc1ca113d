"""How a training computes: in which precision, and whether alike each time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapters.dpo.devices import compute_alike, with_precision
from adapters.dpo.job import DpoJob
from domain.training import TrainingJob
from domain.training_config import TrainingConfig
from tests.builders import SHA, an_id


def settled(asked: str, folder: Path) -> str:
    """What `asked` comes to on the CPU, in that folder of a run."""
    run, data, config = an_id("run"), an_id("data"), replace(TrainingConfig(), precision=asked)
    job = TrainingJob(run, "team@1", data, "pairs.jsonl", SHA, 1, "tiny", config)
    return with_precision(DpoJob(job, Path(), Path(), folder, "cpu", 1)).job.config.precision


@pytest.mark.parametrize(
    ("able", "precision"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, "fp32"),
        ({"neon": True}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"neon": True, "bf16": True}, "bf16"),
    ],
)
def test_a_processor_that_would_emulate_bf16_computes_in_fp32(
    able: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert settled("auto", tmp_path) == precision


def test_a_training_that_goes_on_elsewhere_keeps_its_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for able in ({"avx512_bf16": False}, {"avx512_bf16": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert settled("auto", tmp_path) == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_what_is_asked_for_by_name_is_done(precision: str, tmp_path: Path) -> None:
    assert settled(precision, tmp_path) == precision


@pytest.mark.parametrize(
    ("gpu", "device", "asked"), [(True, "auto", True), (True, "cpu", False), (False, "auto", False)]
)
def test_a_gpu_is_asked_for_the_same_numbers_each_time(
    gpu: bool, device: str, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    try:
        compute_alike(device)
        assert torch.are_deterministic_algorithms_enabled() == asked
        assert torch.is_deterministic_algorithms_warn_only_enabled() == asked
    finally:
        torch.use_deterministic_algorithms(False)
