"""Queue, leases, reservations, events and files of tasks, audit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
ID = sa.String(36)


def upgrade() -> None:
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("board_id", ID))
        tasks.add_column(sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
        tasks.add_column(sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
        tasks.add_column(sa.Column("max_attempts", sa.Integer, nullable=False, server_default="3"))
        tasks.add_column(sa.Column("deadline_utc_ns", sa.BigInteger))
        tasks.add_column(sa.Column("started_utc_ns", sa.BigInteger))
        tasks.add_column(sa.Column("last_event", sa.BigInteger, nullable=False, server_default="0"))
        tasks.add_column(sa.Column("owner", ID, nullable=False, server_default=""))
        tasks.create_foreign_key("fk_tasks_board_id", "boards", ["board_id"], ["id"])
    op.create_index(
        "ix_tasks_board_id_state_priority_owner_id", "tasks", ["board_id", "state", "priority", "owner", "id"]
    )
    op.create_index("ix_tasks_owner_state", "tasks", ["owner", "state"])
    with op.batch_alter_table("keys") as keys:
        keys.add_column(sa.Column("prefix", sa.String(16)))
        keys.add_column(sa.Column("limits", JSON))
    op.create_index("ix_keys_prefix", "keys", ["prefix"])

    op.create_table(
        "shelf",
        sa.Column("board_id", ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("live", JSON),
        sa.Column("live_utc_ns", sa.BigInteger),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_shelf_board_id"),
        sa.PrimaryKeyConstraint("board_id", name="pk_shelf"),
        sa.UniqueConstraint("name", name="uq_shelf_name"),
    )
    op.create_table(
        "leases",
        sa.Column("board_id", ID, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("domain", sa.Text),
        sa.Column("renewed_utc_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_leases_board_id"),
        sa.PrimaryKeyConstraint("board_id", name="pk_leases"),
    )
    op.create_table(
        "task_events",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_task_events_task_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "sequence", name="pk_task_events"),
    )
    op.create_table(
        "attempts",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("board_id", ID, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("energised", sa.Boolean, nullable=False),
        sa.Column("started_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("finished_utc_ns", sa.BigInteger),
        sa.Column("outcome", sa.Text),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_attempts_board_id"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_attempts_task_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "number", name="pk_attempts"),
    )
    op.create_table(
        "task_files",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_task_files_task_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "name", name="pk_task_files"),
    )
    op.create_table(
        "reservations",
        sa.Column("id", ID, nullable=False),
        sa.Column("board_id", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_utc_ns", sa.BigInteger),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_reservations_board_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reservations"),
    )
    op.create_index("ix_reservations_board_id", "reservations", ["board_id"])
    op.create_table(
        "idempotency",
        sa.Column("owner", ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_idempotency_task_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("owner", "name", name="pk_idempotency"),
    )
    op.create_table(
        "shares",
        sa.Column("owner", ID, nullable=False),
        sa.Column("served_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_shares"),
    )
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("detail", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_created_utc_ns", "audit", ["created_utc_ns"])


def downgrade() -> None:
    for table in (
        "audit", "shares", "idempotency", "reservations", "task_files", "attempts", "task_events", "leases", "shelf",
    ):  # fmt: skip
        op.drop_table(table)
    op.drop_index("ix_keys_prefix", "keys")
    with op.batch_alter_table("keys") as keys:
        keys.drop_column("limits")
        keys.drop_column("prefix")
    op.drop_index("ix_tasks_owner_state", "tasks")
    op.drop_index("ix_tasks_board_id_state_priority_owner_id", "tasks")
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_constraint("fk_tasks_board_id", type_="foreignkey")
        for column in (
            "owner", "last_event", "started_utc_ns", "deadline_utc_ns", "max_attempts", "attempts", "priority",
            "board_id",
        ):  # fmt: skip
            tasks.drop_column(column)
