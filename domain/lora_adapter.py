"""A LoRA adapter: immutable weights under a name `alias@revision`, promoted for use and retired from it.

The alias of an agent's configuration, and `alias@production`, means the adapter of that alias that was promoted last
and stands: it is neither retired nor rolled back. One that was comes into use again only by another promotion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid, NotFound
from domain.events import Recorded
from domain.training import StartingPoint
from domain.training_config import TrainingConfig, before_auto, before_their_names
from domain.training_health import HealthCode
from domain.weighting import BEFORE_LOTS

_NAMESPACE = UUID("6b0a4f5c-5d6b-5b8e-9d5a-2c9f4f6f7a11")
_ALIAS = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_PRODUCTION = "@production"
"""As a revision: the adapter in use. No adapter has such a name, since revisions are numbers."""


def adapter_name(alias: str, revision: int) -> str:
    """E.g. `team@1`. Raises Invalid for an alias that is no plain word, since the name is a folder's too."""
    if not _ALIAS.fullmatch(alias):
        raise Invalid(f"adapter alias {alias!r} must be up to 48 of a-z, 0-9 and -, e.g. team")
    return f"{alias}@{revision}"


def adapter_id(name: str) -> UUID:
    """One adapter a name."""
    return uuid5(_NAMESPACE, name)


def alias_in_use(name: str) -> str | None:
    """`team` of `team@production`; None of a name that means one adapter for ever."""
    return name.removesuffix(_PRODUCTION) if name.endswith(_PRODUCTION) else None


def no_such_adapter(name: str) -> NotFound:
    """To be raised where none has that name, or `team@production` names none."""
    return NotFound("adapter in use as" if alias_in_use(name) else "adapter", name)


def alias_of(name: str) -> str:
    """`team` of `team`, `team@production` and `team@2`."""
    return name.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Passport:
    """What made an adapter. `sha256` and `base_sha256` are those of the weights; `position` that of the data. `config`
    names the precision that it was computed in, `weighting` how the pairs' weights acted. `start_from` is the adapter
    that it went on from; None: the base model alone. `stopped_by`: the warning that ended its training after `steps`;
    None: it came to its end. `made_with` names the versions and the machine; empty where nobody noted them."""

    alias: str
    revision: int
    sha256: str
    base_model: str
    base_sha256: str
    training_run: UUID
    dataset_id: UUID
    dataset_sha256: str
    position: int
    pairs: int
    config: TrainingConfig
    start_from: StartingPoint | None = None
    steps: int | None = None
    stopped_by: HealthCode | None = None
    weighting: str = BEFORE_LOTS
    made_with: dict[str, str] = field(default_factory=dict)


