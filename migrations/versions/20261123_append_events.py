"""Append events with one call, and key their salts by position.

The call takes the lock that keeps positions in commit order, draws the positions, and writes all that belongs to the
events: a group of saves costs one round trip, and the lock is held for no longer than PostgreSQL itself needs.

It must be PL/pgSQL. An INSERT takes a lock of its own, and of two writers who both had that one neither would ever get
the other; PL/pgSQL looks at a statement only when it comes to it, hence after LOCK TABLE.

Whoever writes with an earlier revision's code must be stopped first: it does not know the salts' new key.

Revision: 0010
Follows: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NEW_EVENT = """
CREATE TYPE new_event AS (
    originator_id uuid, originator_version bigint, topic text, schema_version integer, state bytea,
    event_id uuid, command_index smallint, salt bytea, commitment bytea,
    command_id uuid, fingerprint bytea, actor_subject text, actor_kind text, correlation_id uuid, causation_id uuid,
    traceparent text, project text, data_subjects text[],
    answered_id uuid, answered_version bigint
)
"""
"""An event with its envelope. The last event of a client's command also has what that command is answered: the
aggregate and its version."""

APPEND_EVENTS = """
CREATE PROCEDURE append_events(events new_event[], patience text, INOUT positions bigint[])
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', patience, true);
    LOCK TABLE stored_events IN EXCLUSIVE MODE;
    WITH given AS MATERIALIZED (
        SELECT nextval('stored_events_notification_id_seq') AS position, * FROM unnest(events)
    ), stored AS (
        INSERT INTO stored_events (
            originator_id, originator_version, topic, state, notification_id, event_id, schema_version, actor_subject,
            actor_kind, command_id, command_index, fingerprint, correlation_id, causation_id, traceparent, project,
            data_subjects, commitment
        ) SELECT
            originator_id, originator_version, topic, state, position, event_id, schema_version, actor_subject,
            actor_kind, command_id, command_index, fingerprint, correlation_id, causation_id, traceparent, project,
            data_subjects, commitment
        FROM given
    ), salted AS (
        INSERT INTO event_salts (position, salt) SELECT position, salt FROM given WHERE salt IS NOT NULL
    ), answered AS (
        INSERT INTO command_outcomes (command_id, fingerprint, aggregate_id, version, position)
        SELECT command_id, fingerprint, answered_id, answered_version, position FROM given
        WHERE answered_id IS NOT NULL
    )
    SELECT array_agg(position) INTO positions FROM given;
END
$$
"""

BY_POSITION = """
INSERT INTO event_salts (position, salt)
SELECT notification_id, salt FROM salts_before JOIN stored_events USING (originator_id, originator_version)
"""
BY_AGGREGATE = """
INSERT INTO event_salts (originator_id, originator_version, salt)
SELECT originator_id, originator_version, salt FROM salts_before JOIN stored_events ON position = notification_id
"""


def upgrade() -> None:
    _set_salts_aside()
    op.create_table(
        "event_salts",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    _bring_salts_back(BY_POSITION)
    op.execute(NEW_EVENT)
    op.execute(APPEND_EVENTS)


def downgrade() -> None:
    op.execute("DROP PROCEDURE append_events")
    op.execute("DROP TYPE new_event")
    _set_salts_aside()
    op.create_table(
        "event_salts",
        sa.Column("originator_id", sa.Uuid(), nullable=False),
        sa.Column("originator_version", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("originator_id", "originator_version"),
    )
    _bring_salts_back(BY_AGGREGATE)


def _set_salts_aside() -> None:
    op.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")  # nothing comes between the copy and the new form
    op.execute("ALTER TABLE event_salts RENAME TO salts_before")
    op.execute("ALTER INDEX event_salts_pkey RENAME TO salts_before_pkey")


def _bring_salts_back(statement: str) -> None:
    op.execute(statement)
    op.drop_table("salts_before")
