"""What happened, shaped for reading: each table, its fold and its queries side by side."""

from sqlalchemy import MetaData

METADATA = MetaData()
"""The tables of all read models, as Alembic compares them with the database."""
