"""Make the event store: events with their envelopes, the relay's place, workers and tokens.

Revision: 0001
Follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


EVENT_LOG = """
CREATE VIEW event_log AS SELECT
    notification_id AS position, event_id, topic AS type, schema_version, recorded_at, actor_subject, actor_kind,
    originator_id, originator_version, correlation_id, causation_id, command_id, traceparent, project, data_subjects,
    convert_from(state, 'UTF8')::jsonb AS data
FROM stored_events
"""
"""The events with their payload as jsonb, for people and SQL."""

RECORDER_TYPE = (
    "CREATE TYPE stored_event_uuid AS (originator_id uuid, originator_version bigint, topic text, state bytea)"
)
"""What the library's recorder looks for before it writes bare events."""


def upgrade() -> None:
    op.execute(RECORDER_TYPE)
    op.create_table(
        "api_tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "event_salts",
        sa.Column("originator_id", sa.Uuid(), nullable=False),
        sa.Column("originator_version", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("originator_id", "originator_version"),
    )
    op.create_table(
        "relay",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "stored_events",
        sa.Column("originator_id", sa.Uuid(), nullable=False),
        sa.Column("originator_version", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=True),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.Column("notification_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("schema_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("actor_subject", sa.Text(), nullable=True),
        sa.Column("actor_kind", sa.Text(), nullable=True),
        sa.Column("command_id", sa.Uuid(), nullable=True),
        sa.Column("command_index", sa.SmallInteger(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("correlation_id", sa.Uuid(), nullable=True),
        sa.Column("causation_id", sa.Uuid(), nullable=True),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("project", sa.Text(), server_default="default", nullable=False),
        sa.Column("data_subjects", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("originator_id", "originator_version"),
    )
    op.create_index(
        "stored_events_command_idx",
        "stored_events",
        ["command_id", "command_index"],
        unique=True,
        postgresql_where=sa.text("command_id IS NOT NULL"),
    )
    op.create_index("stored_events_notification_id_idx", "stored_events", ["notification_id"], unique=True)
    op.create_table(
        "workers",
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("worker"),
    )
    op.execute(EVENT_LOG)


def downgrade() -> None:
    op.execute("DROP VIEW event_log")
    op.drop_table("workers")
    op.drop_index("stored_events_notification_id_idx", table_name="stored_events")
    op.drop_index(
        "stored_events_command_idx", table_name="stored_events", postgresql_where=sa.text("command_id IS NOT NULL")
    )
    op.drop_table("stored_events")
    op.drop_table("relay")
    op.drop_table("event_salts")
    op.drop_table("api_tokens")
    op.execute("DROP TYPE stored_event_uuid")
