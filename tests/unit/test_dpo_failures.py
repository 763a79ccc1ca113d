from __future__ import annotations

import errno
import re
import signal
from dataclasses import fields, replace
from pathlib import Path

import pytest

from adapters.artifacts import AlreadyPublished
from adapters.dpo.failures import (
    DISK_FULL,
    OUT_OF_MEMORY,
    Diverged,
    OtherBase,
    another_died,
    why_it_died,
    why_it_raised,
)
from adapters.dpo.job import DpoJob
from domain.errors import Invalid
from domain.training import TrainingJob
from domain.training_config import RENAMED, TrainingConfig
from tests.builders import SHA, an_id


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


def test_the_advice_on_memory_names_options_as_they_are_called_now() -> None:
    words = set(re.findall(r"\w+", OUT_OF_MEMORY))
    options = {field.name for field in fields(TrainingConfig)}
    assert words & options == {"per_device_train_batch_size", "max_length", "r", "gradient_checkpointing"}
    assert not words & RENAMED.keys()


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
    assert why_it_raised(Invalid("seed must lie in [0, 2**31)")) == "seed must lie in [0, 2**31)"
    assert "train under the next revision" in why_it_raised(AlreadyPublished(Path("team@1")))
    assert why_it_raised(KeyError("x")) == "KeyError: 'x'"


def test_what_a_process_says_when_another_one_died_is_known_from_a_failure_of_its_own() -> None:
    assert another_died(RuntimeError("[gloo/pair.cc:553] Connection closed by peer [127.0.0.1]:12693. This is ..."))
    assert not another_died(Diverged("loss is nan at step 3: lower learning_rate"))


def test_a_death_without_a_word_is_explained_by_its_exit_code() -> None:
    assert OUT_OF_MEMORY in why_it_died(-signal.SIGKILL)
    assert why_it_died(-signal.SIGSEGV) == "the training process died of SIGSEGV"
    assert why_it_died(3) == "the training process ended with code 3 and gave no reason"


def test_an_adapter_is_not_made_again_from_other_weights_than_it_was_trained_for(tmp_path: Path) -> None:
    training = TrainingJob(an_id("run"), "team@2", an_id("dataset"), "", SHA, 5, "tiny", TrainingConfig())
    for expected in (None, SHA):
        job = DpoJob(replace(training, base_sha256=expected), tmp_path, tmp_path, tmp_path, "cpu", 4)
        job.must_have_its_base(SHA)
    with pytest.raises(OtherBase, match="put those weights in their place") as refused:
        job.must_have_its_base("0" * 64)
    assert why_it_raised(refused.value) == str(refused.value)
