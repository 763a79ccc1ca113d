"""The seals as outsiders read them: pages of them, and how far the log is sealed and anchored."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from adapters.event_tables import ANCHORS, SEALS, STORED_EVENTS
from adapters.sealing.seal import latest_seal, seals
from domain.ports.events import SealStanding


class SealBook:
    """Reads them. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, before: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The newest seals with smaller numbers than `before`."""
        with self._engine.connect() as db:
            return [seal.to_json() for seal in seals(db, before=before, newest_first=True, limit=limit)]

    def latest(self) -> dict[str, Any] | None:
        """The newest seal."""
        with self._engine.connect() as db:
            seal = latest_seal(db)
        return seal.to_json() if seal else None

    def kept(self, place: str) -> int:
        """The number of the newest seal that was kept in that place; 0 where none was."""
        with self._engine.connect() as db:
            return db.scalar(select(func.max(ANCHORS.c.seal)).where(ANCHORS.c.place == place)) or 0

    def standing(self) -> SealStanding:
        """As it is now."""
        newest = select(ANCHORS.c.place, func.max(ANCHORS.c.seal).label("seal")).group_by(ANCHORS.c.place).subquery()
        anchored = select(newest.c.place, func.coalesce(SEALS.c.last_position, 0)).outerjoin_from(
            newest, SEALS, SEALS.c.number == newest.c.seal
        )
        with self._engine.connect() as db:
            sealed = db.scalar(select(func.max(SEALS.c.last_position))) or 0
            head = db.scalar(select(func.max(STORED_EVENTS.c.notification_id))) or 0
            return SealStanding(head, sealed, dict(db.execute(anchored).all()))
