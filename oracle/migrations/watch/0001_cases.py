"""What a watcher must not forget: which blocks it took, and what became of each delivery in them. States stand in oracle/relay/cases.py."""

import sqlalchemy as sa
from alembic import op

revision = "watch_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("chain_id", sa.String(78), primary_key=True),
        sa.Column("coprocessor", sa.String(42), nullable=False),
    )
    op.create_table(
        "followed_blocks",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False),
        sa.Column("transaction", sa.LargeBinary(32), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("available_at", sa.BigInteger, nullable=False),
        sa.Column("output", sa.LargeBinary),
        sa.Column("proof", sa.LargeBinary),
        sa.Column("settled_block", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("problem", sa.Text),
        sa.UniqueConstraint("request_id", "block_hash", name="cases_once"),
    )
    op.create_index("cases_state", "cases", ["state", "not_before"])
    op.create_index("cases_block", "cases", ["block_hash"])
