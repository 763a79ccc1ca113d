"""What is said of a training while it goes on, and what ends it before its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from adapters.dpo.failures import Diverged
from domain.training_health import HealthCode, warnings
from domain.training_progress import Progress

REQUIRED = {"loss": "loss", "margin": "rewards/margins", "accuracy": "rewards/accuracies"}
"""What every step has, by its name in the logs of TRL."""

MEASURED = {
    "rewards_chosen": "rewards/chosen",
    "rewards_rejected": "rewards/rejected",
    "logps_chosen": "logps/chosen",
    "logps_rejected": "logps/rejected",
    **{
        name: name
        for name in (
            "chosen_shift",
            "kl",
            "entropy",
            "grad_norm",
            "learning_rate",
            "truncated",
            "chosen_length",
            "length_lead",
            "length_correlation",
        )
    },
}

Report = Callable[..., None]
"""Tells the parent one thing by its name: `report(progress={...})`."""


class AskedToStop(Exception):
    """Before the first step, so that there is nothing to keep."""


class ProgressCallback(TrainerCallback):
    """Reports each step. Stops the training with a checkpoint when that was asked for, and without one at a warning of
    `early_stop`: `stopped_by` then says which, and the adapter is finished."""

    def __init__(
        self, report: Report, stopping: Callable[[], bool], early_stop: Collection[HealthCode] = frozenset()
    ) -> None:
        self._report = report
        self._stopping = stopping
        self._early_stop = early_stop
        self._steps: list[Progress] = []
        self._began, self._first_step = time.monotonic(), 0
        self.stopped_by: HealthCode | None = None

    def heed(self) -> None:
        """To be called by all processes alike while a training is prepared. Raises AskedToStop."""
        if self._is_asked_to_stop():
            raise AskedToStop

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began, self._first_step = time.monotonic(), state.global_step
        self._steps = [progress_of(logs, state) for logs in state.log_history if "loss" in logs]
        self._report(started={"device": str(args.device), "step": state.global_step})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._is_asked_to_stop():
            control.should_training_stop = control.should_save = True
        if state.global_step >= state.max_steps:
            _keep_no_checkpoint(control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        step_seconds = (time.monotonic() - self._began) / (state.global_step - self._first_step)
        samples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        progress = progress_of(logs | {"step": state.global_step}, state, step_seconds, samples / step_seconds)
        self._steps.append(progress)
        self._report(progress=asdict(progress))
        if self._early_stop and state.global_step < state.max_steps:
            self._stop_early(control)

    def _is_asked_to_stop(self) -> bool:
        # All processes have to stop at the same place, whichever hears of it first.
        return any(gather_object([self._stopping()]))

    def _stop_early(self, control: TrainerControl) -> None:
        self.stopped_by = next((w.code for w in warnings(self._steps) if w.code in self._early_stop), None)
        if self.stopped_by:
            control.should_training_stop = True
            _keep_no_checkpoint(control)


def _keep_no_checkpoint(control: TrainerControl) -> None:
    """Of a training's last step: one that goes on from there would make one more."""
    control.should_save = False


def progress_of(
    logs: Mapping[str, Any], state: TrainerState, step_seconds: float = 0.0, samples_per_second: float = 0.0
) -> Progress:
    """What the trainer logged of a step. Raises Diverged where a number is none any more."""
    step = int(logs["step"])
    required = {name: _number(logs, theirs, step) for name, theirs in REQUIRED.items()}
    measured = {name: _number(logs, theirs, step) for name, theirs in MEASURED.items() if theirs in logs}
    return Progress(
        step=step,
        total_steps=state.max_steps,
        seconds_left=step_seconds * (state.max_steps - step),
        samples_per_second=samples_per_second,
        **required,
        **measured,
    )


def _number(logs: Mapping[str, Any], name: str, step: int) -> float:
    value = float(logs[name])
    if not math.isfinite(value):
        raise Diverged(f"{name} is {value} at step {step}: lower learning_rate")
    return value
