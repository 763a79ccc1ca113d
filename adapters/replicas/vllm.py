"""vLLM, which loads whatever it is told to: so the files are checked here before it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapters.replicas.listing import listing_of
from adapters.replicas.lora_api import LoraApi, ModelCard
from domain.lora_weights import Weights
from domain.serving import OTHER_WEIGHTS, Listing

Check = Callable[[str, Weights], None]
"""Of an adapter's name and weights. Raises NotLoaded where its files are not to be loaded."""


@dataclass(frozen=True, slots=True)
class VllmReplica:
    """Fulfils domain.serving.Replica. `root`: the folder of all adapters, as the server sees it."""

    api: LoraApi
    base: str
    root: str
    check: Check
    kind: str = "vllm"

    @property
    def name(self) -> str:
        return self.api.url

    async def listing(self) -> Listing:
        """What it serves now. It does not know the weights, but where they came from."""
        return await listing_of(self.api, self.base, self._weights, "--served-model-name")

    async def load(self, name: str, weights: Weights) -> None:
        """From the folder of that name below `root`, whose files are those that were checked here."""
        await asyncio.to_thread(self.check, name, weights)
        await self.api.load({"lora_name": name, "lora_path": self._path(name)})

    async def unload(self, name: str) -> None:
        await self.api.unload(name)

    def _weights(self, card: ModelCard) -> Weights | None:
        return None if card.root == self._path(card.id) else OTHER_WEIGHTS

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"
