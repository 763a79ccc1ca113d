"""Count votes by day, judge and agents in tables of their own.

They begin empty, and the projectors count all ballots that there are.

Revision: 0022
Follows: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

VOTES = ("judge", "method", "first", "second", "outcome")


def upgrade() -> None:
    op.create_table(
        "vote_counts",
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in VOTES),
        sa.Column("kin", sa.SmallInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", *VOTES, "kin"),
    )
    op.create_table(
        "concord_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("judge", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "judge", "method", "agreed"),
    )


def downgrade() -> None:
    op.drop_table("concord_counts")
    op.drop_table("vote_counts")
    op.execute("DELETE FROM checkpoints WHERE projector = 'vote_counts'")
