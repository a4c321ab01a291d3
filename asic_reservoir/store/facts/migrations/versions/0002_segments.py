"""The catalogue of sealed segments of every run."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("first_row", sa.BigInteger, nullable=False),
        sa.Column("end_row", sa.BigInteger, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("begin_ns", sa.BigInteger, nullable=False),
        sa.Column("end_ns", sa.BigInteger, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("end_ns >= begin_ns", name="times"),
        sa.CheckConstraint("end_row > first_row", name="rows"),
        sa.PrimaryKeyConstraint("run_id", "kind", "first_row", name="pk_segments"),
    )
    op.create_index("ix_segments_run_id_kind_begin_ns", "segments", ["run_id", "kind", "begin_ns"])


def downgrade() -> None:
    op.drop_table("segments")
