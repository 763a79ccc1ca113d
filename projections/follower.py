"""Read models that are kept up to date together.

The log is read and decoded once for all of them, and what they make of it is one transaction, which moves the
checkpoint of each. A read model that is far behind, e.g. a new one, comes after by itself; one that fails rests, and
stops no other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from domain.ports import StoredEvents, StoredRow
from projections import checkpoints
from projections.decoded import Decoded
from projections.engine import step, take_in
from projections.failures import is_outage
from projections.projector import Projector

BATCH = 500
"""Events. Who waits for the first of them waits for the last."""
REST_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Follower:
    """Remembers about how far each read model is; the checkpoints say it exactly. For one thread; several processes may
    have one each."""

    def __init__(self, engine: Engine, events: StoredEvents, projectors: Sequence[Projector]) -> None:
        self._engine = engine
        self._events = events
        self._projectors = projectors
        self._places: dict[Projector, int] = {}
        self._resting: dict[Projector, float] = {}

    def advance(self) -> bool:
        """Takes every read model that does not rest a batch further. Returns whether there is more to take in at once.
        Raises an outage of the database, which keeps all of them from it."""
        now = time.monotonic()
        places = {each: self._place(each) for each in self._projectors if self._resting.get(each, now) <= now}
        if not places:
            return False
        lead = max(places.values())
        far = [projector for projector, place in places.items() if place < lead - BATCH]
        for projector in far:
            self._alone(projector, lead)
        near = {projector: place for projector, place in places.items() if projector not in far}
        return self._together(near) or bool(far)

    def _place(self, projector: Projector) -> int:
        if projector not in self._places:
            with self._engine.begin() as db:
                self._places[projector] = checkpoints.begin(db, projector.name)
        return self._places[projector]

    def _together(self, places: Mapping[Projector, int]) -> bool:
        """Whether that was a whole batch."""
        after = min(places.values())
        rows = list(self._events.read_rows(after, limit=BATCH))
        if rows:
            upto = int(rows[-1]["notification_id"])
            try:
                moved = self._commit(list(places), rows, after, upto)
            except Exception as error:
                if is_outage(error):
                    raise
                for projector in places:
                    self._alone(projector, upto)
            else:
                for projector in places:
                    self._note(projector, upto, projector.name in moved)
        return len(rows) == BATCH

    def _commit(
        self, projectors: Sequence[Projector], rows: Sequence[StoredRow], after: int, upto: int
    ) -> Mapping[str, int]:
        """Returns who has come along, and from where."""
        topics = {topic for projector in projectors for topic in projector.topics}
        found = list(Decoded(self._events, [row for row in rows if row["topic"] in topics]))
        with self._engine.begin() as db:
            moved = checkpoints.move_together(db, [projector.name for projector in projectors], after, upto)
            for projector in projectors:
                place = moved.get(projector.name, upto)
                new = [each for each in found if each.position > place and each.type in projector.topics]
                if new:
                    take_in(db, projector, new)
        return moved

    def _note(self, projector: Projector, upto: int, moved: bool) -> None:
        """Where it is. One that did not move is ahead, or somewhere that only its checkpoint says."""
        if moved:
            self._places[projector] = upto
        elif self._places[projector] < upto:
            del self._places[projector]

    def _alone(self, projector: Projector, upto: int) -> None:
        """A batch by itself, and no further than the others are."""
        try:
            self._places[projector] = step(self._engine, self._events, projector, upto, BATCH)
        except Exception as error:
            if is_outage(error):
                raise
            _log.exception("%s cannot go on, and tries again", projector.name)
            del self._places[projector]
            self._resting[projector] = time.monotonic() + REST_SECONDS
