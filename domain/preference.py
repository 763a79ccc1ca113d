"""A preference: of two answers to one prompt, which one is better, who says so, and how sure.

Proposed by agents' ballots or by hand, settled by people. Every opinion stays; the latest one counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid
from domain.model_call import Message


class Verdict(StrEnum):
    ACCEPTED = "accepted"
    FLIPPED = "flipped"
    EDITED = "edited"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Completion:
    """One way to go on from a prompt. It ends with an assistant's message; that of a task with several turns holds the
    user's later turns too. `agent` and `step` say who wrote it and where (None: written by hand)."""

    messages: tuple[Message, ...]
    agent: str | None = None
    step: UUID | None = None

    def ending_with(self, text: str) -> Completion:
        """The same, with another last message."""
        return replace(self, messages=(*self.messages[:-1], replace(self.messages[-1], content=text)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to go on from one prompt, the better one first."""

    prompt: tuple[Message, ...]
    chosen: Completion
    rejected: Completion

    def under(self, verdict: Verdict) -> Pair:
        """The pair as that verdict on it leaves it."""
        if verdict is Verdict.FLIPPED:
            return replace(self, chosen=self.rejected, rejected=self.chosen)
        return self


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a pair comes from: the run and the ballots on its two answers."""

    run: UUID
    ballots: tuple[UUID, ...]


class Preference(BaseAggregate[UUID]):
    TOPIC = "preference"

    class Event(AggregateEvent):
        pass

    class Proposed(Event, CanInitAggregate[UUID]):
        """`method` is the ranking that says so, e.g. `bradley-terry/1`, or `by-hand/1`."""

        TOPIC = "preference.proposed"
        originator_topic: str
        pair: Pair
        probability: float
        margin: float
        method: str
        lineage: Lineage | None

    class Annotated(Event):
        """Somebody's opinion, and the pair as it stands under it."""

        TOPIC = "preference.annotated"
        verdict: Verdict
        pair: Pair
        note: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.verdict = self.verdict
            aggregate.pair = self.pair

    class Revised(Event):
        """Somebody rewrote the answers; `pair` is what they wrote."""

        TOPIC = "preference.revised"
        pair: Pair
        note: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.verdict = Verdict.EDITED
            aggregate.pair = self.pair

    class Withdrawn(Event):
        TOPIC = "preference.withdrawn"
        reason: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.withdrawn = True

    def __init__(self, pair: Pair, probability: float) -> None:
        self.proposed = self.pair = pair
        self.probability = probability
        self.verdict: Verdict | None = None
        self.withdrawn = False

    @classmethod
    def propose(
        cls,
        id: UUID,
        pair: Pair,
        probability: float,
        margin: float,
        method: str,
        lineage: Lineage | None,
        at: datetime,
    ) -> Self:
        """`probability` that chosen beats rejected, in (0.5, 1], by the named `method`. Raises Invalid."""
        if not 0.5 < probability <= 1:
            raise Invalid(f"probability {probability} does not prefer one answer; it must lie in (0.5, 1]")
        _must_be_a_choice(pair)
        return cls._create(
            cls.Proposed,
            id=id,
            pair=pair,
            probability=probability,
            margin=margin,
            method=method,
            lineage=lineage,
            timestamp=at,
        )

    def annotate(self, verdict: Verdict, note: str, at: datetime) -> None:
        """An opinion on the pair as proposed. It replaces the one before and forgets nothing; the same verdict again is
        a second opinion, perhaps another person's, and is kept too.

        Raises AlreadyDone when the preference was withdrawn, Invalid for `edited` (that is what `revise` records).
        """
        self._must_stand()
        if verdict is Verdict.EDITED:
            raise Invalid("an edit needs the new texts")
        pair = self.proposed.under(verdict)
        self.trigger_event(self.Annotated, verdict=verdict, pair=pair, note=note, timestamp=at)

    def revise(self, chosen: str, rejected: str | None, note: str, at: datetime) -> None:
        """Rewrites the last message of the chosen completion, and of the rejected one where given.

        Raises AlreadyDone when the preference was withdrawn, Invalid when the two would be the same or one is empty.
        """
        self._must_stand()
        pair = replace(
            self.pair,
            chosen=self.pair.chosen.ending_with(chosen),
            rejected=self.pair.rejected if rejected is None else self.pair.rejected.ending_with(rejected),
        )
        _must_be_a_choice(pair)
        if pair != self.pair:
            self.trigger_event(self.Revised, pair=pair, note=note, timestamp=at)

    def withdraw(self, reason: str, at: datetime) -> None:
        """Takes the preference out of every later dataset. Its history stays."""
        if not self.withdrawn:
            self.trigger_event(self.Withdrawn, reason=reason, timestamp=at)

    def _must_stand(self) -> None:
        if self.withdrawn:
            raise AlreadyDone("the preference was withdrawn; propose a new one")


def weight(probability: float, verdict: Verdict | None) -> float:
    """How much a pair counts in training, from 0 (a coin toss) to 1 (certain, or settled by an annotator)."""
    return 1.0 if verdict else 2 * probability - 1


def _must_be_a_choice(pair: Pair) -> None:
    chosen, rejected = pair.chosen.messages, pair.rejected.messages
    if chosen == rejected:
        raise Invalid("chosen and rejected are the same answer")
    for name, messages in (("prompt", pair.prompt), ("chosen", chosen), ("rejected", rejected)):
        if not messages or not messages[-1].content.strip():
            raise Invalid(f"{name} is empty")
    for name, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1].role != "assistant":
            raise Invalid(
                f"{name} must end with what the assistant says, not with a message of the {messages[-1].role}"
            )
