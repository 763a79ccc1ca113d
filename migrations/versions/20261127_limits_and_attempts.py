"""Show a run's limits, where it was forked from, and which model calls were made again.

The runs and calls so far had no limits and no forks, and nobody wrote down how often a call was made.

Revision: 0011
Follows: 0010
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NO_LIMITS = '{"tokens": null, "steps": null, "seconds": null, "step_seconds": null}'
NAME_TOOL_CALLS = """
UPDATE interaction_logs SET tool_calls =
    (SELECT jsonb_agg('{"id": ""}'::jsonb || call ORDER BY n)
     FROM jsonb_array_elements(tool_calls) WITH ORDINALITY AS calls(call, n))
WHERE tool_calls <> '[]'
"""
"""What an endpoint called a tool's call was not kept so far."""
COUNT_SO_FAR = """
UPDATE workflow_runs SET takeovers = greatest(epoch - 1, 0),
    waiting_since = CASE WHEN epoch = 0 THEN requested_at END,
    failures = CASE WHEN state <> 'failed' THEN '{}' ELSE jsonb_build_object(
        CASE WHEN reason ~ '^[A-Z]\\w*: ' THEN split_part(reason, ':', 1)
             WHEN reason ~ 'did not answer|refused' THEN 'model' ELSE 'other' END, 1) END
"""
"""Each start but the first was a takeover, and no run was ever retried."""
FORK = ("forked_from", "forked_at")
COLUMNS: list[tuple[str, str, Any, str]] = [
    ("workflow_runs", "limits", postgresql.JSONB(), NO_LIMITS),
    ("workflow_runs", "shared", postgresql.JSONB(), "[]"),
    ("workflow_runs", "repeated", sa.Integer(), "0"),
    ("workflow_runs", "takeovers", sa.Integer(), "0"),
    ("workflow_runs", "failures", postgresql.JSONB(), "{}"),
    ("interaction_logs", "attempt", sa.Integer(), "1"),
]


def upgrade() -> None:
    for table, name, type, so_far in COLUMNS:
        op.add_column(table, sa.Column(name, type, nullable=False, server_default=so_far))
        op.alter_column(table, name, server_default=None)
    op.add_column("workflow_runs", sa.Column("waiting_since", sa.DateTime(timezone=True)))
    op.execute(COUNT_SO_FAR)
    op.execute(NAME_TOOL_CALLS)
    for name in FORK:
        op.add_column("workflow_runs", sa.Column(name, sa.Uuid()))
    op.create_index(
        "workflow_runs_fork_idx",
        "workflow_runs",
        ["forked_from", "requested_position"],
        postgresql_where=sa.text("forked_from IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_column("workflow_runs", "waiting_since")
    op.drop_index("workflow_runs_fork_idx")
    for name in FORK:
        op.drop_column("workflow_runs", name)
    for table, name, _, _ in COLUMNS:
        op.drop_column(table, name)
