"""Show how datasets are made, and what is in them.

Those that were asked for before were made as their events' upcasters say; what is in them was not counted.

Revision: 0017
Follows: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

TAKES_ALL = """
UPDATE datasets SET filter = filter || '{"methods": [], "chosen_agents": [], "rejected_agents": [], "annotators": [],
    "verdicts": [], "since": null, "until": null}'::jsonb
"""
AS_BEFORE = """{"builder": "pairs/1", "duplicates": "keep", "contradictions": "keep", "parts": [], "salt": "",
    "holdouts": []}"""
WITHOUT = """
UPDATE datasets SET filter = filter - ARRAY['methods', 'chosen_agents', 'rejected_agents', 'annotators', 'verdicts',
    'since', 'until']
"""


def upgrade() -> None:
    op.add_column(
        "datasets",
        sa.Column(
            "recipe", postgresql.JSONB(none_as_null=True), nullable=False, server_default=sa.text(f"'{AS_BEFORE}'")
        ),
    )
    op.alter_column("datasets", "recipe", server_default=None)
    op.add_column("datasets", sa.Column("contents", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("datasets", sa.Column("manifest_sha256", sa.Text(), nullable=True))
    op.execute(TAKES_ALL)


def downgrade() -> None:
    op.execute(WITHOUT)
    op.drop_column("datasets", "manifest_sha256")
    op.drop_column("datasets", "contents")
    op.drop_column("datasets", "recipe")
