"""The adapters' folders as they lie on this machine, to be compared with what was registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from adapters.artifacts import ADAPTER_WEIGHTS, SAFE_NAME, sha256_of
from adapters.lora_passport import read_passport


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """Fulfils commands.maintenance.reconcile_adapters.AdapterFiles in that folder."""

    folder: Path

    def names(self) -> frozenset[str]:
        """Of all folders with weights; what is being written has no such name yet."""
        if not self.folder.is_dir():
            return frozenset()
        folders = (path for path in self.folder.iterdir() if SAFE_NAME.fullmatch(path.name))
        return frozenset(path.name for path in folders if (path / ADAPTER_WEIGHTS).is_file())

    def sha256(self, name: str) -> str:
        """Of its weights, as they are now (hex)."""
        return sha256_of(self.folder / name / ADAPTER_WEIGHTS)

    def passport_sha256(self, name: str) -> str | None:
        """What the passport beside them says of its weights; None where there is no passport that can be read."""
        try:
            return read_passport(self.folder / name).sha256
        except (FileNotFoundError, ValidationError):
            return None
