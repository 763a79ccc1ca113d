"""What happened, shaped for reading: each table, its fold and its queries side by side."""

from projections import (
    agent_rosters,
    audit,
    ballots,
    checkpoints,
    datasets,
    dpo_annotations,
    interaction_log,
    lora_adapters,
    training_metrics,
    training_runs,
    workflow_runs,
)
from projections.projector import Projector
from projections.tables import METADATA

ALL: tuple[Projector, ...] = (
    workflow_runs.PROJECTOR,
    interaction_log.PROJECTOR,
    ballots.PROJECTOR,
    dpo_annotations.PROJECTOR,
    datasets.PROJECTOR,
    training_runs.PROJECTOR,
    training_metrics.PROJECTOR,
    lora_adapters.PROJECTOR,
    agent_rosters.PROJECTOR,
    audit.PROJECTOR,
)
"""Every read model there is."""

__all__ = ["ALL", "METADATA", "checkpoints"]
