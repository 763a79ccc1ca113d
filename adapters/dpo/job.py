"""What the trainer tells its child process, and how: one JSON file. Light to import, for both sides do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from adapters.dpo.failures import OtherBase
from domain.training import TrainingJob


@dataclass(frozen=True, slots=True)
class DpoJob:
    """A training job and where things are. `folder` is the run's own: job file, lock, checkpoints, temporary files.

    `device`: `auto` (a GPU where there is one), `cpu` or `cuda`. A checkpoint is kept every `checkpoint_every` steps.
    """

    job: TrainingJob
    base_model_dir: Path
    artifacts_dir: Path
    folder: Path
    device: str
    checkpoint_every: int

    def must_have_its_base(self, found: str) -> None:
        """Raises OtherBase where an adapter is made again, and was trained for other weights than those found here."""
        if self.job.base_sha256 not in (None, found):
            raise OtherBase(
                f"{self.job.base_model} has weights {found} here, and the adapter was trained for "
                f"{self.job.base_sha256}: put those weights in their place"
            )

    def to_json(self) -> bytes:
        return _DPO_JOB.dump_json(self, indent=2)


def read_job(file: Path) -> DpoJob:
    """Raises pydantic's ValidationError for a file that is not a job."""
    return _DPO_JOB.validate_json(file.read_bytes())


_DPO_JOB = TypeAdapter(DpoJob)
