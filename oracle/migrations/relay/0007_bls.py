"""BLS signatures, beside the claims they came with."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0007"
down_revision = "relay_0006"


def upgrade() -> None:
    op.add_column("claims", sa.Column("bls", sa.LargeBinary, nullable=False, server_default=""))
