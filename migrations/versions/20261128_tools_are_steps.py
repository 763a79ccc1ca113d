"""Let a step have no model: the use of a tool has none.

The events that steps of tools come from are new. What a model asked for before, no tool had been offered for: so its
upcaster says, and the rows do. A downgrade takes the rows of tools away; the log keeps what they say.

Revision: 0014
Follows: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NOT_OFFERED = """
UPDATE interaction_logs SET tool_calls =
    (SELECT jsonb_agg(CASE WHEN call->>'result' = '' AND call->>'error' IS NULL
                           THEN call || '{"error": "no tools were offered"}' ELSE call END ORDER BY n)
     FROM jsonb_array_elements(tool_calls) WITH ORDINALITY AS asked(call, n))
WHERE tool_calls @> '[{"result": "", "error": null}]'
"""
ASKED_FOR = """
UPDATE interaction_logs SET tool_calls =
    (SELECT jsonb_agg(CASE WHEN call->>'error' = 'no tools were offered'
                           THEN call || '{"error": null}' ELSE call END ORDER BY n)
     FROM jsonb_array_elements(tool_calls) WITH ORDINALITY AS asked(call, n))
WHERE tool_calls @> '[{"error": "no tools were offered"}]'
"""


def upgrade() -> None:
    op.alter_column("interaction_logs", "model", existing_type=sa.Text(), nullable=True)
    op.execute(NOT_OFFERED)


def downgrade() -> None:
    op.execute("DELETE FROM interaction_logs WHERE model IS NULL")
    op.execute(ASKED_FOR)
    op.alter_column("interaction_logs", "model", existing_type=sa.Text(), nullable=False)
