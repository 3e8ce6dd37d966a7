"""Requests, claims, the outbox, and what is still to be written to the log. States and transitions: oracle/relay/schema.py."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0001"
down_revision = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("chain_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("coprocessor", sa.String(42), nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_request", "events", ["request_id", "id"])
    op.create_table(
        "followed_blocks",
        sa.Column("number", ID, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "log_entries",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("index", sa.BigInteger),
        sa.Column("leaf_hash", sa.LargeBinary(32)),
        sa.Column("refusal", sa.Text),
    )
    op.create_index("log_entries_waiting", "log_entries", ["index", "id"])
    op.create_table(
        "requests",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("requester", sa.String(42), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("deadline", sa.BigInteger, nullable=False),
        sa.Column("block_number", sa.BigInteger),
        sa.Column("block_hash", sa.LargeBinary(32)),
        sa.Column("transaction", sa.LargeBinary(32)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("is_watched", sa.Boolean, nullable=False),
        sa.Column("updated", sa.String(32), nullable=False),
    )
    op.create_index("requests_block", "requests", ["block_hash"])
    op.create_index("requests_requester", "requests", ["requester", "state"])
    op.create_index("requests_state", "requests", ["state", "id"])
    op.create_index("requests_watched", "requests", ["is_watched", "id"])
    op.create_table(
        "slots",
        sa.Column("nonce", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sender", sa.String(42), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("transaction", sa.LargeBinary(32)),
        sa.Column("block_number", sa.BigInteger),
        sa.Column("block_hash", sa.LargeBinary(32)),
    )
    op.create_index("slots_state", "slots", ["state"])
    op.create_table(
        "answers",
        sa.Column("request_id", sa.LargeBinary(32), sa.ForeignKey("requests.request_id"), primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "claims",
        sa.Column("request_id", sa.LargeBinary(32), sa.ForeignKey("requests.request_id"), primary_key=True),
        sa.Column("signer", sa.String(42), primary_key=True),
        sa.Column("output_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("request_id", sa.LargeBinary(32), sa.ForeignKey("requests.request_id"), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("nonce", sa.BigInteger),
        sa.Column("transaction", sa.LargeBinary(32)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.UniqueConstraint("kind", "request_id", name="jobs_once"),
    )
    op.create_index("jobs_state", "jobs", ["state", "not_before"])
    op.create_table(
        "transactions",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("nonce", sa.BigInteger, sa.ForeignKey("slots.nonce"), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("gas", sa.BigInteger, nullable=False),
        sa.Column("max_fee_wei", sa.BigInteger, nullable=False),
        sa.Column("priority_fee_wei", sa.BigInteger, nullable=False),
        sa.Column("jobs", sa.Text, nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
    )
    op.create_index("transactions_nonce", "transactions", ["nonce"])


def downgrade() -> None:
    op.drop_table("transactions")
    op.drop_table("jobs")
    op.drop_table("claims")
    op.drop_table("answers")
    op.drop_table("slots")
    op.drop_table("requests")
    op.drop_table("log_entries")
    op.drop_table("followed_blocks")
    op.drop_table("events")
    op.drop_table("deployment")
