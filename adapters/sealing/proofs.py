"""Proofs for outsiders: that an event is in a sealed tree, and that one sealed tree begins with another.

Each is one JSON object that deploy/verify_proof.py checks with the public key alone.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from adapters.event_tables import STORED_EVENTS
from adapters.sealing.leaves import Evidence, evidence
from adapters.sealing.merkle import consistency_proof, inclusion_proof, root
from adapters.sealing.seal import Seal, covering_seal, latest_seal, seal_of
from adapters.sealing.tiles import Tiles, TreeDamaged
from domain.errors import Invalid, NotFound, NotReady

INCLUSION = "caravan-inclusion/1"
CONSISTENCY = "caravan-consistency/1"

Proof = dict[str, Any]


class Proofs:
    """Makes them, from the stored tree. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_event(self, position: int, seal: int | None = None, with_data: bool = True) -> Proof:
        """That the event was there, as it is, when that seal (the newest by default) was made. `with_data`: with data
        and salt, which the envelope's commitment proves in turn. Raises NotFound, NotReady for an event that is not
        sealed yet, Invalid for a seal that is older than the event, and TreeDamaged."""
        with self._engine.connect() as db:
            event = next(iter(evidence(db, position, position)), None)
            if event is None:
                raise NotFound("event at position", str(position))
            covering = covering_seal(db, position)
            if covering is None:
                raise NotReady(f"the event at {position} is not sealed yet; try again in a few seconds")
            chosen = _seal(db, seal)
            if chosen.number < covering.number:
                raise Invalid(
                    f"seal {chosen.number} is older than the event: {covering.number} is the first to cover it"
                )
            index = covering.size - _count(db, position, covering.last_position)
            tiles = Tiles(db)
            _check(tiles, chosen)
            if tiles.leaves(index, index + 1) != [event.leaf.hash]:
                raise TreeDamaged(
                    f"the event at {position} is not the one that was sealed, or others before it are not"
                )
            path = inclusion_proof(index, chosen.size, tiles.node)
        return {
            "format": INCLUSION,
            "event": json.loads(event.envelope),
            **(_data(event) if with_data else {}),
            "leaf_index": index,
            "audit_path": [hash.hex() for hash in path],
            "seal": chosen.to_json(),
        }

    def of_consistency(self, first: int, second: int | None = None) -> Proof:
        """That the tree of the second seal (the newest by default) is that of the first, and more. Raises NotFound,
        Invalid for the wrong order, and TreeDamaged."""
        with self._engine.connect() as db:
            older, newer = _seal(db, first), _seal(db, second)
            if older.number > newer.number:
                raise Invalid(f"seal {older.number} is newer than seal {newer.number}: name the older one first")
            tiles = Tiles(db)
            _check(tiles, older)
            _check(tiles, newer)
            path = consistency_proof(older.size, newer.size, tiles.node)
        return {
            "format": CONSISTENCY,
            "first": older.to_json(),
            "second": newer.to_json(),
            "consistency_path": [hash.hex() for hash in path],
        }


def _seal(db: Connection, number: int | None) -> Seal:
    seal = latest_seal(db) if number is None else seal_of(db, number)
    if seal is None:
        raise NotFound("seal", "yet" if number is None else str(number))
    return seal


def _count(db: Connection, first: int, last: int) -> int:
    event = STORED_EVENTS.c.notification_id
    return db.scalar(select(func.count()).where(event.between(first, last))) or 0


def _check(tiles: Tiles, seal: Seal) -> None:
    if root(seal.size, tiles.node) != seal.root:
        raise TreeDamaged(f"the stored tree does not have the root of seal {seal.number}")


def _data(event: Evidence) -> dict[str, str | None]:
    """What was committed to: the data's exact text, and the salt. Both None where they were erased; the data too where
    it is no text, as only a bare event's can be."""
    salt = event.salt.hex() if event.salt is not None else None
    try:
        return {"data": None if event.state is None or event.erased else event.state.decode(), "salt": salt}
    except UnicodeDecodeError:
        return {"data": None, "salt": salt}
