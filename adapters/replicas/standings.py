"""How the replicas stand, left in NATS by whoever looks after them, for all others: it is true for seconds, and no
event. Where nobody looks after them, nothing is there."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from adapters.kv import Bucket
from adapters.locked_values import Cache
from domain.serving import ReplicaStanding

BUCKET = Bucket("serving", seconds=30, most_bytes=2**20)
_QUESTION = {"about": "replicas", "form": 1}
_STANDINGS = TypeAdapter(list[ReplicaStanding])


class Standings:
    """Shared by all who have the cache's secret."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def tell(self, standings: Sequence[ReplicaStanding]) -> None:
        """In place of what was told before."""
        await self._cache.keep(_QUESTION, _STANDINGS.dump_json(list(standings)))

    def told(self) -> list[ReplicaStanding] | None:
        """None where nobody has told anything for a while, or NATS is away."""
        told = self._cache.get(_QUESTION)
        try:
            return None if told is None else _STANDINGS.validate_json(told)
        except ValidationError:  # another release's
            return None
