"""Jobs, the guard against signing twice, the trail of followed blocks, and whose they are.

Job states and who moves them:

    QUEUED ──taken by a worker──▶ RUNNING ──signed, result in the log──▶ ANSWERED
      ▲ ▲                          │  │  └──a rule of the protocol or the model──▶ REFUSED
      │ └─log, chain or memory fails┘  └──an invariant of ours broke──▶ BROKEN
      │   (tried again later), or the process died
      └──seen again── DROPPED ◀──the block with the request vanished── QUEUED, RUNNING, REFUSED, BROKEN

ANSWERED is for ever. A row of `guard` is written in the transaction in which the signature is made, and never changed or deleted.
"""

import sqlalchemy as sa
from alembic import op

revision = "node_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("requester", sa.String(42), nullable=False, index=True),
        sa.Column("input", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("block_number", sa.BigInteger),
        sa.Column("block_hash", sa.LargeBinary(32), index=True),
        sa.Column("transaction_hash", sa.LargeBinary(32)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.Column("intent_index", sa.BigInteger),
        sa.Column("intent_leaf_hash", sa.LargeBinary(32)),
        sa.Column("intent_tree_size", sa.BigInteger),
        sa.Column("problem", sa.String(64)),
        sa.Column("problem_detail", sa.Text),
    )
    op.create_table(
        "guard",
        sa.Column("chain_id", sa.String(78), primary_key=True),
        sa.Column("coprocessor", sa.String(42), primary_key=True),
        sa.Column("request_id", sa.LargeBinary(32), primary_key=True),
        sa.Column("model_id", sa.LargeBinary(32), nullable=False),
        sa.Column("input_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("output_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("output", sa.LargeBinary, nullable=False),
        sa.Column("signer", sa.String(42), nullable=False),
        sa.Column("signature", sa.LargeBinary(65), nullable=False),
        sa.Column("runtime", sa.Text, nullable=False),
        sa.Column("microseconds", sa.BigInteger, nullable=False),
        sa.Column("intent_index", sa.BigInteger, nullable=False),
        sa.Column("intent_leaf_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("intent_tree_size", sa.BigInteger, nullable=False),
    )
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
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER guard_is_for_ever_{action.lower()} BEFORE {action} ON guard "
                "BEGIN SELECT RAISE(ABORT, 'a row of guard is never changed or deleted'); END"
            )
