"""What is asked of a board at every turn stays quick with a hundred thousand tasks behind it, or before it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_tasks_board_id_id_succeeded", ["board_id", "id"], "state = 'succeeded'"),
    (
        "ix_tasks_board_id_deadline_utc_ns_queued",
        ["board_id", "deadline_utc_ns"],
        "state = 'queued' AND deadline_utc_ns IS NOT NULL",
    ),
)


def upgrade() -> None:
    for name, columns, rows in INDEXES:
        op.create_index(name, "tasks", columns, sqlite_where=sa.text(rows), postgresql_where=sa.text(rows))


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, "tasks")
