"""Let the queue of annotators be read by indexes, in its order.

Revision: 0023
Follows: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

TABLE = "dpo_annotations"
QUEUED = sa.text("state IN ('waiting', 'disputed')")


def upgrade() -> None:
    op.create_index(
        "dpo_annotations_queue_idx",
        TABLE,
        [sa.text("urgency DESC"), sa.text("(-proposed_position) DESC")],
        postgresql_where=QUEUED,
    )
    op.create_index(
        "dpo_annotations_assigned_idx", TABLE, ["assigned_to"], postgresql_using="gin", postgresql_where=QUEUED
    )


def downgrade() -> None:
    op.drop_index("dpo_annotations_assigned_idx", TABLE)
    op.drop_index("dpo_annotations_queue_idx", TABLE)
