"""Entries in their order, and bodies by digest."""

import sqlalchemy as sa
from alembic import op

revision = "log_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("request_id", sa.LargeBinary(32)),
        sa.Column("writer", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(32), nullable=False),
        sa.UniqueConstraint("writer", "key"),
        sa.UniqueConstraint("writer", "sequence"),
    )
    op.create_index("entries_request_id", "entries", ["request_id", "index"])
    op.create_table(
        "bodies",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("bodies")
    op.drop_table("entries")
