"""Which devices a training takes for itself."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.dpo.launching import scrubbed
from adapters.dpo.turns import devices_of, take_turn
from adapters.embedded.locks import OwnerLock
from domain.training import TrainingCancelled


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("0", ["0"]),
        ("1,0", ["0", "1"]),
        ("GPU-8f, 2,2", ["2", "GPU-8f"]),
        ("0,-1,1", ["0"]),
        ("-1", ["cpu"]),
        ("", ["cpu"]),
    ],
)
def test_a_training_takes_the_devices_that_it_sees(visible: str, devices: list[str]) -> None:
    assert devices_of("auto", {"CUDA_VISIBLE_DEVICES": visible}) == devices
    assert devices_of("cpu", {"CUDA_VISIBLE_DEVICES": visible}) == ["cpu"]


def test_one_of_a_single_process_meets_one_of_several() -> None:
    alone, together = (devices_of("auto", scrubbed({}, processes)) for processes in (1, 2))
    assert set(alone) & set(together)


def test_nobody_keeps_some_of_the_devices_while_it_does_not_get_the_others(tmp_path: Path) -> None:
    other, told = OwnerLock(tmp_path / "1"), list[str]()
    other.acquire()
    with pytest.raises(TrainingCancelled):
        take_turn(tmp_path, ["0", "1"], cancelled=lambda: bool(told), say=told.append)
    other.release()
    assert "device 1" in told[0]
    with take_turn(tmp_path, ["0", "1"], cancelled=lambda: False, say=told.append):
        assert len(told) == 1


def test_the_devices_are_free_again_once_a_turn_is_over(tmp_path: Path) -> None:
    for _ in range(2):
        with take_turn(tmp_path, ["MIG-GPU-8f/1/0"], cancelled=lambda: False, say=pytest.fail):
            assert len(list(tmp_path.iterdir())) == 1


def test_a_device_is_not_kept_by_who_could_not_write_its_name_for_want_of_space(tmp_path: Path) -> None:
    with no_space(), pytest.raises(OSError, match="File too large"):
        take_turn(tmp_path, ["0"], cancelled=lambda: False, say=pytest.fail)
    with take_turn(tmp_path, ["0"], cancelled=lambda: False, say=pytest.fail):
        pass


@contextmanager
def no_space() -> Iterator[None]:
    """Within it no file can grow."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
