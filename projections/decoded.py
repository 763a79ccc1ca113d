"""What the rows of the store hold, for projectors: events, and those that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from domain.events import Recorded
from domain.ports.events import StoredEvents, StoredRow
from projections.checkpoints import Poison

Found = Recorded | Poison


@dataclass(frozen=True, slots=True)
class Decoded(Sequence[Found]):
    """What these rows hold, decoded while somebody goes through it, and anew each time. So a long batch need not be in
    memory as events all at once."""

    events: StoredEvents
    rows: Sequence[StoredRow]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Found]:
        return map(self._found, self.rows)

    @overload
    def __getitem__(self, place: int) -> Found: ...
    @overload
    def __getitem__(self, place: slice) -> Decoded: ...
    def __getitem__(self, place: int | slice) -> Found | Decoded:
        if isinstance(place, slice):
            return Decoded(self.events, self.rows[place])
        return self._found(self.rows[place])

    def _found(self, row: StoredRow) -> Found:
        try:
            return self.events.decode(row)
        except Exception as error:
            return Poison(row["notification_id"], row["topic"], row["originator_id"], error)
