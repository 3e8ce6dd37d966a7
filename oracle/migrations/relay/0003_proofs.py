"""The proof that came with a claim, as the data of its evidence; empty where none did."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0003"
down_revision = "relay_0002"


def upgrade() -> None:
    op.add_column("claims", sa.Column("proof", sa.LargeBinary, nullable=False, server_default=""))
