"""Boards, calibrations, tasks, runs, results, models, keys and claims."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "boards",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("family", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("info", JSON, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("seen_utc_ns", sa.BigInteger),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.PrimaryKeyConstraint("id", name="pk_boards"),
        sa.UniqueConstraint("uri", name="uq_boards_uri"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_utc_ns", sa.BigInteger),
        sa.Column("revoked_utc_ns", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
        sa.UniqueConstraint("name", name="uq_keys_name"),
    )

    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("board_id", sa.String(36), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("content", JSON, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("valid_until_utc_ns", sa.BigInteger),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_calibrations_board_id"),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
        sa.UniqueConstraint("board_id", "sha256", name="uq_calibrations_board_id_sha256"),
    )
    op.create_index("ix_calibrations_board_id", "calibrations", ["board_id"])

    op.create_table(
        "tasks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request", JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("key_id", sa.String(36)),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.Column("finished_utc_ns", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_tasks_key_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    op.create_index("ix_tasks_created_utc_ns", "tasks", ["created_utc_ns"])
    op.create_index("ix_tasks_key_id", "tasks", ["key_id"])
    op.create_index("ix_tasks_state", "tasks", ["state"])

    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("board_id", sa.String(36), nullable=False),
        sa.Column("calibration_id", sa.String(36)),
        sa.Column("task_id", sa.String(36)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("provenance", JSON, nullable=False),
        sa.Column("begin_ns", sa.BigInteger),
        sa.Column("end_ns", sa.BigInteger),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.CheckConstraint("state IN ('recording', 'finished', 'imported', 'deleted')", name="state"),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_runs_board_id"),
        sa.ForeignKeyConstraint(["calibration_id"], ["calibrations.id"], name="fk_runs_calibration_id"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_runs_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_board_id", "runs", ["board_id"])
    op.create_index("ix_runs_calibration_id", "runs", ["calibration_id"])
    op.create_index("ix_runs_created_utc_ns", "runs", ["created_utc_ns"])
    op.create_index("ix_runs_task_id", "runs", ["task_id"])

    op.create_table(
        "results",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("task_id", sa.String(36)),
        sa.Column("run_id", sa.String(36)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("begin_ns", sa.BigInteger),
        sa.Column("end_ns", sa.BigInteger),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_results_run_id"),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name="fk_results_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint("task_id", name="uq_results_task_id"),
    )
    op.create_index("ix_results_created_utc_ns", "results", ["created_utc_ns"])
    op.create_index("ix_results_run_id", "results", ["run_id"])

    op.create_table(
        "claims",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("claim", sa.Text, nullable=False),
        sa.Column("board_id", sa.String(36), nullable=False),
        sa.Column("result_id", sa.String(36)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("published", sa.Text, nullable=False),
        sa.Column("measured", JSON, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.CheckConstraint("verdict IN ('supported', 'not supported', 'undecided')", name="verdict"),
        sa.ForeignKeyConstraint(["board_id"], ["boards.id"], name="fk_claims_board_id"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_claims_result_id"),
        sa.PrimaryKeyConstraint("id", name="pk_claims"),
    )
    op.create_index("ix_claims_board_id", "claims", ["board_id"])
    op.create_index("ix_claims_created_utc_ns", "claims", ["created_utc_ns"])
    op.create_index("ix_claims_result_id", "claims", ["result_id"])

    op.create_table(
        "models",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("run_id", sa.String(36)),
        sa.Column("result_id", sa.String(36)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_utc_ns", sa.BigInteger, nullable=False),
        sa.CheckConstraint("origin IN ('simulated', 'replayed', 'measured')", name="origin"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_models_result_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_models_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", "version", name="uq_models_name_version"),
    )
    op.create_index("ix_models_result_id", "models", ["result_id"])
    op.create_index("ix_models_run_id", "models", ["run_id"])


def downgrade() -> None:
    op.drop_table("models")
    op.drop_table("claims")
    op.drop_table("results")
    op.drop_table("runs")
    op.drop_table("tasks")
    op.drop_table("calibrations")
    op.drop_table("keys")
    op.drop_table("boards")
