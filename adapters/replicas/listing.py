"""What a model server serves, by its own list of models."""

from __future__ import annotations

from collections.abc import Callable

from adapters.replicas.lora_api import LoraApi, ModelCard
from domain.lora_weights import Weights
from domain.serving import Listing, ReplicaAway

WeightsOf = Callable[[ModelCard], Weights | None]
"""An adapter's, as far as the server tells; None: it does not."""


async def listing_of(api: LoraApi, base: str, weights: WeightsOf, named_by: str) -> Listing:
    """Base models, and adapters with their weights. `named_by`: what gives the server's base model its name. Raises
    ReplicaAway, also for a server of another base model."""
    cards = await api.models()
    bases = frozenset(card.id for card in cards if card.parent is None)
    if base not in bases:
        raise ReplicaAway(
            f"{api.url} serves {', '.join(sorted(bases)) or 'nothing'}, and no {base}: mend its {named_by}, or `base` "
            "of this replica"
        )
    return Listing(bases, {card.id: weights(card) for card in cards if card.parent is not None})
