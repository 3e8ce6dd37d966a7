"""A witness's memory: the newest checkpoint it cosigned of each log, and the forks it was shown."""

import sqlalchemy as sa
from alembic import op

revision = "witness_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "witness_heads",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "witness_forks",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True),
        sa.Column("root", sa.LargeBinary(32), primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("cosigned", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("witness_forks")
    op.drop_table("witness_heads")
