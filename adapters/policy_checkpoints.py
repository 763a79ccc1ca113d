"""How far each policy has come along the log, in Postgres: NATS may be wiped without a policy losing its place."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from adapters.event_tables import PARKED_BY_POLICIES, POLICY_CHECKPOINTS
from domain.ports.events import Standing
from domain.text import excerpt


class PolicyCheckpoints:
    """Fulfils commands.policies.runner.Checkpoints. Several processes may run one policy: it never goes back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def position(self, policy: str) -> int:
        """The last position that is done; 0 at the beginning."""
        query = select(POLICY_CHECKPOINTS.c.position).where(POLICY_CHECKPOINTS.c.policy == policy)
        with self._engine.connect() as connection:
            return connection.scalar(query) or 0

    def move(self, policy: str, position: int) -> None:
        """Everything up to that position is done."""
        with self._engine.begin() as connection:
            _move(connection, policy, position)

    def park(self, policy: str, position: int, reason: str) -> None:
        """Keeps the position of an event that could not be handled, and moves past it, in one transaction."""
        row = insert(PARKED_BY_POLICIES).values(policy=policy, position=position, reason=excerpt(reason))
        with self._engine.begin() as connection:
            connection.execute(
                row.on_conflict_do_update(index_elements=["policy", "position"], set_={"reason": row.excluded.reason})
            )
            _move(connection, policy, position)

    def parked(self, policy: str) -> Sequence[int]:
        """The positions of the parked events, in order."""
        table = PARKED_BY_POLICIES
        query = select(table.c.position).where(table.c.policy == policy).order_by(table.c.position)
        with self._engine.connect() as connection:
            return connection.scalars(query).all()

    def standings(self) -> list[Standing]:
        """Of every policy that ever ran."""
        here, parked = POLICY_CHECKPOINTS.c, PARKED_BY_POLICIES.c
        count = select(func.count()).where(parked.policy == here.policy).scalar_subquery()
        with self._engine.connect() as connection:
            found = connection.execute(select(here.policy, here.position, count).order_by(here.policy))
            return [Standing(*row) for row in found]

    def release(self, policy: str, position: int) -> None:
        """The parked event is handled now."""
        table = PARKED_BY_POLICIES
        with self._engine.begin() as connection:
            connection.execute(delete(table).where(table.c.policy == policy, table.c.position == position))


def _move(connection: Connection, policy: str, position: int) -> None:
    row = insert(POLICY_CHECKPOINTS).values(policy=policy, position=position)
    furthest = func.greatest(POLICY_CHECKPOINTS.c.position, row.excluded.position)
    connection.execute(row.on_conflict_do_update(index_elements=["policy"], set_={"position": furthest}))
