"""A projection of one log: rows to show, sets of records by term, identifiers by key, counts by hour and day. Deleted, it is made again."""

import sqlalchemy as sa
from alembic import op

revision = "index_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "followed",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary(16), nullable=False),
        sa.Column("ledger", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "records",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("writer", sa.String(64), nullable=False),
        sa.Column("call", sa.BigInteger),
        sa.Column("transaction", sa.LargeBinary(32)),
        sa.Column("is_sealed", sa.Boolean, nullable=False),
    )
    op.create_index("records_call", "records", ["call", "index"])
    op.create_table(
        "calls",
        sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("call_id", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("evidence", sa.String(16), nullable=False),
        sa.Column("latency_microseconds", sa.BigInteger),
        sa.Column("transaction", sa.LargeBinary(32)),
        sa.Column("records", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "postings",
        sa.Column("term", sa.Text, primary_key=True),
        sa.Column("block", sa.BigInteger, primary_key=True),
        sa.Column("bits", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "shards",
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("keys", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "moments",
        sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("earliest", sa.BigInteger, nullable=False),
        sa.Column("latest", sa.BigInteger, nullable=False),
        sa.Column("times", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "volumes",
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("time", sa.BigInteger, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("outcome", sa.String(16), primary_key=True),
        sa.Column("verdict", sa.String(16), primary_key=True),
        sa.Column("evidence", sa.String(16), primary_key=True),
        sa.Column("calls", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "latencies",
        sa.Column("unit", sa.String(8), primary_key=True),
        sa.Column("time", sa.BigInteger, primary_key=True),
        sa.Column("bin", sa.Integer, primary_key=True),
        sa.Column("calls", sa.BigInteger, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        # A bitmap is 2,048 bytes: inline and as it is, instead of one more look-up in a side table for each.
        op.execute("ALTER TABLE postings ALTER COLUMN bits SET STORAGE PLAIN")


def downgrade() -> None:
    for table in ("latencies", "volumes", "moments", "shards", "postings", "calls", "records", "followed"):
        op.drop_table(table)
