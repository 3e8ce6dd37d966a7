"""Bodies and sealed fields become ciphertexts, one row for each, beside the record they belong to.

What was stored in the clear is dropped: records of the first format cannot be read any more either.
"""

import sqlalchemy as sa
from alembic import op

revision = "log_0002"
down_revision = "log_0001"


def upgrade() -> None:
    op.drop_table("bodies")
    op.create_table(
        "content",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(110), primary_key=True),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
    )
    op.alter_column("entries", "request_id", new_column_name="call_id")


def downgrade() -> None:
    op.alter_column("entries", "call_id", new_column_name="request_id")
    op.drop_table("content")
    op.create_table(
        "bodies",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
