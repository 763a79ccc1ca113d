"""What a model server should serve, what it says it serves, and what makes the one of the other.

The registry says what should be: the adapters that are registered and not retired, for the server's base model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.lora_weights import LoraForm, Weights

OTHER_WEIGHTS = Weights("", LoraForm(0, 0, frozenset()))
"""Where all that is known is that they cannot be the right ones."""


@dataclass(frozen=True, slots=True)
class Servable:
    """An adapter that may be asked for: its weights, and the base model that they change."""

    weights: Weights
    base: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a replica says it serves: its base models, and its adapters with their weights, None where it cannot
    tell."""

    bases: frozenset[str]
    adapters: Mapping[str, Weights | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Names to unload, and then names to load; one whose weights are wrong is in both."""

    unload: tuple[str, ...] = ()
    load: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unload or self.load)


def wanted_on(registered: Mapping[str, Servable], base: str) -> dict[str, Weights]:
    """Of each adapter that a server of that base model should serve, by its name."""
    return {name: adapter.weights for name, adapter in registered.items() if adapter.base == base}


def plan(wanted: Mapping[str, Weights], listing: Listing) -> Plan:
    """What makes the replica serve its base models and the wanted adapters, and nothing else."""
    served = {name: weights for name, weights in listing.adapters.items() if name not in listing.bases}
    wrong = {name for name, weights in served.items() if weights is not None and weights != wanted.get(name)}
    unload = wrong | (served.keys() - wanted.keys())
    load = (wanted.keys() - listing.bases - served.keys()) | (wrong & wanted.keys())
    return Plan(tuple(sorted(unload)), tuple(sorted(load)))


class ReplicaAway(Exception):
    """The replica does not answer, or is not what it should be; the text says what to do."""


class NotLoaded(Exception):
    """The replica does not serve that adapter; the text says why."""


class Replica(Protocol):
    """One model server. `base` is the base model whose adapters it should serve."""

    @property
    def name(self) -> str:
        """Where it is, as people may see it."""

    @property
    def kind(self) -> str:
        """E.g. `embedded`."""

    @property
    def base(self) -> str: ...

    async def listing(self) -> Listing:
        """What it serves now. Raises ReplicaAway, also where it serves another base model."""

    async def load(self, name: str, weights: Weights) -> None:
        """Serve that adapter, which must have these weights. Raises NotLoaded and ReplicaAway."""

    async def unload(self, name: str) -> None:
        """Serve it no more; one that it does not serve is no error. Raises NotLoaded and ReplicaAway."""


class ServingState(StrEnum):
    """`behind`: it serves something else than it should. `away`: nobody knows what it serves."""

    IN_STEP = "in_step"
    BEHIND = "behind"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class ReplicaStanding:
    """How a replica stands. `since` then it is in that state; `refused` says of adapters that it does not serve why;
    `error` why it is away, empty otherwise."""

    replica: str
    kind: str
    base: str
    state: ServingState
    since: datetime
    looked_at: datetime
    wanted: Sequence[str] = ()
    served: Sequence[str] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
