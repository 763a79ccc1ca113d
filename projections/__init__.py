"""What happened, shaped for reading: each table, its fold and its queries side by side."""

from projections import (
    agent_rosters,
    audit,
    ballots,
    batch_runs,
    batches,
    checkpoints,
    datasets,
    dpo_annotations,
    evaluations,
    interaction_log,
    jobs,
    lora_adapters,
    opinions,
    rubrics,
    training_metrics,
    training_runs,
    vote_counts,
    workflow_runs,
)
from projections.derived import Derived
from projections.projector import Projector
from projections.tables import METADATA

ALL: tuple[Projector, ...] = (
    workflow_runs.PROJECTOR,
    interaction_log.PROJECTOR,
    ballots.PROJECTOR,
    dpo_annotations.PROJECTOR,
    opinions.PROJECTOR,
    rubrics.PROJECTOR,
    datasets.PROJECTOR,
    training_runs.PROJECTOR,
    training_metrics.PROJECTOR,
    lora_adapters.PROJECTOR,
    evaluations.PROJECTOR,
    agent_rosters.PROJECTOR,
    jobs.PROJECTOR,
    batches.PROJECTOR,
    batch_runs.PROJECTOR,
    audit.PROJECTOR,
)
"""Every read model that is folded of events."""
DERIVED: tuple[Derived, ...] = (vote_counts.DERIVED,)
"""Every one that is made of others."""
READ_MODELS: tuple[Projector | Derived, ...] = (*ALL, *DERIVED)

__all__ = ["ALL", "DERIVED", "METADATA", "READ_MODELS", "checkpoints"]
