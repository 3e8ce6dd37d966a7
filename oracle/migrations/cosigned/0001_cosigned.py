"""A log's memory of its witnesses: the newest tree each of them cosigned, and the newest checkpoint that satisfied the policy."""

import sqlalchemy as sa
from alembic import op

revision = "cosigned_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cosigned",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("witness", sa.String(700), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "witnessed",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("witnessed")
    op.drop_table("cosigned")
