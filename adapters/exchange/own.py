"""Our own export: TRL's explicit conversational columns, and ours. A pair keeps the weight that it had, and is known
again by `preference_id`, unless somebody took that out."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from adapters.exchange import trl
from adapters.exchange.fields import Raw, Unfit, name, number, text
from domain.importing import Judgment, Tie


def recognises(raw: Raw) -> bool:
    """Whether it has our columns, with or without `preference_id`."""
    return raw.keys() >= {"prompt", "chosen", "rejected", "weight", "method"}


def judgment(raw: Raw) -> Judgment | Tie:
    """Raises Unfit."""
    pair, weight = trl.pair(raw), number(raw, "weight")
    if not 0 < weight <= 1:
        raise Unfit(f"weight is {weight:g}; it must be more than 0, and at most 1")
    by, other = (name(raw, f"{which}_agent") for which in ("chosen", "rejected"))
    authored = replace(pair, chosen=replace(pair.chosen, agent=by), rejected=replace(pair.rejected, agent=other))
    return Judgment(authored, probability=(1 + weight) / 2, known_as=_preference(raw))


def _preference(raw: Raw) -> UUID | None:
    if raw.get("preference_id") is None:
        return None
    try:
        return UUID(text(raw, "preference_id"))
    except ValueError as error:
        raise Unfit("preference_id is no id") from error
