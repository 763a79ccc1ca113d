"""Let the read models say who judged a pair, who shall, and by which rubric; and where in the queue it stands.

Before, whoever spoke last decided alone, nobody was assigned, and no ballots were counted for a pair: so its event's
upcasters say, and the rows do. Opinions and rubrics have tables of their own, which their events fill.

Revision: 0020
Follows: 0019
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

TABLE = "dpo_annotations"
JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
COLUMNS: dict[str, TypeEngine[Any]] = {
    "spoken_by": JSON,
    "wanted": sa.Integer(),
    "skipped_by": JSON,
    "assigned_to": JSON,
    "in_doubt": sa.Boolean(),
    "urgency": sa.Double(),
}
AS_BEFORE = """
UPDATE dpo_annotations SET
    spoken_by = CASE WHEN verdict IS NULL THEN '[]' ELSE jsonb_build_array(annotated_by) END,
    wanted = 1,
    skipped_by = '[]',
    assigned_to = '[]',
    in_doubt = import_id IS NULL AND probability < 0.6,
    urgency = CASE WHEN state <> 'waiting' THEN 0
                   WHEN import_id IS NULL AND probability < 0.6 THEN 1 + (1 - probability)
                   ELSE 1 - probability END
"""


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column(TABLE, sa.Column(name, kind, nullable=True))
    op.add_column(TABLE, sa.Column("support", JSON, nullable=True))
    op.execute(AS_BEFORE)
    _forget()
    for name in COLUMNS:
        op.alter_column(TABLE, name, nullable=False)
    op.create_table(
        "opinions",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("preference_id", sa.Uuid(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("annotator_kind", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("choice", sa.Text(), nullable=True),
        sa.Column("rubric", sa.Integer(), nullable=True),
        sa.Column("ratings", JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.Column("chosen_step", sa.Uuid(), nullable=True),
        sa.Column("rejected_step", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("opinions_pair_idx", "opinions", ["preference_id", "annotator", "position"])
    op.create_table(
        "rubrics",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("criteria", JSON, nullable=False),
        sa.Column("annotators", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True),
        sa.Column("author_kind", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )


def downgrade() -> None:
    op.drop_table("rubrics")
    op.drop_table("opinions")
    _forget()
    op.drop_column(TABLE, "support")
    for name in reversed(COLUMNS):
        op.drop_column(TABLE, name)


def _forget() -> None:
    """How far the read models were, and what rebuilds left behind: an empty table begins with the first event."""
    op.execute("DROP TABLE IF EXISTS shadow.opinions, shadow.rubrics")
    names = "('opinions', 'rubrics', 'shadow.opinions', 'shadow.rubrics')"
    for table in ("parked_events", "checkpoints"):
        op.execute(f"DELETE FROM {table} WHERE projector IN {names}")  # noqa: S608 - they are ours
