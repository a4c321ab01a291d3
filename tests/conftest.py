"""Databases for the SQL suite: SQLite in a folder, and a real PostgreSQL."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from asic_reservoir.store.facts import open_engine, upgrade

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server: the one of ASIC_RESERVOIR_TEST_POSTGRES, or one of our own, started here."""
    if url := os.environ.get("ASIC_RESERVOIR_TEST_POSTGRES"):
        yield url
        return
    missing = None
    if not (POSTGRES_BIN / "initdb").exists():
        missing = f"PostgreSQL: {POSTGRES_BIN} is absent (apt-get install postgresql), and ASIC_RESERVOIR_TEST_POSTGRES"
    elif os.geteuid() == 0 and shutil.which("runuser") is None:
        missing = "PostgreSQL: refuses to run as root, and there is no runuser; set ASIC_RESERVOIR_TEST_POSTGRES"
    if missing is not None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("postgres", numbered=True)
    # the server's user must reach its folder; pytest makes its own folders for their owner only
    home = Path("/tmp") / f"asic-pg-{secrets.token_hex(4)}"
    home.mkdir(mode=0o755)
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(home, "postgres")
    data = home / "data"
    log = (folder / "log").open("wb")

    def command(*words: str) -> None:
        subprocess.run([*user, *words], check=True, stdout=log, stderr=log, cwd="/", timeout=60)

    command(str(POSTGRES_BIN / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off"
    try:
        command(str(POSTGRES_BIN / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(home / "log"), "start")
        yield f"postgresql://tester@/postgres?host={home}"
    finally:
        subprocess.run(
            [*user, str(POSTGRES_BIN / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"],
            stdout=log, stderr=log, cwd="/", timeout=60, check=False,
        )  # fmt: skip
        log.close()
        shutil.rmtree(home, ignore_errors=True)


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
