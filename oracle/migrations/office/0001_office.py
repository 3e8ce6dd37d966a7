"""Pseudonyms, sessions, sign-ins under way, cases and their transitions. States and transitions: oracle/office/cases.py."""

import sqlalchemy as sa
from alembic import op

revision = "office_0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "actors",
        sa.Column("person", sa.String(800), primary_key=True),
        sa.Column("actor", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("person", sa.String(800), nullable=False),
        sa.Column("name", sa.String(300), nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(32)),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_index("sessions_expires", "sessions", ["expires"])
    op.create_table(
        "sign_ins",
        sa.Column("state_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("browser_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "cases",
        sa.Column("number", ID, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("requester", sa.String(64), nullable=False),
        sa.Column("requested", sa.String(32), nullable=False),
        sa.Column("until", sa.String(32)),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
    )
    op.create_index("cases_kind", "cases", ["kind", "number"])
    op.create_table(
        "transitions",
        sa.Column("case_id", sa.String(32), sa.ForeignKey("cases.id"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(24), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("time", sa.String(32), nullable=False),
        sa.Column("until", sa.String(32)),
        sa.Column("entry", sa.Text),
        sa.Column("index", sa.BigInteger),
    )
    op.create_table(
        "named_entries",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("case_id", sa.String(32), sa.ForeignKey("cases.id"), primary_key=True),
    )
    op.create_index("transitions_pending", "transitions", ["index"])
