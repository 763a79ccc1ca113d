"""How a dataset becomes an adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from domain.training import TrainedAdapter, TrainingJob
from domain.training_progress import Progress


class Trainer(Protocol):
    """Turns a dataset into an adapter."""

    def train(
        self, job: TrainingJob, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> TrainedAdapter:
        """Blocks until done; asks `cancelled` often. A job that was interrupted goes on from its last checkpoint.

        Raises TrainingCancelled or TrainingFailed.
        """

    def forget(self, run_id: UUID) -> None:
        """The run is over: throws away what was kept for going on with it."""
