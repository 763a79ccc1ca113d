"""Count in an evaluation's figures what a model did not take: 0 in older ones, as their event's upcaster says.

Revision: 0025
Follows: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""UPDATE evaluations SET figures = figures || '{"refused": 0}' WHERE figures IS NOT NULL""")


def downgrade() -> None:
    op.execute("UPDATE evaluations SET figures = figures - 'refused'")
