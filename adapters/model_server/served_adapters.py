"""The adapters that the server was told to serve. It forgets them when it ends: who told it once tells it again."""

from __future__ import annotations

import threading
from pathlib import Path

from adapters.model_server.adapter_check import Adapter
from adapters.model_server.adapter_folder import AdapterFolder
from adapters.model_server.errors import AdapterRefused, ApiError, BadRequest, ModelNotFound
from domain.lora_weights import LoraForm


class ServedAdapters:
    """By their names, which are those of their folders. Thread-safe; reads files, so call it outside the event loop."""

    def __init__(self, folder: AdapterFolder, base_name: str) -> None:
        self._folder = folder
        self._base_name = base_name
        self._served: dict[str, Adapter] = {}
        self._lock = threading.Lock()

    def load(
        self, name: str, path: str, sha256: str | None = None, form: LoraForm | None = None, in_place: bool = False
    ) -> Adapter:
        """Serve the adapter from now on. `path`: its folder among the server's adapters; `sha256` (hex): what its
        weights must be, and `form`: how they must act. Raises BadRequest where it is served already, ModelNotFound, and
        AdapterRefused."""
        self._must_be_ours(name, path)
        adapter = self._folder.find(name)
        adapter.must_have(sha256, form)
        with self._lock:
            if self._served.get(name) == adapter and not in_place:
                raise BadRequest(
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                    "set 'load_inplace' to True.",
                    "lora_name",
                )
            self._served[name] = adapter
        return adapter

    def unload(self, name: str) -> None:
        """Serve it no more; answers that have begun are finished. Raises ModelNotFound."""
        with self._lock:
            if self._served.pop(name, None) is None:
                raise ModelNotFound(f"The lora adapter '{name}' cannot be found.", "lora_name")

    def adapters(self) -> list[Adapter]:
        """Those that can be asked for now, by name: their files are still those that were loaded."""
        with self._lock:
            served = sorted(self._served.items())
        return [adapter for _, adapter in served if self._is_unchanged(adapter)]

    def find(self, name: str) -> Adapter:
        """Raises ModelNotFound, or AdapterRefused where its files are not those that were loaded."""
        with self._lock:
            served = self._served.get(name)
        if served is None:
            raise ModelNotFound(f"there is no model {name!r}; GET /v1/models lists those there are", "model")
        if self._folder.find(name) != served:
            raise AdapterRefused(f"adapter {name!r} is refused: its files changed since it was loaded", "model")
        return served

    def _is_unchanged(self, adapter: Adapter) -> bool:
        try:
            return self._folder.find(adapter.name) == adapter
        except ApiError:
            return False

    def _must_be_ours(self, name: str, path: str) -> None:
        if name == self._base_name:
            raise AdapterRefused(f"adapter {name!r} is refused: that is the base model's name", "lora_name")
        given = Path(path)
        beside = given.parent in (Path(), self._folder.path, self._folder.path.absolute())
        if given.name != name or not beside:
            raise AdapterRefused(
                f"adapter {name!r} is refused: lora_path {path!r} is not the folder of that name among this server's "
                "adapters; send the name itself",
                "lora_path",
            )
