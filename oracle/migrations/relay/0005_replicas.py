"""Replicas with a lease, and transactions that are replaced: by which block one was passed over. States: oracle/relay/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0005"
down_revision = "relay_0004"


def upgrade() -> None:
    op.add_column("transactions", sa.Column("head_number", sa.BigInteger))
    lease = op.create_table(
        "lease",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    op.bulk_insert(lease, [{"id": 1, "token": 0, "holder": "", "expires": 0.0}])
