"""Inputs and outputs of streams, uploaded series."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
ID = sa.String(36)


def upgrade() -> None:
    op.create_table(
        "streams",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("reservation_id", ID, nullable=False),
        sa.Column("next_input", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("low", sa.Double, nullable=False),
        sa.Column("high", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_streams_task_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["reservation_id"], ["reservations.id"], name="fk_streams_reservation_id"),
        sa.PrimaryKeyConstraint("task_id", name="pk_streams"),
    )
    op.create_index("ix_streams_reservation_id", "streams", ["reservation_id"])
    op.create_table(
        "stream_steps",
        sa.Column("task_id", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("u", sa.Double, nullable=False),
        sa.Column("output", JSON),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_stream_steps_task_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task_id", "sequence", name="pk_stream_steps"),
    )
    op.create_table(
        "uploads",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )


def downgrade() -> None:
    op.drop_table("uploads")
    op.drop_table("stream_steps")
    op.drop_table("streams")
