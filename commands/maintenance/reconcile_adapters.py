"""Compares the adapters' files with what was registered: what is missing, what is damaged, what is foreign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from loguru import logger

from commands.policies.held_job import Attempt
from domain.job import Json
from domain.lora_weights import Weights


class AdapterFiles(Protocol):
    """The adapters that lie on this machine."""

    def names(self) -> frozenset[str]:
        """Of all folders with weights."""

    def weights(self, name: str) -> Weights | None:
        """As they are now; None where nothing readable says how they act."""

    def passport(self, name: str) -> Weights | None:
        """What the passport beside them says they are; None where there is none that can be read."""


class ReconcileAdapters:
    """`registered` gives the weights of each adapter that is registered and not retired, by its name."""

    def __init__(self, registered: Callable[[], Mapping[str, Weights]], files: AdapterFiles) -> None:
        self._registered = registered
        self._files = files

    def __call__(self, payload: Json, attempt: Attempt) -> Json:
        """`sound`: how many are as they were registered. `missing`, `corrupt` (other weights, ones that act
        otherwise, or a passport that says so) and `foreign` (never registered, or retired): their names."""
        registered, names = self._registered(), self._files.names()
        corrupt = []
        for name in sorted(registered.keys() & names):
            attempt.heartbeat(f"reads {name}")
            if {self._files.weights(name), self._files.passport(name)} != {registered[name]}:
                corrupt.append(name)
        missing = sorted(registered.keys() - names)
        if missing or corrupt:
            logger.error("adapters are not what was registered: missing {}, corrupt {}", missing, corrupt)
        return {
            "sound": len(registered) - len(missing) - len(corrupt),
            "missing": missing,
            "corrupt": corrupt,
            "foreign": sorted(names - registered.keys()),
        }
