"""Which module has which command. It is imported when that command is asked for: all of them together import what
processes need too, which takes seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from typer.core import TyperGroup
from typer.main import get_group

MODULES = {
    "demo": ("demo",),
    "up": ("up",),
    "doctor": ("doctor",),
    "runs": ("run", "runs", "logs"),
    "lifecycle": ("pause", "resume", "retry", "fork", "diff", "stop"),
    "batches": ("batches",),
    "watch": ("watch",),
    "learning": ("preferences", "lineage", "annotate", "withdraw"),
    "annotation": ("annotations",),
    "adapters": ("adapters",),
    "evaluations": ("evaluations",),
    "rankings": ("leaderboard", "judges", "rankings"),
    "datasets": ("dataset",),
    "imports": ("import", "imports"),
    "training": ("train", "trainings"),
    "serving": ("serving",),
    "agents": ("agents",),
    "tokens": ("login", "tokens"),
    "operations": ("status",),
    "events": ("events",),
    "audit": ("audit",),
    "jobs": ("jobs",),
    "projections": ("projections",),
    "processes": ("migrate", "prepare-model", "model-server", "gateway", "projectors", "worker", "trainer", "ui"),
}
"""In the order in which help lists them."""


class Commands(TyperGroup):
    """All commands, of which those in use are imported."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Imported()  # type: ignore[assignment]  # nobody adds to them


class Imported(Mapping[str, Any]):
    """Commands by name, each imported when it is looked up."""

    def __init__(self) -> None:
        self._modules = {command: module for module, commands in MODULES.items() for command in commands}

    def __getitem__(self, command: str) -> Any:
        module = import_module(f"{__package__}.{self._modules[command]}")
        return get_group(module.app).commands[command]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
