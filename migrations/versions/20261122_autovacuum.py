"""Keep autovacuum from holding up the writers of events.

They lock the table against each other, and so against VACUUM and ANALYZE: whoever writes would wait for up to a second
(deadlock_timeout) at each visit before it is called off. Nothing in the table is ever changed or deleted, so there is
nothing to vacuum but for the age of its rows; its statistics are made anew whenever it has doubled.

Revision: 0005
Follows: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SETTINGS = {
    "autovacuum_vacuum_insert_threshold": "-1",
    "autovacuum_analyze_threshold": "10000",
    "autovacuum_analyze_scale_factor": "1.0",
}


def upgrade() -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
    op.execute(f"ALTER TABLE stored_events SET ({settings})")


def downgrade() -> None:
    op.execute(f"ALTER TABLE stored_events RESET ({', '.join(SETTINGS)})")
