"""Several rounds: the adapter of an earlier one, from whose weights a training goes on."""

from __future__ import annotations

from torch import nn

from adapters.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, PublishedAdapters, sha256_of
from adapters.dpo.failures import BadStart
from adapters.dpo.job import DpoJob
from adapters.model_server.adapter_check import Adapter, check_adapter
from adapters.model_server.errors import AdapterRefused
from adapters.model_server.model import linear_layers
from domain.training_config import TrainingConfig


def starting_adapter(job: DpoJob, base: nn.Module, base_sha256: str) -> Adapter | None:
    """The adapter that the job goes on from, checked as one from elsewhere is; None: from the base model alone.

    Raises BadStart where it is not there, not safe, not what it was, or was trained for other weights.
    """
    start = job.job.start_from
    if start is None:
        return None
    if start.base_sha256 != base_sha256:
        raise BadStart(
            f"{start.adapter} was trained for base weights {start.base_sha256}, and this trainer has {base_sha256}: "
            "go on from an adapter of the same base"
        )
    folder = PublishedAdapters(job.artifacts_dir).path(start.adapter)
    if not folder.is_dir():
        raise BadStart(f"{start.adapter} is not in {folder.parent}: put its folder back, or go on from another adapter")
    try:
        adapter = check_adapter(folder, job.job.base_model, linear_layers(base))
    except AdapterRefused as refused:
        raise BadStart(str(refused)) from refused
    if sha256_of(folder / ADAPTER_WEIGHTS) != start.sha256:
        raise BadStart(f"{folder} holds other weights than were registered ({start.sha256}): put those back")
    _must_have_the_form_of(job.job.config, adapter)
    return adapter


def _must_have_the_form_of(config: TrainingConfig, adapter: Adapter) -> None:
    """The job's form is the registered one: no run is asked for otherwise. What lies in adapter_config.json is hashed
    nowhere, and would change what the same weights say. Raises BadStart."""
    if other := adapter.settings.form.difference(config.form):
        raise BadStart(
            f"{adapter.folder / ADAPTER_CONFIG} has {other.option} {other.here}, and {adapter.name} was registered "
            f"with {other.there}: put that file back"
        )