class LoraAdapter(BaseAggregate[UUID]):
    TOPIC = "lora_adapter"

    class Event(AggregateEvent):
        pass

    class Reserved(Event, CanInitAggregate[UUID]):
        """A training began that will make the adapter of this name, if it ends well. The name is never given again."""

        TOPIC = "lora_adapter.reserved"
        originator_topic: str
        name: str
        training_run: UUID

    class Registered(Event):
        """The weights are there."""

        TOPIC = "lora_adapter.registered"
        class_version = 4
        name: str
        passport: Passport

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            passport = data["passport"]
            return data | {"passport": passport | {"config": before_auto(passport["config"])}}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            passport = data["passport"]
            config = before_their_names(passport["config"])
            return data | {"passport": passport | {"config": config, "weighting": "sampling/1"}}

        @staticmethod
        def upcast_v3_v4(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"passport": data["passport"] | {"made_with": {}}}

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.passport = self.passport

    class Promoted(Event):
        """From here on the alias means this adapter. `evaluation`: the one that spoke for it; None: none was named."""

        TOPIC = "lora_adapter.promoted"
        class_version = 2
        name: str
        alias: str
        reason: str
        evaluation: UUID | None

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            return data | {"evaluation": None}

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.stands = True
            aggregate.rolled_back = False

    class RolledBack(Event):
        """It was in use, and is no more: the alias means what it meant before this adapter's promotion, `to`; None: the
        base model."""

        TOPIC = "lora_adapter.rolled_back"
        name: str
        alias: str
        reason: str
        to: str | None

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.stands = False
            aggregate.rolled_back = True

    class Retired(Event):
        TOPIC = "lora_adapter.retired"
        name: str
        reason: str

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.retired = True
            aggregate.stands = False

    def __init__(self, name: str, training_run: UUID) -> None:
        self.name = name
        self.training_run = training_run
        self.passport: Passport | None = None
        self.retired = False
        self.stands = False
        self.rolled_back = False

    @classmethod
    def reserve(cls, alias: str, revision: int, training_run: UUID, at: datetime) -> Self:
        """Keeps the name for what that training makes. The id follows from the name, so a name is reserved once."""
        name = adapter_name(alias, revision)
        return cls._create(cls.Reserved, id=adapter_id(name), name=name, training_run=training_run, timestamp=at)

    def register(self, passport: Passport, at: datetime) -> None:
        """Makes the trained weights known. Raises AlreadyDone, and Invalid for weights of another training or name."""
        if self.passport is not None:
            raise AlreadyDone(f"{self.name} is registered already")
        name = adapter_name(passport.alias, passport.revision)
        if (name, passport.training_run) != (self.name, self.training_run):
            raise Invalid(f"{self.name} is reserved for training run {self.training_run}")
        self.trigger_event(self.Registered, name=self.name, passport=passport, timestamp=at)

    def promote(self, reason: str, at: datetime, evaluation: UUID | None = None) -> None:
        """Puts the adapter to use, or back to use. Raises AlreadyDone (retired), Invalid (not there, or no reason)."""
        alias = self._must_be_there().alias
        if self.retired:
            raise AlreadyDone(f"{self.name} is retired; promote another adapter or train a new one")
        promoted = {"name": self.name, "alias": alias, "reason": _said(reason, "is promoted"), "evaluation": evaluation}
        self.trigger_event(self.Promoted, **promoted, timestamp=at)

    def roll_back(self, to: str | None, reason: str, at: datetime) -> None:
        """Undoes its promotion. `to`: what the alias means then. Raises AlreadyDone where it does not stand, Invalid
        without a reason."""
        alias = self._must_be_there().alias
        if not self.stands:
            raise AlreadyDone(f"{self.name} is not in use; there is nothing to roll back")
        rolled = {"name": self.name, "alias": alias, "reason": _said(reason, "is rolled back"), "to": to}
        self.trigger_event(self.RolledBack, **rolled, timestamp=at)

    def retire(self, reason: str, at: datetime) -> None:
        """Takes the adapter out of use for good. A repeat changes nothing. Raises Invalid before it is there."""
        self._must_be_there()
        if not self.retired:
            self.trigger_event(self.Retired, name=self.name, reason=reason, timestamp=at)

    def must_be_usable(self) -> Passport:
        """Its passport. Raises Invalid for one that is not trained yet, or is retired."""
        passport = self._must_be_there()
        if self.retired:
            raise Invalid(f"{self.name} is retired; choose another adapter")
        return passport

    def _must_be_there(self) -> Passport:
        if self.passport is None:
            raise Invalid(f"{self.name} is not there: its training goes on, has failed, or was cancelled")
        return self.passport


def standing(acts: Iterable[Recorded]) -> tuple[str, ...]:
    """The adapters of one alias whose promotion stands, after all that happened to them, in the log's order. The alias
    means the last one; a rollback makes it mean the one before that."""
    names: dict[str, None] = {}
    for recorded in acts:
        match recorded.event:
            case LoraAdapter.Promoted(name=name):
                names.pop(name, None)
                names[name] = None
            case LoraAdapter.RolledBack(name=name) | LoraAdapter.Retired(name=name):
                names.pop(name, None)
    return tuple(names)


def must_not_be_in_use(name: str, acts: Sequence[Recorded]) -> None:
    """Raises AlreadyDone where, after all that happened to the adapters of its alias, the alias means that one: another
    promotion would change nothing, and its reason would look like the one that counted."""
    if standing(acts)[-1:] == (name,):
        promotion = next(one for one in reversed(acts) if _is_promotion_of(name, one.event))
        when, who = promotion.event.timestamp, promotion.envelope.actor.subject
        raise AlreadyDone(f"{name} is in use already: {who} promoted it at {when:%Y-%m-%d %H:%M} UTC")


def _is_promotion_of(name: str, event: AggregateEvent) -> bool:
    return isinstance(event, LoraAdapter.Promoted) and event.name == name


def differences(one: Passport, other: Passport) -> list[str]:
    """Why the weights of two trainings on the same data need not be the same: what they were made of and with."""
    found = []
    for name in ("base_sha256", "dataset_sha256", "weighting", "config", "steps"):
        if getattr(one, name) != getattr(other, name):
            found.append(name)
    keys = sorted(one.made_with.keys() | other.made_with.keys())
    if not one.made_with or not other.made_with:
        return [*found, "nobody noted what one of them was made with"]
    return found + [
        f"{key}: {one.made_with.get(key, 'unknown')}, then {other.made_with.get(key, 'unknown')}"
        for key in keys
        if one.made_with.get(key) != other.made_with.get(key)
    ]


def _said(reason: str, what: str) -> str:
    if not reason.strip():
        raise Invalid(f"say why the adapter {what}: the reason stays in its history")
    return reason
