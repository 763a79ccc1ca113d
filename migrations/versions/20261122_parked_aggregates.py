"""Say whose events are parked.

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parked_events", sa.Column("aggregate_id", sa.Uuid(), nullable=True))
    op.execute(
        "UPDATE parked_events SET aggregate_id = originator_id FROM stored_events WHERE notification_id = position"
    )
    op.execute("DELETE FROM parked_events WHERE aggregate_id IS NULL")  # of an event that a restored store lacks
    op.alter_column("parked_events", "aggregate_id", nullable=False)
    op.create_index("parked_events_aggregate_idx", "parked_events", ["projector", "aggregate_id"])


def downgrade() -> None:
    op.drop_index("parked_events_aggregate_idx", "parked_events")
    op.drop_column("parked_events", "aggregate_id")
