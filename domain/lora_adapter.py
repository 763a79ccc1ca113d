"""A LoRA adapter: immutable weights under a name `alias@revision`, promoted for use and retired from it.

The alias of an agent's configuration means the adapter of that alias that was promoted last and is not retired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID, uuid5

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid
from domain.training_config import TrainingConfig, before_auto

_NAMESPACE = UUID("6b0a4f5c-5d6b-5b8e-9d5a-2c9f4f6f7a11")
_ALIAS = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")


def adapter_name(alias: str, revision: int) -> str:
    """E.g. `team@1`. Raises Invalid for an alias that is no plain word, since the name is a folder's too."""
    if not _ALIAS.fullmatch(alias):
        raise Invalid(f"adapter alias {alias!r} must be up to 48 of a-z, 0-9 and -, e.g. team")
    return f"{alias}@{revision}"


def adapter_id(name: str) -> UUID:
    """One adapter a name."""
    return uuid5(_NAMESPACE, name)


@dataclass(frozen=True, slots=True)
class Passport:
    """What made an adapter. `sha256` and `base_sha256` are those of the weights; `position` that of the data. `config`
    names the precision that it was computed in."""

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
        class_version = 2
        name: str
        passport: Passport

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            passport = data["passport"]
            return data | {"passport": passport | {"config": before_auto(passport["config"])}}

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.passport = self.passport

    class Promoted(Event):
        """From here on the alias means this adapter."""

        TOPIC = "lora_adapter.promoted"
        name: str
        alias: str
        reason: str

    class Retired(Event):
        TOPIC = "lora_adapter.retired"
        name: str
        reason: str

        def apply(self, aggregate: LoraAdapter) -> None:
            aggregate.retired = True

    def __init__(self, name: str, training_run: UUID) -> None:
        self.name = name
        self.training_run = training_run
        self.passport: Passport | None = None
        self.retired = False

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

    def promote(self, reason: str, at: datetime) -> None:
        """Puts the adapter to use, or back to use. Raises AlreadyDone (retired), Invalid (not there)."""
        alias = self._must_be_there().alias
        if self.retired:
            raise AlreadyDone(f"{self.name} is retired; promote another adapter or train a new one")
        self.trigger_event(self.Promoted, name=self.name, alias=alias, reason=reason, timestamp=at)

    def retire(self, reason: str, at: datetime) -> None:
        """Takes the adapter out of use for good. A repeat changes nothing. Raises Invalid before it is there."""
        self._must_be_there()
        if not self.retired:
            self.trigger_event(self.Retired, name=self.name, reason=reason, timestamp=at)

    def _must_be_there(self) -> Passport:
        if self.passport is None:
            raise Invalid(f"{self.name} is not trained: its training has not ended well (yet)")
        return self.passport
