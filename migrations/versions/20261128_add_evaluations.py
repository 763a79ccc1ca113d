"""Make the read model of evaluations, find runs by adapter, and tell which trainings make an adapter again.

Nobody noted yet what adapters were made with: so their events' upcaster says, and the rows do.

Revision: 0021
Follows: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())


def upgrade() -> None:
    _forget()
    op.create_table(
        "evaluations",
        sa.Column("evaluation_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("against", sa.Text(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("roster_revision", sa.Integer(), nullable=True),
        sa.Column("judges", JSON, nullable=False),
        sa.Column("plan", JSON, nullable=False),
        sa.Column("figures", JSON, nullable=True),
        sa.Column("items_file", JSON, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_position", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id"),
    )
    op.create_index("evaluations_requested_idx", "evaluations", ["requested_position"], unique=True)
    op.create_index("evaluations_adapter_idx", "evaluations", ["adapter", "requested_position"])
    op.create_index(
        "workflow_runs_cast_idx",
        "workflow_runs",
        ["cast"],
        postgresql_using="gin",
        postgresql_ops={"cast": "jsonb_path_ops"},
    )
    op.add_column("training_runs", sa.Column("reproduces", JSON, nullable=True))
    op.execute("""UPDATE lora_adapters SET passport = passport || '{"made_with": {}}'""")


def downgrade() -> None:
    op.execute("UPDATE lora_adapters SET passport = passport - 'made_with'")
    op.drop_column("training_runs", "reproduces")
    op.drop_index("workflow_runs_cast_idx", "workflow_runs")
    op.drop_table("evaluations")
    _forget()


def _forget() -> None:
    """How far the read model was, and what rebuilds left behind: an empty table begins with the first event."""
    op.execute("DROP TABLE IF EXISTS shadow.evaluations")
    for table in ("parked_events", "checkpoints"):
        op.execute(f"DELETE FROM {table} WHERE projector IN ('evaluations', 'shadow.evaluations')")  # noqa: S608 - ours
