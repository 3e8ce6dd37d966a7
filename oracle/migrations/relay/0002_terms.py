"""The relay's terms, where the API reads them. One row from the beginning: a price of 0 until a relay says otherwise."""

import sqlalchemy as sa
from alembic import op

revision = "relay_0002"
down_revision = "relay_0001"


def upgrade() -> None:
    terms = op.create_table(
        "terms",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("minimum_fee_wei", sa.Text, nullable=False),
        sa.Column("minimum_fee_per_callback_gas_wei", sa.Text, nullable=False),
        sa.Column("max_callback_gas", sa.Text, nullable=False),
    )
    row = {"id": 1, "minimum_fee_wei": "0", "minimum_fee_per_callback_gas_wei": "0", "max_callback_gas": "1000000"}
    op.bulk_insert(terms, [row])
