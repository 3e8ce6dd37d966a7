"""Keys of subjects and records, and the holds that keep them from being destroyed."""

import sqlalchemy as sa
from alembic import op

revision = "custody_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "custody_secrets",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("key_id", sa.LargeBinary(8), nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "subjects",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("tag", sa.LargeBinary(32), unique=True),
        sa.Column("wrapped_key", sa.LargeBinary),
    )
    op.create_table(
        "record_keys",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.LargeBinary(16), nullable=False),
        sa.Column("call_id", sa.LargeBinary(32)),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary),
    )
    op.create_index("record_keys_subject", "record_keys", ["subject", "index"])
    op.create_index("record_keys_expires", "record_keys", ["expires", "index"])
    op.create_table(
        "holds",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("first_index", sa.BigInteger),
        sa.Column("last_index", sa.BigInteger),
        sa.Column("call_id", sa.LargeBinary(32)),
        sa.Column("subject", sa.LargeBinary(16)),
    )


def downgrade() -> None:
    for table in ("holds", "record_keys", "subjects", "custody_secrets"):
        op.drop_table(table)
