"""A preference: of two answers to one prompt, which one is better, who says so, and how sure.

Proposed by agents' ballots, by hand or from a file, settled by people. Every opinion stays; of each person the latest
one counts.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.doubt import Support, in_doubt
from domain.errors import AlreadyDone, Invalid
from domain.opinion import (
    IN_QUEUE,
    NOBODY_SPOKE,
    Consensus,
    Opinion,
    Scores,
    Standing,
    in_force,
    settle,
    without_last_of,
)
from domain.pair import Completion, Lineage, Pair, Source, Verdict, must_be_a_choice, must_prefer, weight

__all__ = ["Completion", "Lineage", "Pair", "Preference", "Source", "Verdict", "must_be_a_choice", "weight"]


class Preference(BaseAggregate[UUID]):
    TOPIC = "preference"

    class Event(AggregateEvent):
        pass

    class Proposed(Event, CanInitAggregate[UUID]):
        """`method` is the ranking that says so, e.g. `bradley-terry/1`, or `by-hand/1`, or the policy by which it was
        imported, e.g. `imported/trl/1`; then it has a `source`. `support` is what its ballots say, None where there
        are none or nobody counted."""

        TOPIC = "preference.proposed"
        class_version = 3
        originator_topic: str
        pair: Pair
        probability: float
        margin: float
        method: str
        lineage: Lineage | None
        source: Source | None
        support: Support | None

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """Nothing was imported yet."""
            return data | {"source": None}

        @staticmethod
        def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
            """Nobody counted."""
            return data | {"support": None}

        @property
        def in_doubt(self) -> bool:
            """Whether its ballots agree so little that people must settle it."""
            return self.source is None and in_doubt(self.probability, self.support)

    class Annotated(Event):
        """Somebody's verdict, and the pair as it stands since, which others may have decided otherwise."""

        TOPIC = "preference.annotated"
        class_version = 2
        verdict: Verdict
        pair: Pair
        note: str
        annotator: str | None
        scores: Scores | None
        consensus: Consensus

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """Whoever spoke last decided alone."""
            verdict = data["verdict"]
            state = "rejected" if verdict == "rejected" else "settled"
            return data | {"annotator": None, "scores": None, "consensus": _alone(state, verdict, verdict)}

        def apply(self, aggregate: Preference) -> None:
            said = Opinion(self.annotator, self.verdict, self.verdict, self.scores)
            aggregate._heard(said, self.consensus, self.pair)

    class Revised(Event):
        """Somebody rewrote the answers: `pair` is what they wrote, and `choice` says whether the one that was proposed
        as better is still it. The pair stands as `standing`, None: as they wrote it."""

        TOPIC = "preference.revised"
        class_version = 2
        pair: Pair
        note: str
        annotator: str | None
        choice: Verdict
        scores: Scores | None
        standing: Pair | None
        consensus: Consensus

        @staticmethod
        def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
            """Whoever spoke last decided alone. What was flipped before the edit counts as accepted: it is replaced by
            the next opinion anyway."""
            alone = _alone("settled", "edited", "accepted")
            return data | {
                "annotator": None,
                "choice": "accepted",
                "scores": None,
                "standing": None,
                "consensus": alone,
            }

        def apply(self, aggregate: Preference) -> None:
            said = Opinion(self.annotator, Verdict.EDITED, self.choice, self.scores, self.pair)
            aggregate._heard(said, self.consensus, self.standing or self.pair)

    class Undone(Event):
        """Somebody took back their latest opinion. `again` is the one before it, which counts again, None where there
        is none; `pair` as it stands since."""

        TOPIC = "preference.undone"
        annotator: str
        reason: str
        again: Opinion | None
        pair: Pair
        consensus: Consensus

        def apply(self, aggregate: Preference) -> None:
            aggregate.said = without_last_of(aggregate.said, self.annotator)
            aggregate.consensus, aggregate.pair = self.consensus, self.pair

    class Skipped(Event):
        """Somebody does not want to judge it: it is not offered to them any more, nor assigned to them."""

        TOPIC = "preference.skipped"
        annotator: str
        reason: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.skipped_by |= {self.annotator}
            aggregate.assigned_to -= {self.annotator}

    class Assigned(Event):
        """Somebody shall judge it, even if they skipped it or spoke before."""

        TOPIC = "preference.assigned"
        annotator: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.assigned_to |= {self.annotator}
            aggregate.skipped_by -= {self.annotator}

    class Unassigned(Event):
        TOPIC = "preference.unassigned"
        annotator: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.assigned_to -= {self.annotator}

    class Noted(Event):
        """Somebody wrote something down, and judged nothing."""

        TOPIC = "preference.noted"
        annotator: str
        note: str

        def apply(self, aggregate: Preference) -> None:
            """It decides nothing."""

    class Withdrawn(Event):
        TOPIC = "preference.withdrawn"
        reason: str

        def apply(self, aggregate: Preference) -> None:
            aggregate.withdrawn = True

    def __init__(self, pair: Pair, probability: float, source: Source | None) -> None:
        self.proposed = self.pair = pair
        self.probability = probability
        self.source = source
        self.said: tuple[Opinion, ...] = ()
        self.consensus = NOBODY_SPOKE
        self.skipped_by = frozenset[str]()
        self.assigned_to = frozenset[str]()
        self.withdrawn = False

    @property
    def verdict(self) -> Verdict | None:
        """The one that counts."""
        return self.consensus.verdict

    @property
    def state(self) -> Standing:
        """Where it stands by what people say of it."""
        return self.consensus.state if self.consensus.by or not self.source else Standing.IMPORTED

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
        source: Source | None = None,
        support: Support | None = None,
    ) -> Self:
        """`probability` that chosen beats rejected, in (0.5, 1], by the named `method`. Raises Invalid."""
        must_prefer(probability)
        must_be_a_choice(pair)
        return cls._create(
            cls.Proposed,
            id=id,
            pair=pair,
            probability=probability,
            margin=margin,
            method=method,
            lineage=lineage,
            source=source,
            support=support,
            timestamp=at,
        )

    def annotate(
        self,
        verdict: Verdict,
        note: str,
        at: datetime,
        annotator: str | None = None,
        scores: Scores | None = None,
        wanted: int = 1,
    ) -> None:
        """An opinion on the pair as proposed. It replaces the annotator's own before it and forgets nothing; the same
        verdict again is kept too. `wanted`: how many annotators the pair wants.

        Raises AlreadyDone when the preference was withdrawn, Invalid for `edited` (that is what `revise` records).
        """
        self._must_stand()
        if verdict is Verdict.EDITED:
            raise Invalid("an edit needs the new texts")
        opinion = Opinion(annotator, verdict, verdict, scores)
        consensus, pair = settle(self.proposed, (*self.said, opinion), wanted)
        self.trigger_event(
            self.Annotated,
            verdict=verdict,
            pair=pair,
            note=note,
            annotator=annotator,
            scores=scores,
            consensus=consensus,
            timestamp=at,
        )

    def revise(
        self,
        chosen: str,
        rejected: str | None,
        note: str,
        at: datetime,
        annotator: str | None = None,
        scores: Scores | None = None,
        wanted: int = 1,
    ) -> None:
        """Rewrites the last message of the chosen completion, and of the rejected one where given: of the pair as most
        people prefer it, else as the annotator does. As an opinion it says that the chosen one, so
        written, is better.

        Raises AlreadyDone when the preference was withdrawn, Invalid when the two would be the same or one is empty,
        and where nothing is changed.
        """
        self._must_stand()
        choice, seen = self._as_seen_by(annotator)
        words = replace(
            seen,
            chosen=seen.chosen.ending_with(chosen),
            rejected=seen.rejected if rejected is None else seen.rejected.ending_with(rejected),
        )
        must_be_a_choice(words)
        if words == seen:
            raise Invalid("nothing is changed; change a text, or accept the pair")
        opinion = Opinion(annotator, Verdict.EDITED, choice, scores, words)
        consensus, pair = settle(self.proposed, (*self.said, opinion), wanted)
        self.trigger_event(
            self.Revised,
            pair=words,
            note=note,
            annotator=annotator,
            choice=choice,
            scores=scores,
            standing=None if pair == words else pair,
            consensus=consensus,
            timestamp=at,
        )

    def _as_seen_by(self, annotator: str | None) -> tuple[Verdict, Pair]:
        """Which of the two proposed answers is the better one, and both in the words in force: an edit changes words,
        and not what its author said of the answers."""
        own = next((opinion for opinion in in_force(self.said) if opinion.annotator == annotator), None)
        if own is None or self.consensus.choice in (Verdict.ACCEPTED, Verdict.FLIPPED):
            return _better(self.consensus.choice), self.pair
        return _better(own.choice), own.words or self.proposed.under(_better(own.choice))

    def undo(self, annotator: str, reason: str, at: datetime) -> None:
        """Takes back that annotator's latest opinion; what they said before it counts again. Both stay in the history.

        Raises AlreadyDone where they have said nothing that counts, and when the preference was withdrawn.
        """
        self._must_stand()
        said = without_last_of(self.said, annotator)
        if said == self.said:
            raise AlreadyDone("you have said nothing of this pair that could be taken back")
        consensus, pair = settle(self.proposed, said, self.consensus.wanted)
        again = next((opinion for opinion in reversed(said) if opinion.annotator == annotator), None)
        self.trigger_event(
            self.Undone,
            annotator=annotator,
            reason=reason,
            again=again,
            pair=pair,
            consensus=consensus,
            timestamp=at,
        )

    def skip(self, annotator: str, reason: str, at: datetime) -> None:
        """It is not offered to that annotator any more. Raises AlreadyDone when the preference was withdrawn."""
        self._must_stand()
        if annotator not in self.skipped_by:
            self.trigger_event(self.Skipped, annotator=annotator, reason=reason, timestamp=at)

    def assign(self, annotator: str, at: datetime) -> None:
        """It comes first in that annotator's queue until they have judged it. Raises AlreadyDone when the preference
        was withdrawn, and where it is in nobody's queue."""
        self._must_stand()
        if self.state not in IN_QUEUE:
            raise AlreadyDone(f"the pair is {self.state}; nobody is asked about it")
        if annotator not in self.assigned_to:
            self.trigger_event(self.Assigned, annotator=annotator, timestamp=at)

    def unassign(self, annotator: str, at: datetime) -> None:
        """It is one among others in their queue."""
        if annotator in self.assigned_to:
            self.trigger_event(self.Unassigned, annotator=annotator, timestamp=at)

    def remark(self, annotator: str, note: str, at: datetime) -> None:
        """A note without a verdict, on a withdrawn preference too. Raises Invalid where it says nothing."""
        if not note.strip():
            raise Invalid("the note says nothing")
        self.trigger_event(self.Noted, annotator=annotator, note=note, timestamp=at)

    def withdraw(self, reason: str, at: datetime) -> None:
        """Takes the preference out of every later dataset. Its history stays."""
        if not self.withdrawn:
            self.trigger_event(self.Withdrawn, reason=reason, timestamp=at)

    def _heard(self, opinion: Opinion, consensus: Consensus, pair: Pair) -> None:
        self.said = (*self.said, opinion)
        self.consensus, self.pair = consensus, pair
        if opinion.annotator:
            self.assigned_to -= {opinion.annotator}

    def _must_stand(self) -> None:
        if self.withdrawn:
            raise AlreadyDone("the preference was withdrawn; propose a new one")


def _alone(state: str, verdict: str, choice: str) -> dict[str, Any]:
    """A consensus of one, as it is stored."""
    return {"state": state, "verdict": verdict, "choice": choice, "by": [None], "wanted": 1}


def _better(choice: Verdict | None) -> Verdict:
    """Which answer an edit after that choice makes the better one: the proposed one, unless the other was chosen."""
    return Verdict.FLIPPED if choice is Verdict.FLIPPED else Verdict.ACCEPTED
