"""Facts: the same statements hold on SQLite and on PostgreSQL."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import AsicReservoirError, BusyError, DataError, UsageError
from asic_reservoir.store import facts
from asic_reservoir.store.facts import Writer, current, downgrade, new_id, now_ns, open_engine, upgrade

HEAD = "0006"


def rows() -> dict[str, dict[str, Any]]:
    """One row of every table, that refer to each other."""
    key, board, calibration, task, run, result = (new_id() for _ in range(6))
    now = now_ns()
    return {
        "keys": {"id": key, "name": "an operator", "hash": "ab" * 32, "scopes": ["admin"], "created_utc_ns": now},
        "boards": {
            "id": board, "uri": "twin://s9?seed=1", "family": "s9", "model": "Antminer S9", "origin": "simulated",
            "info": {"n_chips": 189, "limits": {"voltage_mv": [7950.0, 9400.0]}}, "created_utc_ns": now,
        },
        "calibrations": {
            "id": calibration, "board_id": board, "origin": "simulated", "content": {"edge_mhz": 712.5},
            "sha256": "cd" * 32, "created_utc_ns": now,
        },
        "tasks": {
            "id": task, "kind": "narma10", "request": {"seed": 2**53}, "state": "done", "key_id": key,
            "created_utc_ns": now,
        },
        "runs": {
            "id": run, "board_id": board, "calibration_id": calibration, "task_id": task, "origin": "simulated",
            "state": "finished", "host": "bench", "folder": "runs/1", "provenance": {"code": "0.1.0"},
            "begin_ns": 0, "end_ns": 2**62, "created_utc_ns": now,
        },
        "results": {
            "id": result, "task_id": task, "run_id": run, "origin": "simulated", "report": {"nrmse": 0.1 + 0.2},
            "kept": True, "created_utc_ns": now,
        },
        "models": {
            "id": new_id(), "name": "ridge", "version": 1, "run_id": run, "result_id": result, "origin": "simulated",
            "format": "npz", "content": bytes(range(256)), "sha256": "ef" * 32, "created_utc_ns": now,
        },
        "claims": {
            "id": new_id(), "claim": "2", "board_id": board, "result_id": result, "origin": "simulated",
            "published": "NRMSE 0.8661", "measured": {"value": 0.3}, "verdict": "undecided", "created_utc_ns": now,
        },
        "segments": {
            "run_id": run, "kind": "nonces", "first_row": 0, "end_row": 10, "file": "nonces.parquet", "bytes": 100,
            "sha256": "01" * 32, "begin_ns": -5, "end_ns": 7, "schema_version": 1, "created_utc_ns": now,
        },
    }  # fmt: skip


def insert(connection: sa.Connection, content: dict[str, dict[str, Any]]) -> None:
    for name, row in content.items():
        connection.execute(facts.metadata.tables[name].insert(), row)


def read(engine: sa.Engine, content: dict[str, dict[str, Any]], *without: str) -> dict[str, dict[str, Any]]:
    found = {}
    with engine.connect() as connection:
        for name, row in content.items():
            if name not in without:
                stored = connection.execute(sa.select(facts.metadata.tables[name])).mappings().one()
                found[name] = {column: stored[column] for column in row}
    return found


def test_what_goes_in_comes_out(engine: sa.Engine) -> None:
    content = rows()
    with Writer(engine) as writer:
        writer.run(lambda connection: insert(connection, content))
    assert read(engine, content) == content


def test_migrated_schema_is_the_declared_one(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), facts.metadata) == []
        inspector = sa.inspect(connection)
        for name, table in facts.metadata.tables.items():
            declared = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            found = {c["name"] for c in inspector.get_check_constraints(name)}
            assert found == {
                str(sa.schema.conv(f"ck_{name}_{c}")) if not str(c).startswith("ck_") else c for c in declared
            }


def test_down_and_up_again_keeps_what_the_older_revision_knows(empty_url: str) -> None:
    upgrade(empty_url)
    engine = open_engine(empty_url)
    content = rows()
    with engine.execution_options(write=True).begin() as connection:
        insert(connection, content)
    downgrade(engine, "0001")
    assert current(engine) == "0001"
    assert not sa.inspect(engine).has_table("segments")
    upgrade(engine)
    assert current(empty_url) == HEAD
    assert read(engine, content, "segments") == {k: v for k, v in content.items() if k != "segments"}
    downgrade(engine, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_two_processes_may_migrate_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty_url] * 4))
    assert current(empty_url) == HEAD


def test_unknown_revisions_are_refused(engine: sa.Engine) -> None:
    with pytest.raises(UsageError, match="revision 'nowhere'"):
        upgrade(engine, "nowhere")
    with engine.execution_options(write=True).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DataError, match="'9999' was written by a newer version"):
        upgrade(engine)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("boards", {"origin": "real"}),
        ("runs", {"board_id": "nobody"}),
        ("segments", {"end_row": 0}),
        ("segments", {"end_ns": -6}),
        ("claims", {"verdict": "proven"}),
    ],
)
def test_the_database_itself_refuses_nonsense(engine: sa.Engine, table: str, change: dict[str, Any]) -> None:
    content = rows()
    content[table] |= change
    with Writer(engine) as writer, pytest.raises(sa.exc.IntegrityError):
        writer.run(lambda connection: insert(connection, content))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(facts.boards)).scalar_one() == 0


def test_a_second_result_of_a_task_is_refused(engine: sa.Engine) -> None:
    content = rows()
    with Writer(engine) as writer:
        writer.run(lambda connection: insert(connection, content))
        with pytest.raises(sa.exc.IntegrityError):
            writer.run(lambda c: c.execute(facts.results.insert(), content["results"] | {"id": new_id()}))


def key(name: str) -> dict[str, Any]:
    return {"id": new_id(), "name": name, "hash": name, "scopes": [], "created_utc_ns": 0}


def test_many_callers_one_commit_and_a_failure_is_alone(engine: sa.Engine) -> None:
    """64 callers at once, half of whom ask for a name that is taken: each of those fails, nobody else does."""
    commits = 0

    def count(connection: sa.Connection) -> None:
        nonlocal commits
        commits += 1

    with Writer(engine) as writer:
        writer.run(lambda c: c.execute(facts.keys.insert(), key("taken")))
        sa.event.listen(engine, "commit", count)
        hold = threading.Event()
        first = writer.submit(lambda c: hold.wait(120))  # while it is at work, the others gather
        futures = [
            writer.submit(lambda c, i=i: c.execute(facts.keys.insert(), key("taken" if i % 2 else f"free {i}")) and i)
            for i in range(64)
        ]
        hold.set()
        assert first.result() is True
        for i, future in enumerate(futures):
            if i % 2:
                assert isinstance(future.exception(), sa.exc.IntegrityError)
            else:
                assert future.result() == i
    assert commits <= 2
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(facts.keys)).scalar_one() == 33
    with pytest.raises(UsageError, match="closed"):
        writer.run(lambda c: None)


def test_what_waits_side_by_side_is_done_together(engine: sa.Engine) -> None:
    """In order, with work by itself between; an item that is refused is refused alone."""
    calls: list[int] = []

    def insert_keys(connection: sa.Connection, names: Sequence[str]) -> list[str | Exception]:
        calls.append(len(names))
        wrong = [name for name in names if name.startswith("wrong")]
        connection.execute(facts.keys.insert(), [key(name) for name in names if name not in wrong])
        return [UsageError(name) if name in wrong else name for name in names]

    with Writer(engine) as writer:
        began, hold = threading.Event(), threading.Event()

        def wait(connection: sa.Connection) -> bool:
            began.set()
            return hold.wait(60)

        writer.submit(wait)
        assert began.wait(60)  # what comes now waits together
        names = [f"a{i}" for i in range(20)] + ["wrong"]
        first = [writer.gather(insert_keys, name) for name in names]
        seen = writer.submit(lambda c: c.execute(sa.select(sa.func.count()).select_from(facts.keys)).scalar_one())
        # the second of these finds its name taken: the call as a whole raises, and each is tried by itself
        second = [writer.gather(insert_keys, name) for name in ("b", "a3", "c")]
        hold.set()
        assert [future.result() for future in first[:-1]] == names[:-1]
        assert isinstance(first[-1].exception(), UsageError)
        assert seen.result() == 20
        assert [second[0].result(), second[2].result()] == ["b", "c"]
        assert isinstance(second[1].exception(), sa.exc.IntegrityError)
    assert calls == [21, 3, 1, 1, 1]


def test_work_that_forgets_an_item_is_an_error_of_each(engine: sa.Engine) -> None:
    def forgetful(connection: sa.Connection, names: Sequence[str]) -> list[str | Exception]:
        connection.execute(facts.keys.insert(), [key(name) for name in names])
        return []

    with Writer(engine) as writer:
        futures = [writer.gather(forgetful, name) for name in ("a", "b")]
        for future in futures:
            with pytest.raises(RuntimeError, match="0 outcomes of 1 items"):
                future.result()
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(facts.keys)).scalar_one() == 0


def test_a_locked_database_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asic_reservoir.store.facts.engine.BUSY_TIMEOUT_MS", 20)
    engine = open_engine(f"sqlite:///{tmp_path}/facts.db")
    upgrade(engine)
    with Writer(engine) as writer, engine.execution_options(write=True).begin():
        with pytest.raises(BusyError, match="another process holds it"):
            writer.run(lambda c: c.execute(facts.keys.insert(), key("late")))
        with pytest.raises(BusyError):
            upgrade(engine)
    engine.dispose()


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "facts.db").write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(DataError, match="file is not a database"):
        upgrade(f"sqlite:///{tmp_path}/facts.db")
    with pytest.raises(DataError, match="unable to open"):
        upgrade(f"sqlite:///{tmp_path}/no/such/folder/facts.db")


@given(
    st.text(max_size=40) | st.builds("{}://{}".format, st.sampled_from(["sqlite", "mysql", "postgresql"]), st.text())
)
def test_any_url_is_an_engine_or_a_typed_error(url: str) -> None:
    with contextlib.suppress(AsicReservoirError):
        open_engine(url).dispose()


def test_identifiers_sort_by_age() -> None:
    made = [new_id(i * 1_000_000) for i in range(1000)]
    assert made == sorted(made)
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in made)
