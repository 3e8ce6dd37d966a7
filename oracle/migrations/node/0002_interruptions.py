"""How often the process died while a job was running, so that a job that kills it is not run for ever (RUNNING → BROKEN at the start)."""

import sqlalchemy as sa
from alembic import op

revision = "node_0002"
down_revision = "node_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("interruptions", sa.Integer, nullable=False, server_default="0"))
