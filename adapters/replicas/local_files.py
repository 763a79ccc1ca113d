"""The adapters' files on this machine, checked as our own model server checks them, for servers that do not."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from adapters.artifacts import ADAPTER_CONFIG, ADAPTER_WEIGHTS, sha256_of
from adapters.lora_passport import MODEL_CARD_FILE, PASSPORT_FILE
from domain.lora_weights import Weights
from domain.serving import NotLoaded

OWN_FILES = {ADAPTER_WEIGHTS, ADAPTER_CONFIG, PASSPORT_FILE, MODEL_CARD_FILE}
"""vLLM takes a tokenizer, a chat template and embeddings from an adapter's folder, where they are."""

if TYPE_CHECKING:
    from adapters.model_server.adapter_folder import AdapterFolder


class LocalFiles:
    """Of the adapters in `folder`, for the base model in `base_dir`, of which config.json is enough; its weights
    are compared where they are there. Thread-safe."""

    def __init__(self, folder: Path, base_dir: Path, base: str) -> None:
        self._folder = folder
        self._base_dir = base_dir
        self._base = base
        self._lock = Lock()
        self._adapters: AdapterFolder | None = None

    def check(self, name: str, weights: Weights) -> None:
        """Raises NotLoaded, saying why, where the files are not safe, not for that base, or hold other weights."""
        try:
            self._must_be_fit(name, weights)
        except (OSError, ValueError, ImportError) as error:
            raise NotLoaded(f"adapters for {self._base} cannot be checked: {error}") from error

    def _must_be_fit(self, name: str, weights: Weights) -> None:
        from adapters.model_server.errors import ApiError

        try:
            adapter = self._known().find(name)
            adapter.must_have(weights.sha256, weights.form)
        except ApiError as refusal:
            raise NotLoaded(refusal.message) from refusal
        if more := {file.name for file in adapter.folder.iterdir()} - OWN_FILES:
            raise NotLoaded(f"adapter {name!r} is refused: {min(more)} is not an adapter's own, and vLLM may read it")

    def _known(self) -> AdapterFolder:
        with self._lock:
            if self._adapters is None:
                self._adapters = self._opened()
            return self._adapters

    def _opened(self) -> AdapterFolder:
        """Torch and transformers are imported here: seconds, once, and only where some server needs it."""
        if not (self._base_dir / "config.json").is_file():
            raise NotLoaded(f"adapters for {self._base} cannot be checked: put its config.json into {self._base_dir}")
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from adapters.model_server.adapter_folder import AdapterFolder
        from adapters.model_server.model import WEIGHTS_FILE, linear_layers

        config = AutoConfig.from_pretrained(self._base_dir, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
        layers = linear_layers(model)
        weights = self._base_dir / WEIGHTS_FILE
        return AdapterFolder(self._folder, self._base, layers, sha256_of(weights) if weights.is_file() else None)
