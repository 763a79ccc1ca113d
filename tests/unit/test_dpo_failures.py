from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from adapters.artifacts import AlreadyPublished
from adapters.dpo.failures import DISK_FULL, OUT_OF_MEMORY, Diverged, why_it_died, why_it_raised


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_what_a_lack_of_memory_looks_like(error: Exception) -> None:
    assert why_it_raised(error) == OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc:820] . PytorchStreamWriter failed: file write failed"),
        ValueError('SafetensorError: Io(Os { code: 28, message: "No space left on device" })'),
    ],
)
def test_what_a_full_disk_looks_like(error: Exception) -> None:
    assert why_it_raised(error) == DISK_FULL


def test_our_own_errors_speak_for_themselves_and_strangers_are_named() -> None:
    assert why_it_raised(Diverged("lower learning_rate")) == "lower learning_rate"
    assert "train under the next revision" in why_it_raised(AlreadyPublished(Path("team@1")))
    assert why_it_raised(KeyError("x")) == "KeyError: 'x'"


def test_a_death_without_a_word_is_explained_by_its_exit_code() -> None:
    assert OUT_OF_MEMORY in why_it_died(-signal.SIGKILL)
    assert why_it_died(-signal.SIGSEGV) == "the training process died of SIGSEGV"
    assert why_it_died(3) == "the training process ended with code 3 and gave no reason"
