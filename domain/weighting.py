"""How the weights of pairs act in a training, and which pairs it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nsmallest
from operator import itemgetter
from typing import TypeVar
from uuid import UUID

WEIGHED_LOSS = "loss/2"
"""How a pair's weight acts: by it the pair is among the `heaviest`, of equal ones by lot, and its loss is multiplied by
it before the mean over the batch. Before, it was `loss/1`, see BEFORE_LOTS, and at first `sampling/1`: a pair was drawn
as often as it weighed."""

BEFORE_LOTS = "loss/1"
"""The same loss, but of equal pairs the earlier ones in the file were taken. It stays the default of what events hold,
as part of their form."""


T = TypeVar("T")


def lot_of(preference: UUID) -> bytes:
    """A pair's, by its id: the lower half, which is random or a hash, and does not tell when the pair was proposed."""
    return preference.bytes[8:]


def heaviest(pairs: Iterable[T], weight: Callable[[T], float], lot: Callable[[T], bytes], limit: int) -> list[T]:
    """What a training takes: the `limit` pairs that weigh most, in their own order; of equal ones those with the lowest
    lot, since a file may be sorted. Weight 0 is never taken. No others are kept in memory."""
    weighed = ((-weight(pair), lot(pair), number, pair) for number, pair in enumerate(pairs))
    taken = nsmallest(limit, (each for each in weighed if each[0] < 0), key=itemgetter(0, 1, 2))
    return [pair for *_, pair in sorted(taken, key=itemgetter(2))]
