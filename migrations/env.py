"""Alembic's environment: the event store's tables and every read model's, in the database that the caller names.

The URL comes from the caller (`config.attributes["url"]`, see `adapters/schema.py`) or from DATABASE_URL.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, make_url, pool

import projections
from adapters.event_tables import METADATA as EVENT_STORE

config = context.config
url = make_url(config.attributes.get("url") or os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
engine = create_engine(url, poolclass=pool.NullPool)

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=[EVENT_STORE, projections.METADATA],
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
