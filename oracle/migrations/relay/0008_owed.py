"""What a signed request owes out of a deposit, in a column of its own: it is added up whenever its requester asks again."""

import json

import sqlalchemy as sa
from alembic import op

revision = "relay_0008"
down_revision = "relay_0007"


def upgrade() -> None:
    op.add_column("requests", sa.Column("owed_wei", sa.Text))
    requests = sa.table("requests", sa.column("id"), sa.column("request"), sa.column("signature"), sa.column("owed_wei"))
    fill = requests.update().where(requests.c.id == sa.bindparam("row"))
    signed = sa.select(requests.c.id, requests.c.request).where(sa.func.length(requests.c.signature) > 0)
    connection = op.get_bind()
    for row, request in connection.execute(signed).all():
        connection.execute(fill.values(owed_wei=json.loads(request)["fee_wei"]), {"row": row})
    op.drop_index("requests_requester", "requests")
    op.create_index("requests_requester", "requests", ["requester", "state", "owed_wei"])
