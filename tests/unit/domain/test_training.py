"""A training run: requested with a configuration that can work, held by one trainer at a time, ended once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import AlreadyDone, DomainError, Invalid, LeaseLost
from domain.training import TrainingRun, TrainingState
from domain.training_config import LOSSES, TrainingConfig
from tests.builders import (
    NOW,
    a_progress,
    a_started_training_run,
    a_trained_adapter,
    a_training_run,
    topics,
)

ENDINGS: list[Callable[[TrainingRun], None]] = [
    lambda run: run.complete(run.epoch, a_trained_adapter(), at=NOW),
    lambda run: run.fail(run.epoch, "out of memory", at=NOW),
    lambda run: run.cancel("changed my mind", at=NOW),
]
TRAINERS_WORK: list[Callable[[TrainingRun, int], None]] = [
    lambda run, epoch: run.progress(epoch, a_progress(1), at=NOW),
    lambda run, epoch: run.complete(epoch, a_trained_adapter(), at=NOW),
    lambda run, epoch: run.fail(epoch, "", at=NOW),
]


def test_a_run_goes_from_request_to_an_adapter() -> None:
    run = a_training_run()
    run.start("trainer-1", "team@1", at=NOW)
    for step in (1, 2):
        run.progress(1, a_progress(step), at=NOW)
    run.complete(1, a_trained_adapter(), at=NOW)
    assert topics(run) == ["requested", "started", "progressed", "progressed", "completed"]
    assert run.state is TrainingState.COMPLETED
    assert run.adapter == a_trained_adapter()


@pytest.mark.parametrize(
    "change",
    [
        {"max_steps": 0},
        {"per_device_train_batch_size": 0},
        {"gradient_accumulation_steps": 0},
        {"max_length": -1},
        {"max_pairs": 0},
        {"r": 0},
        {"lora_alpha": 0},
        {"lora_dropout": 1.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"beta": float("inf")},
        {"precision": "fp8"},
        {"loss_type": ()},
        {"loss_weights": (1.0,)},
        {"loss_weights": (1.0, float("nan"))},
        {"target_modules": ()},
        {"target_modules": ("(a+)+b",)},
        {"target_modules": ("q_proj",) * 17},
        {"seed": -1},
        {"max_steps": 10**30},
        {"per_device_train_batch_size": 257},
        {"gradient_accumulation_steps": 257},
        {"max_length": 8_193},
        {"max_pairs": 1_000_001},
        {"r": 257},
        {"lora_alpha": 1_025},
        {"seed": 2**31},
        {"num_train_epochs": 0.0},
        {"lr_scheduler_type": "made_up"},
        {"warmup_steps": -1},
        {"warmup_steps": 2},
        {"weight_decay": 1.0},
        {"max_grad_norm": 0.0},
        {"num_processes": 0},
        {"label_smoothing": 0.5, "loss_type": ("robust",), "loss_weights": (1.0,)},
        {"label_smoothing": 0.1},
        {"loss_type": ("aot", "sft")},
        {"loss_type": ("x", "sft")},
        {"loss_type": ("sft", "sft")},
        {"loss_type": ("sft",) * 10**6, "loss_weights": (1.0,) * 10**6},
    ],
    ids=lambda change: str(change)[:60],
)
def test_a_configuration_that_cannot_work_is_refused(change: dict[str, Any]) -> None:
    (first, *_) = change
    with pytest.raises(Invalid, match=first.removesuffix("_weights")) as refusal:
        a_training_run(replace(TrainingConfig(), **change))
    assert len(str(refusal.value)) < 200


def test_every_loss_can_be_asked_for() -> None:
    weights = (1.0,) * len(LOSSES)
    losses = tuple(sorted(LOSSES))
    a_training_run(replace(TrainingConfig(), loss_type=losses, loss_weights=weights, label_smoothing=0.1))


@given(st.lists(st.integers(1, 8)))
def test_steps_seen_again_after_a_resume_change_nothing(steps: list[int]) -> None:
    run = a_started_training_run()
    for step in steps:
        run.progress(1, a_progress(step), at=NOW)
    kept = [event.progress.step for event in run.pending_events if isinstance(event, TrainingRun.Progressed)]
    assert kept == sorted(set(kept))
    assert run.step == max(steps, default=0)


def test_a_run_taken_over_keeps_the_name_of_its_adapter() -> None:
    run = a_started_training_run()
    run.start("trainer-2", "team@2", at=NOW)
    assert (run.worker, run.epoch, run.adapter_name) == ("trainer-2", 2, "team@1")


@given(takeovers=st.integers(1, 4), stale=st.integers(0, 5), work=st.sampled_from(TRAINERS_WORK))
def test_a_stale_epoch_always_loses(takeovers: int, stale: int, work: Callable[[TrainingRun, int], None]) -> None:
    run = a_started_training_run()
    for n in range(takeovers):
        run.start(f"trainer-{n}", "team@1", at=NOW)
    before = topics(run)
    if stale != run.epoch:
        with pytest.raises(LeaseLost):
            work(run, stale)
        assert topics(run) == before


@pytest.mark.parametrize("end", ENDINGS)
def test_a_finished_run_stays_as_it_is(end: Callable[[TrainingRun], None]) -> None:
    run = a_started_training_run()
    end(run)
    before = topics(run)
    assert run.finished
    with pytest.raises(AlreadyDone):
        run.start("trainer-2", "team@2", at=NOW)
    with pytest.raises(AlreadyDone):
        run.cancel("again", at=NOW)
    for work in TRAINERS_WORK:
        with pytest.raises(AlreadyDone):
            work(run, run.epoch)
    assert topics(run) == before


def test_a_run_that_waits_can_be_cancelled_and_is_never_worked_on() -> None:
    run = a_training_run()
    with pytest.raises(DomainError):
        run.progress(0, a_progress(1), at=NOW)
    run.cancel("not now", at=NOW)
    with pytest.raises(AlreadyDone):
        run.start("trainer-1", "team@1", at=NOW)
    assert topics(run) == ["requested", "cancelled"]
