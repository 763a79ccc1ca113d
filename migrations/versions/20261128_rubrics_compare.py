"""Say of each criterion of a rubric whether its levels compare the two answers, as its event's upcaster does.

Revision: 0024
Follows: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

COMPARE = """
UPDATE rubrics SET criteria = (
    SELECT coalesce(jsonb_agg(
        each || jsonb_build_object('compares', levels ~* '\\mleft\\M' AND levels ~* '\\mright\\M') ORDER BY place
    ), '[]')
    FROM jsonb_array_elements(criteria) WITH ORDINALITY AS criterion (each, place),
    LATERAL (SELECT string_agg(level, ' ') FROM jsonb_array_elements_text(each->'levels') AS level) AS told (levels)
)
"""
FORGET = """
UPDATE rubrics SET criteria = (
    SELECT coalesce(jsonb_agg(each - 'compares' ORDER BY place), '[]')
    FROM jsonb_array_elements(criteria) WITH ORDINALITY AS criterion (each, place)
)
"""


def upgrade() -> None:
    op.execute(COMPARE)


def downgrade() -> None:
    op.execute(FORGET)
