"""What a relay wants on top for a delivery with a proof, whose verification it pays."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0004"
down_revision = "relay_0003"


def upgrade() -> None:
    op.add_column("terms", sa.Column("minimum_proof_fee_wei", sa.Text, nullable=False, server_default="0"))
