"""Read models that are kept up to date together.

The log is read and decoded once for all of them, and what they make of it is one transaction, which moves the
checkpoint of each. A read model that is far behind, e.g. a new one, comes after by itself; one that fails, or that
somebody else is at work on, rests, and stops no other.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from domain.ports.events import StoredEvents, StoredRow
from projections import checkpoints
from projections.decoded import Decoded
from projections.engine import TakeIn, take_in, take_in_apart
from projections.failures import is_outage, is_refusal
from projections.projector import Projector

BATCH = 500
"""Events. Who waits for the first of them waits for the last."""
SPAN = 20 * BATCH
"""Positions that one that is far behind looks through at a time, however few events of its own are there."""
REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 60.0

_log = logging.getLogger(__name__)


class Follower:
    """Remembers about how far each read model is; the checkpoints say it exactly. For one thread; several processes may
    have one each."""

    def __init__(self, engine: Engine, events: StoredEvents, projectors: Sequence[Projector]) -> None:
        self._engine = engine
        self._events = events
        self._projectors = projectors
        self._places: dict[str, int] = {}
        self._resting: dict[Projector, float] = {}
        self._failures: Counter[Projector] = Counter()

    def advance(self) -> bool:
        """Takes every read model that does not rest a batch further. Returns whether there is more to take in at once.
        Raises an outage of the database, which keeps all of them from it."""
        places = self._where()
        if not places:
            return False
        lead = max(places.values())
        far = {projector: place for projector, place in places.items() if place < lead - BATCH}
        for projector, place in far.items():
            self._alone(projector, place, lead)
        near = {projector: place for projector, place in places.items() if projector not in far}
        return self._together(near) or bool(far)

    def _where(self) -> dict[Projector, int]:
        """How far those are that do not rest."""
        now = time.monotonic()
        active = [projector for projector in self._projectors if self._resting.get(projector, now) <= now]
        if any(projector.name not in self._places for projector in active):
            self._look()
        return {projector: self._places[projector.name] for projector in active}

    def _look(self) -> None:
        with self._engine.begin() as db:
            self._places = checkpoints.places(db, [projector.name for projector in self._projectors])

    def _together(self, places: Mapping[Projector, int]) -> bool:
        """Whether that was a whole batch."""
        after = min(places.values())
        rows = list(self._events.read_rows(after, limit=BATCH))
        if not rows:
            self._places.clear()  # a crash of the server may have taken back what nobody had waited for
            return False
        upto = int(rows[-1]["notification_id"])
        try:
            moved = self._commit(list(places), rows, after, upto)
        except Exception as error:
            if is_outage(error):
                raise
            for projector, place in places.items():
                self._alone(projector, place, upto)
        else:
            if not moved:
                self._let_rest_who_is_held({each: place for each, place in places.items() if place == after})
        return len(rows) == BATCH

    def _alone(self, projector: Projector, after: int, upto: int) -> None:
        """A batch of its own, towards where the others are."""
        upto = min(upto, after + SPAN)
        if after >= upto:
            return
        rows = list(self._events.read_rows(after, upto, projector.topics, BATCH))
        if len(rows) == BATCH:
            upto = int(rows[-1]["notification_id"])
        try:
            moved = self._commit_past_refusals(projector, rows, after, upto)
        except Exception as error:
            if is_outage(error):
                raise
            _log.exception("%s cannot go on, and tries again", projector.name)
            self._failures[projector] += 1
            self._rest(projector, min(2 ** self._failures[projector] * REST_SECONDS, LONGEST_REST_SECONDS))
        else:
            if not moved:
                self._let_rest_who_is_held({projector: after})

    def _commit_past_refusals(self, projector: Projector, rows: Sequence[StoredRow], after: int, upto: int) -> bool:
        try:
            return bool(self._commit([projector], rows, after, upto))
        except Exception as error:
            if not is_refusal(error):
                raise
            return bool(self._commit([projector], rows, after, upto, take_in_apart))

    def _commit(
        self,
        projectors: Sequence[Projector],
        rows: Sequence[StoredRow],
        after: int,
        upto: int,
        write: TakeIn = take_in,
    ) -> bool:
        """Whether anybody has come along."""
        topics = {topic for projector in projectors for topic in projector.topics}
        found = list(Decoded(self._events, [row for row in rows if row["topic"] in topics]))
        with self._engine.begin() as db:
            moved = checkpoints.move_together(db, [projector.name for projector in projectors], after, upto)
            for projector in projectors:
                place = moved.get(projector.name, upto)
                new = [each for each in found if each.position > place and each.type in projector.topics]
                if new:
                    write(db, projector, new)
        for projector in projectors:
            if projector.name in moved:
                self._places[projector.name] = upto
                self._failures.pop(projector, None)
            elif self._places[projector.name] < upto:
                del self._places[projector.name]
        return bool(moved)

    def _let_rest_who_is_held(self, places: Mapping[Projector, int]) -> None:
        """Nobody could be moved from these places: who is there still, somebody else is at work on."""
        self._look()
        for projector, place in places.items():
            if self._places[projector.name] == place:
                self._rest(projector, REST_SECONDS)

    def _rest(self, projector: Projector, seconds: float) -> None:
        self._resting[projector] = time.monotonic() + seconds
        self._places.pop(projector.name, None)
