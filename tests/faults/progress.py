"""Which seeds are done, so that a long run can be interrupted: a line each, in `.faults/`, by revision."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(".faults")


@dataclass(frozen=True, slots=True)
class Done:
    """One seed of a layer (`process` or `simulated`), how long it took in seconds, and what it violated; of real
    processes also how many faults happened, and after how many seconds they had caught up."""

    layer: str
    seed: int
    seconds: float
    violations: list[str]
    faults: int = 0
    catch_up: float = 0.0


class Progress:
    """Of the code as it is committed."""

    def __init__(self, folder: Path = FOLDER) -> None:
        folder.mkdir(exist_ok=True)
        self.file = folder / f"{_revision()}.jsonl"

    def note(self, done: Done) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(asdict(done)) + "\n")

    def held(self, layer: str) -> set[int]:
        """The seeds that were run and violated nothing; the others are worth another try."""
        return {done.seed for done in self._all() if done.layer == layer and not done.violations}

    def _all(self) -> Iterator[Done]:
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            yield Done(**json.loads(line))


def _revision() -> str:
    git = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(git, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"
