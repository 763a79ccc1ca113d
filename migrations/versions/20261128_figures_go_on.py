"""Let the figures of work go on from where they were, by indexes of what is closed.

Revision: 0026
Follows: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    runs, jobs = sa.text("state IN ('completed', 'stopped')"), sa.text("state IN ('succeeded', 'cancelled')")
    op.create_index("workflow_runs_closed_idx", "workflow_runs", ["position"], postgresql_where=runs)
    op.create_index("jobs_closed_idx", "jobs", ["position"], postgresql_where=jobs)


def downgrade() -> None:
    op.drop_index("jobs_closed_idx", "jobs")
    op.drop_index("workflow_runs_closed_idx", "workflow_runs")
