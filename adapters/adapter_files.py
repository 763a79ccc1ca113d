"""The adapters' folders as they lie on this machine, to be compared with what was registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from adapters.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, SAFE_NAME, sha256_of
from adapters.lora_passport import read_passport
from domain.lora_weights import LoraForm, Weights


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

    def weights(self, name: str) -> Weights | None:
        """As they are now; None where nothing readable says how they act."""
        folder = self.folder / name
        try:
            form = _FORM.validate_json((folder / ADAPTER_CONFIG).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
        return Weights(sha256_of(folder / ADAPTER_WEIGHTS), form)

    def passport(self, name: str) -> Weights | None:
        """What the passport beside them says they are; None where there is none that can be read."""
        try:
            passport = read_passport(self.folder / name)
        except (FileNotFoundError, ValidationError):
            return None
        return Weights(passport.sha256, passport.config.form)


_FORM = TypeAdapter(LoraForm)
