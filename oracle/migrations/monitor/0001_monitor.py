"""A monitor's memory of a log: the head it believes, how far it read, each writer's last number, alarms, and what is still to be told."""

import sqlalchemy as sa
from alembic import op

revision = "monitor_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "monitor_logs",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("audited", sa.BigInteger, nullable=False),
        sa.Column("anchored", sa.BigInteger, nullable=False),
        sa.Column("log_time", sa.String(32), nullable=False),
    )
    op.create_table(
        "monitor_writers",
        sa.Column("origin", sa.String(512), primary_key=True),
        sa.Column("writer", sa.String(64), primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("skew", sa.Text, nullable=False),
        sa.Column("discipline", sa.Text, nullable=False),
    )
    op.create_table(
        "monitor_alarms",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("origin", sa.String(512), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(700), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
    )
    op.create_index("monitor_alarms_standing", "monitor_alarms", ["origin", "state", "kind", "subject"])
    op.create_table(
        "monitor_outbox",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for name in ("monitor_outbox", "monitor_alarms", "monitor_writers", "monitor_logs"):
        op.drop_table(name)
