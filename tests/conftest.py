"""Databases for the SQL suite: SQLite in a folder, and a real PostgreSQL; a disk that is soon full."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import own_postgres
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from asic_reservoir.store.facts import open_engine, upgrade

# No time limits: a busy machine, or a first compilation, is no failure. The examples are the same in every run, so that
# a run says something about the change that it tests; ASIC_RESERVOIR_RANDOM_EXAMPLES=1 draws others each time.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("ASIC_RESERVOIR_RANDOM_EXAMPLES") != "1",
)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one of ASIC_RESERVOIR_TEST_POSTGRES, or one of our own, started here."""
    if (missing := own_postgres.missing()) is not None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    with own_postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database with nothing in it; the same tests run on both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/facts.db"
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{secrets.token_hex(6)}"
    admin = open_engine(server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:
    """An engine on a database with all tables."""
    engine = open_engine(empty_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, or of the size that is its parameter."""
    size = getattr(request, "param", "2m")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        missing = f"disk full: needs the right to mount a tmpfs ({mounted.stderr.decode().strip()})"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)
