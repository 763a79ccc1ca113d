"""The event store's tables, as Alembic compares them with the database.

The library's recorder reads and writes `originator_id` to `notification_id`; the envelope's columns are ours. They are
nullable or have defaults, since the library's own recorder tests write bare events.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)

METADATA = MetaData()

STORED_EVENTS = Table(
    "stored_events",
    METADATA,
    Column("originator_id", Uuid, primary_key=True),
    Column("originator_version", BigInteger, primary_key=True),
    Column("topic", Text),
    Column("state", LargeBinary),
    Column("notification_id", BigInteger, Identity(), nullable=False),
    Column("event_id", Uuid),
    Column("schema_version", Integer, nullable=False, server_default="1"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("actor_subject", Text),
    Column("actor_kind", Text),
    Column("command_id", Uuid),
    Column("command_index", SmallInteger),
    Column("fingerprint", LargeBinary),
    Column("correlation_id", Uuid),
    Column("causation_id", Uuid),
    Column("traceparent", Text),
    Column("project", Text, nullable=False, server_default="default"),
    Column("data_subjects", ARRAY(Text), nullable=False, server_default="{}"),
    Column("commitment", LargeBinary),
    Index("stored_events_notification_id_idx", "notification_id", unique=True),
    Index(
        "stored_events_command_idx",
        "command_id",
        "command_index",
        unique=True,
        postgresql_where=text("command_id IS NOT NULL"),
    ),
)

COMMAND_OUTCOMES = Table(
    "command_outcomes",
    METADATA,
    Column("command_id", Uuid, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("aggregate_id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""What clients' commands were answered, kept in the transaction of their events: the key alone decides who was first,
be it that the command changed something or not. Commands of policies are known by their events."""

EVENT_SALTS = Table(
    "event_salts",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=False),
)
"""The salt of each event's commitment, kept apart so that it can be erased while the commitment stands."""

SNAPSHOTS = Table(
    "snapshots",
    METADATA,
    Column("aggregate_id", Uuid, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("id_sets", ARRAY(LargeBinary), nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The newest snapshot of each aggregate that has a long history. Derived: whoever deletes them all loses nothing."""

RELAY = Table(
    "relay",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""How far the relay has published."""

SEALS = Table(
    "seals",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    Column("previous", LargeBinary),
    Column("key_id", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Index("seals_last_position_idx", "last_position", unique=True),
)
"""The signed roots of the tree over all events, each chained to the one before."""

SEAL_TILES = Table(
    "seal_tiles",
    METADATA,
    Column("row", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)
"""The tree's hashes, up to 256 a tile: of leaves in row 0, of the full tiles of the row below in the others."""

ANCHORS = Table(
    "anchors",
    METADATA,
    Column("place", Text, primary_key=True),
    Column("seal", BigInteger, primary_key=True),
    Column("anchored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""Which seals were written down outside of the database, and where."""

WORKERS = Table(
    "workers",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
"""Which workers are alive. Operational, not history: a worker that is silent too long loses its runs."""

POLICY_CHECKPOINTS = Table(
    "policy_checkpoints",
    METADATA,
    Column("policy", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""How far each policy has come along the log."""

PARKED_BY_POLICIES = Table(
    "parked_by_policies",
    METADATA,
    Column("policy", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The events that a policy could not handle; it tries them again each minute."""

API_TOKENS = Table(
    "api_tokens",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)
"""Who may come in. Only the hash of a token is kept."""
