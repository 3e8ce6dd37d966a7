"""The records of the log's configuration are few, and looked for at every start."""

import sqlalchemy as sa
from alembic import op

revision = "log_0003"
down_revision = "log_0002"


def upgrade() -> None:
    only = sa.text("kind = 'config'")
    op.create_index("entries_config", "entries", ["index"], sqlite_where=only, postgresql_where=only)


def downgrade() -> None:
    op.drop_index("entries_config", "entries")
