"""Deliveries that a committee may have to decide on, and the salts of votes. States stand in oracle/relay/hearings.py."""

import sqlalchemy as sa
from alembic import op

revision = "watch_0002"
down_revision = "watch_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "hearings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False),
        sa.Column("transaction", sa.LargeBinary(32), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("duty", sa.String(16), nullable=False),
        sa.Column("duty_until", sa.BigInteger, nullable=False),
        sa.Column("woken", sa.Integer, nullable=False),
        sa.Column("settled_block", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("problem", sa.Text),
        sa.UniqueConstraint("request_id", "block_hash", name="hearings_once"),
    )
    op.create_index("hearings_state", "hearings", ["state", "not_before"])
    op.create_index("hearings_block", "hearings", ["block_hash"])
    op.create_table(
        "votes",
        sa.Column("request_id", sa.LargeBinary(32), primary_key=True),
        sa.Column("member", sa.String(42), primary_key=True),
        sa.Column("output_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("salt", sa.LargeBinary(32), nullable=False),
    )
