"""The folder whose sub-folders are adapters. It is looked at anew each time: no restart is needed."""

from __future__ import annotations

import threading
from pathlib import Path

from adapters.artifacts import ADAPTER_CONFIG, SAFE_NAME
from adapters.model_server.adapter_check import Adapter, LayerShapes, check_adapter
from adapters.model_server.errors import AdapterRefused, ModelNotFound

Signature = tuple[tuple[str, int, int, int], ...]


class AdapterFolder:
    """Adapters by name. A folder is checked once, and again when any of its files changes. Thread-safe."""

    def __init__(self, folder: Path, base_name: str, layers: LayerShapes, base_sha256: str | None = None) -> None:
        self.path = folder
        self._base_name = base_name
        self._layers = layers
        self._base_sha256 = base_sha256
        self._checked: dict[str, tuple[Signature, Adapter | AdapterRefused]] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Adapter:
        """Raises ModelNotFound, or AdapterRefused where there is a folder that must not be loaded."""
        if not (SAFE_NAME.fullmatch(name) and (self.path / name / ADAPTER_CONFIG).exists()):
            raise ModelNotFound(
                f"there is no adapter {name!r} in {self.path}: its files are not on this machine", "model"
            )
        checked = self._check(name)
        if isinstance(checked, AdapterRefused):
            raise AdapterRefused(checked.message, "model")
        return checked

    def _check(self, name: str) -> Adapter | AdapterRefused:
        try:
            with self._lock:
                return self._check_unless_known(name)
        except OSError as error:
            return AdapterRefused(f"adapter {name!r} cannot be read: {error.strerror}")

    def _check_unless_known(self, name: str) -> Adapter | AdapterRefused:
        signature = _signature(self.path / name)
        known = self._checked.get(name)
        if known and known[0] == signature:
            return known[1]
        checked: Adapter | AdapterRefused
        try:
            checked = check_adapter(self.path / name, self._base_name, self._layers, self._base_sha256)
        except AdapterRefused as refusal:
            checked = refusal
        self._checked[name] = (signature, checked)
        return checked


def _signature(folder: Path) -> Signature:
    """Changes whenever a file of the folder does."""
    stats = ((entry.name, entry.lstat()) for entry in sorted(folder.iterdir()))
    return tuple((name, stat.st_ino, stat.st_size, stat.st_ctime_ns) for name, stat in stats)
