"""Show which calls asked no model, as the same had been asked before.

No answer was given again so far, and no agent was configured for it.

Revision: 0015
Follows: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

WITH_CACHE = """
UPDATE agent_rosters SET agents =
    (SELECT jsonb_agg('{"cache": null}'::jsonb || agent ORDER BY n)
     FROM jsonb_array_elements(agents) WITH ORDINALITY AS listed(agent, n))
"""
WITHOUT_CACHE = """
UPDATE agent_rosters SET agents =
    (SELECT jsonb_agg(agent - 'cache' ORDER BY n)
     FROM jsonb_array_elements(agents) WITH ORDINALITY AS listed(agent, n))
"""


def upgrade() -> None:
    op.add_column("interaction_logs", sa.Column("cached", sa.Boolean(), nullable=False, server_default="false"))
    op.alter_column("interaction_logs", "cached", server_default=None)
    op.execute(WITH_CACHE)


def downgrade() -> None:
    op.execute(WITHOUT_CACHE)
    op.drop_column("interaction_logs", "cached")
