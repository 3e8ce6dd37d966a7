"""The proof a node made for a job, as the data of its evidence: kept, so that it is made once and the same is given for ever."""

import sqlalchemy as sa
from alembic import op

revision = "node_0003"
down_revision = "node_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("proof", sa.LargeBinary))
