"""Signatures of enclaves, beside the claims they came with."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0006"
down_revision = "relay_0005"


def upgrade() -> None:
    op.add_column("claims", sa.Column("enclave", sa.LargeBinary, nullable=False, server_default=""))
