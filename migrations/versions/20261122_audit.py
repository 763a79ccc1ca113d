"""Make the audit read model, and find runs by the revision of agents.yaml that they were pinned to.

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _forget()
    op.create_table(
        "audit",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("command_id", sa.Uuid(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("tools", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("adapter", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index("audit_event_idx", "audit", ["event_id"], unique=True)
    op.create_index("audit_causation_idx", "audit", ["causation_id"])
    op.create_index("audit_correlation_idx", "audit", ["correlation_id", "position"])
    op.create_index("audit_aggregate_idx", "audit", ["aggregate_id", "position"])
    op.create_index("audit_type_idx", "audit", ["type", "position"])
    op.create_index("audit_actor_idx", "audit", ["actor", "position"])
    op.create_index(
        "audit_kind_idx", "audit", ["actor_kind", "position"], postgresql_where=sa.text("actor_kind <> 'agent'")
    )
    for name in ("agent", "model", "adapter"):
        op.create_index(
            f"audit_{name}_idx", "audit", [name, "position"], postgresql_where=sa.text(f"{name} IS NOT NULL")
        )
    op.create_index(
        "audit_tools_idx", "audit", ["tools"], postgresql_using="gin", postgresql_where=sa.text("tools IS NOT NULL")
    )
    op.create_index(
        "audit_agent_tools_idx",
        "audit",
        ["agent", "position"],
        postgresql_include=["tools"],
        postgresql_where=sa.text("tools IS NOT NULL"),
    )
    op.create_index("workflow_runs_revision_idx", "workflow_runs", ["roster_revision", "requested_position"])


def downgrade() -> None:
    op.drop_index("workflow_runs_revision_idx", table_name="workflow_runs")
    op.drop_table("audit")
    _forget()


def _forget() -> None:
    """How far the read model was, and what a rebuild left behind: an empty table begins with the first event."""
    op.execute("DROP TABLE IF EXISTS shadow.audit")
    op.execute("DELETE FROM parked_events WHERE projector IN ('audit', 'shadow.audit')")
    op.execute("DELETE FROM checkpoints WHERE projector IN ('audit', 'shadow.audit')")
