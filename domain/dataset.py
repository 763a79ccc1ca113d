"""A dataset: the preference pairs as they stood at a position. The same position and filter give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from eventsourcing.domain import AggregateEvent, BaseAggregate, CanInitAggregate

from domain.errors import AlreadyDone, Invalid
from domain.events import Recorded
from domain.preference import Lineage, Pair, Preference, Verdict, weight


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pairs to take. `min_weight` in [0, 1]; `annotated_only` leaves out what nobody has settled; `runs`, where
    given, takes the pairs of these runs only."""

    min_weight: float = 0.0
    annotated_only: bool = False
    runs: tuple[UUID, ...] = ()


class Dataset(BaseAggregate[UUID]):
    TOPIC = "dataset"

    class Event(AggregateEvent):
        pass

    class Requested(Event, CanInitAggregate[UUID]):
        """`position`: the last event that the dataset may know of."""

        TOPIC = "dataset.requested"
        originator_topic: str
        position: int
        filter: Filter

    class Built(Event):
        """`sha256` and `size` (bytes) of the JSON Lines; `pairs` and how many of them were settled by an annotator."""

        TOPIC = "dataset.built"
        pairs: int
        annotated: int
        sha256: str
        size: int

        def apply(self, aggregate: Dataset) -> None:
            aggregate.pairs = self.pairs
            aggregate.sha256 = self.sha256

    def __init__(self, position: int, filter: Filter) -> None:
        self.position = position
        self.filter = filter
        self.pairs = 0
        self.sha256: str | None = None

    @classmethod
    def request(cls, id: UUID, position: int, head: int, filter: Filter, at: datetime) -> Self:
        """Raises Invalid for a position beyond the log's `head` or a weight outside [0, 1]."""
        if not 0 <= position <= head:
            raise Invalid(f"position {position} is not in the log, which ends at {head}")
        if not 0 <= filter.min_weight <= 1:
            raise Invalid(f"min_weight {filter.min_weight} must lie in [0, 1]")
        return cls._create(cls.Requested, id=id, position=position, filter=filter, timestamp=at)

    def built(self, pairs: int, annotated: int, sha256: str, size: int, at: datetime) -> None:
        """The file is written. Building it again must give the same bytes; raises AlreadyDone if it did not."""
        if self.sha256 is None:
            self.trigger_event(self.Built, pairs=pairs, annotated=annotated, sha256=sha256, size=size, timestamp=at)
        elif self.sha256 != sha256:
            raise AlreadyDone(f"the dataset was built with hash {self.sha256}, but now gives {sha256}")


@dataclass(frozen=True, slots=True)
class Row:
    """One pair of a dataset: TRL's explicit conversational columns, then ours. `position` is its last event's."""

    pair: Pair
    weight: float
    preference_id: UUID
    verdict: Verdict | None
    method: str
    probability: float
    lineage: Lineage | None
    position: int

    def as_json(self) -> dict[str, Any]:
        pair = self.pair
        return {
            "prompt": [asdict(message) for message in pair.prompt],
            "chosen": [asdict(message) for message in pair.chosen.messages],
            "rejected": [asdict(message) for message in pair.rejected.messages],
            "weight": self.weight,
            "preference_id": str(self.preference_id),
            "verdict": self.verdict.value if self.verdict else None,
            "method": self.method,
            "probability": self.probability,
            "run_id": str(self.lineage.run) if self.lineage else None,
            "chosen_step": str(pair.chosen.step) if pair.chosen.step else None,
            "rejected_step": str(pair.rejected.step) if pair.rejected.step else None,
            "position": self.position,
        }


def rows(events: Iterable[Recorded], filter: Filter) -> list[Row]:
    """The pairs that these events leave standing, in the order in which they were proposed.

    `events`: all preference events up to the dataset's position, in order.
    """
    found: dict[UUID, Row] = {}
    for recorded in events:
        event, position = recorded.event, recorded.position
        id = event.originator_id
        match event:
            case Preference.Proposed():
                found[id] = Row(
                    pair=event.pair,
                    weight=weight(event.probability, None),
                    preference_id=id,
                    verdict=None,
                    method=event.method,
                    probability=event.probability,
                    lineage=event.lineage,
                    position=position,
                )
            case Preference.Annotated():
                found[id] = _settled(found[id], event.pair, event.verdict, position)
            case Preference.Revised():
                found[id] = _settled(found[id], event.pair, Verdict.EDITED, position)
            case Preference.Withdrawn():
                del found[id]
    return [row for row in found.values() if _wanted(row, filter)]


def json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """The rows as canonical JSON Lines (sorted keys, UTF-8, no spare spaces), so that equal rows are equal bytes."""
    for row in rows:
        line = json.dumps(row.as_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        yield line.encode() + b"\n"


def _settled(row: Row, pair: Pair, verdict: Verdict, position: int) -> Row:
    return replace(row, pair=pair, verdict=verdict, weight=weight(row.probability, verdict), position=position)


def _wanted(row: Row, filter: Filter) -> bool:
    return (
        row.verdict is not Verdict.REJECTED
        and row.weight >= filter.min_weight
        and (row.verdict is not None or not filter.annotated_only)
        and (not filter.runs or (row.lineage is not None and row.lineage.run in filter.runs))
    )
