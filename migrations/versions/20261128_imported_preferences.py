"""Let the read model of preferences tell which were imported, and by which import.

No event of before says so: its rows stay as they are.

Revision: 0019
Follows: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLE = "dpo_annotations"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("import_id", sa.Uuid(), nullable=True))
    op.add_column(TABLE, sa.Column("source", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True))
    op.create_index("dpo_annotations_import_idx", TABLE, ["import_id", "proposed_position"])


def downgrade() -> None:
    op.drop_index("dpo_annotations_import_idx", TABLE)
    op.drop_column(TABLE, "source")
    op.drop_column(TABLE, "import_id")
