"""What a supervisor tells about itself in its run folder, for commands in other processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from adapters.durable_files import write_private
from adapters.embedded.keeper import Status
from adapters.embedded.locks import owner_of

FILE = "supervisor.json"
LOCK = "supervisor.lock"


@dataclass(frozen=True)
class Record:
    """A supervisor and its processes, in the order of their start."""

    pid: int
    started_at: datetime
    children: list[Status]

    def child(self, name: str) -> Status:
        """Raises KeyError where there is none of that name."""
        for child in self.children:
            if child.name == name:
                return child
        raise KeyError(name)


RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def write(run_folder: Path, started_at: datetime, children: Sequence[Status]) -> None:
    """Replace the record of this process, atomically."""
    record = Record(os.getpid(), started_at, list(children))
    write_private(run_folder / FILE, RECORD.dump_json(record, indent=2).decode())


def read(run_folder: Path) -> Record | None:
    """The record of the supervisor that runs now; None where none does, whatever a dead one left behind."""
    file = run_folder / FILE
    if owner_of(run_folder / LOCK) is None or not file.exists():
        return None
    return RECORD.validate_json(file.read_bytes())


def remove(run_folder: Path) -> None:
    """Nothing runs any more."""
    (run_folder / FILE).unlink(missing_ok=True)
