"""Entries that the log did not take in time, of a node whose policy is to answer all the same; and claims signed without a logged intent.

    owed: waiting ──the log took it, marked late──▶ delivered      waiting ──the log will never take it──▶ refused

Rows are not deleted: of a delivered intent the place is needed as long as its claim is kept, which is for ever.
"""

import sqlalchemy as sa
from alembic import op

revision = "node_0004"
down_revision = "node_0003"
branch_labels = None
depends_on = None

INTENT = ("intent_index", "intent_leaf_hash", "intent_tree_size")


def upgrade() -> None:
    op.create_table(
        "owed",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.LargeBinary(32), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("index", sa.BigInteger),
        sa.Column("leaf_hash", sa.LargeBinary(32)),
        sa.Column("tree_size", sa.BigInteger),
        sa.Column("refusal", sa.String(200)),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("guard", recreate="always" if is_sqlite else "never") as guard:
        for name in INTENT:
            guard.alter_column(name, nullable=True)
    if is_sqlite:  # a table that is made anew has lost its triggers
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER guard_is_for_ever_{action.lower()} BEFORE {action} ON guard "
                "BEGIN SELECT RAISE(ABORT, 'a row of guard is never changed or deleted'); END"
            )
