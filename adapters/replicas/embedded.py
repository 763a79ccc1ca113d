"""Our own model server: it checks an adapter's files itself, and says which weights it serves."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.replicas.listing import listing_of
from adapters.replicas.lora_api import LoraApi
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
        return await listing_of(self.api, self.base, lambda card: card.sha256, "CARAVAN_BASE_MODEL")

    async def load(self, name: str, sha256: str) -> None:
        """From the folder of that name among its adapters."""
        await self.api.load({"lora_name": name, "lora_path": name, "sha256": sha256})

    async def unload(self, name: str) -> None:
        await self.api.unload(name)
