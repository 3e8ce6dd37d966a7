"""What a recorder could not log in time, on this machine's disk.

    waiting ──the log took it──▶ delivered      waiting ──the log will never take it──▶ refused

`sealed` is encrypted (oracle/ingest/spool.py). Of what is delivered only the place stays, and only until the call's end is delivered too.
"""

import sqlalchemy as sa
from alembic import op

revision = "spool_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spooled",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("call_id", sa.LargeBinary(32), nullable=False, index=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("refusal", sa.String(200)),
    )
