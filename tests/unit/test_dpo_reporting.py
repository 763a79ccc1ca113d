"""What the callback of a training does at its last step; and what one that goes on amid an epoch relies on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from accelerate import skip_first_batches
from accelerate.data_loader import DataLoaderShard, prepare_data_loader
from torch.utils.data import DataLoader
from transformers.trainer_callback import DefaultFlowCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from adapters.dpo.reporting import ProgressCallback

ARGUMENTS = TrainingArguments(use_cpu=True, save_steps=2)


def a_callback(asked_to_stop: bool = False) -> ProgressCallback:
    return ProgressCallback(report=lambda **_: None, stopping=lambda: asked_to_stop)


@pytest.mark.parametrize("asked_to_stop", [False, True])
@pytest.mark.parametrize(("step", "kept"), [(4, True), (5, False)])
def test_no_checkpoint_is_kept_of_the_last_step(step: int, kept: bool, asked_to_stop: bool) -> None:
    state, control = TrainerState(global_step=step, max_steps=5, save_steps=2), TrainerControl()
    for callback in (DefaultFlowCallback(), a_callback(asked_to_stop)):
        callback.on_step_end(ARGUMENTS, state, control)
    assert control.should_save == kept
    assert control.should_training_stop == (step == 5 or asked_to_stop)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_loader_that_skips_what_is_done_takes_the_pairs_of_its_epoch(processes: int) -> None:
    """As transformers resumes; between loader and sampler, accelerate has a wrapper more for several processes."""
    straight = a_loader(processes)
    epochs = [list(batches(straight)) for _ in range(2)]
    assert epochs[0] != epochs[1]

    rest = skip_first_batches(a_loader(processes), 1)
    rest.set_epoch(1)
    assert list(batches(rest)) == epochs[1][1:]


def a_loader(processes: int) -> DataLoaderShard:
    """Of eight pairs a process, in the order in which the last of them sees them."""
    loader = DataLoader(list(range(8 * processes)), batch_size=2, shuffle=True)
    prepared = prepare_data_loader(
        loader, num_processes=processes, process_index=processes - 1, use_seedable_sampler=True, data_seed=7
    )
    assert isinstance(prepared, DataLoaderShard)
    return prepared


def batches(loader: DataLoaderShard) -> Iterator[list[int]]:
    return (batch.tolist() for batch in loader)
