"""Our own model server: it checks an adapter's files itself, and says which weights it serves."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import to_jsonable_python

from adapters.replicas.listing import listing_of
from adapters.replicas.lora_api import LoraApi, ModelCard
from domain.lora_weights import Weights
from domain.serving import Listing


@dataclass(frozen=True, slots=True)
class EmbeddedReplica:
    """Fulfils domain.serving.Replica."""

    api: LoraApi
    base: str
    kind: str = "embedded"

    @property
    def name(self) -> str:
        return self.api.url

    async def listing(self) -> Listing:
        """What it serves now."""
        return await listing_of(self.api, self.base, _weights, "CARAVAN_BASE_MODEL")

    async def load(self, name: str, weights: Weights) -> None:
        """From the folder of that name among its adapters."""
        await self.api.load({"lora_name": name, "lora_path": name, **to_jsonable_python(weights)})

    async def unload(self, name: str) -> None:
        await self.api.unload(name)


def _weights(card: ModelCard) -> Weights | None:
    return Weights(card.sha256, card.form) if card.sha256 and card.form else None
