"""Which checkpoint a training goes on from, and which it must not. They are TRL's own, in the run's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from zipfile import is_zipfile

KEPT_PAIRS = "pairs-by-lot"
"""In a run's folder, the pairs that it took. Those that were taken by another rule lay elsewhere, or nowhere."""


def last_whole_checkpoint(folder: Path, processes: int) -> Path | None:
    """Throws away those that a kill left half written, and those of trainings that took their pairs by another rule: to
    go on from these would make an adapter of both ways."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    for checkpoint in newest_first:
        if (folder / KEPT_PAIRS).exists() and _is_whole(checkpoint, processes):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _is_whole(checkpoint: Path, processes: int) -> bool:
    """The first process writes the state last of all. It waits for none of the others, each of which leaves where its
    random numbers are: in torch's form, a ZIP archive, whose directory is written last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return all(is_zipfile(checkpoint / name) for name in _random_states(processes))


def _random_states(processes: int) -> Iterator[str]:
    if processes == 1:
        yield "rng_state.pth"
    else:
        yield from (f"rng_state_{rank}.pth" for rank in range(processes))
