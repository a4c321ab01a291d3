"""Whatever is killed, filled or damaged: nothing that was acknowledged is lost, and every damage is named.

Every fault comes ASIC_RESERVOIR_FAULT_TRIALS times, at another moment or place each time: 100 where that is not set,
as CI has it. ``ASIC_RESERVOIR_FAULT_TRIALS=1000 pytest tests/store/test_store_faults.py`` looks longer.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import victims

from asic_reservoir.board import Origin
from asic_reservoir.errors import AsicReservoirError, BusyError, DataError
from asic_reservoir.nonces import NonceBatch
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events.compact import compact
from asic_reservoir.store.events.folder import RunFolder, RunRecord
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.log import EventLog, LogOptions
from asic_reservoir.store.events.reader import RunReader
from asic_reservoir.store.events.recover import recover
from asic_reservoir.store.events.verify import verify
from asic_reservoir.store.facts import current, downgrade, keys, open_engine, upgrade

TRIALS = int(os.environ.get("ASIC_RESERVOIR_FAULT_TRIALS", "100"))

pytestmark = pytest.mark.slow


class Victims:
    """The server of processes to be killed."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, victims.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, play: str, folder: Path, seed: int, children: int = 1) -> list[int]:
        assert self._server.stdin is not None
        request = {"play": play, "folder": str(folder), "seed": seed, "children": children}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def status(self) -> list[int]:
        assert self._server.stdin is not None
        self._server.stdin.write("\n")
        self._server.stdin.flush()
        return self._answer()

    def kill(self, play: str, folder: Path, seed: int, within_s: float) -> int:
        """Start a play, and kill it at a random moment after its first word; gives how often it had acknowledged."""
        acks = folder.parent / "acks"
        acks.unlink(missing_ok=True)
        (child,) = self.ask(play, folder, seed)
        deadline = time.monotonic() + 120
        while not (acks.exists() and acks.stat().st_size):
            assert time.monotonic() < deadline, "the victim says nothing"
            time.sleep(0.0005)
        time.sleep(random.Random(seed).uniform(0, within_s))
        os.kill(child, signal.SIGKILL)
        (status,) = self.status()
        assert os.WIFSIGNALED(status) or play == "compact", "the victim died by itself"
        words = np.fromfile(acks, np.int64)
        return int(words[-1]) if words.size else 0

    def _answer(self) -> list[int]:
        assert self._server.stdout is not None
        return list(json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(60)


@pytest.fixture(scope="module")
def killer() -> Iterator[Victims]:
    made = Victims()
    yield made
    made.close()


def new_run(path: Path) -> RunFolder:
    return RunFolder.create(path, RunRecord.new(Origin.SIMULATED, {}))


def check_rows(folder: RunFolder, at_least: int, at_most: int) -> int:
    """Every row from 0 on is there once, in order, as it was made."""
    with RunReader(folder.path) as reader:
        found = reader.nonces()
    assert at_least <= len(found) <= at_most
    assert found.equals(victims.batch(0, len(found)))
    return len(found)


@pytest.mark.parametrize("play", ["append", "seal"])
def test_killed_while_appending_or_sealing(play: str, killer: Victims, tmp_path: Path) -> None:
    """Killed, killed again while it recovers, and so on: every acknowledged row is there, and none twice."""
    folder = new_run(tmp_path / "run")
    acknowledged = cut = 0
    for trial in range(TRIALS):
        if trial % 4 == 0:
            shutil.rmtree(folder.path)
            folder, acknowledged = new_run(tmp_path / "run"), 0
        # the next child recovers what this one leaves, so every other kill hits a recovery or the time after it
        acknowledged = max(acknowledged, killer.kill(play, folder.path, trial, 0.03))
        check_rows(folder, acknowledged, acknowledged + victims.MAX_BATCH)  # as a reader finds it, before recovery
        if trial % 2:
            lock = folder.lock()
            report = recover(folder)
            lock.release()
            assert report.damages == []
            cut += len(report.cut)
            assert verify(folder).damages == []
            check_rows(folder, acknowledged, acknowledged + victims.MAX_BATCH)


def test_killed_while_compacting(killer: Victims, tmp_path: Path) -> None:
    template = new_run(tmp_path / "template")
    with EventLog(template, LogOptions(segment_rows=5000)) as log:
        for part in range(12):
            log.append(Kind.NONCES, victims.batch(part * 5000, 5000))
    before = 0
    for trial in range(TRIALS):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(template.path, tmp_path / "run")
        folder = RunFolder.at(tmp_path / "run")
        killer.kill("compact", folder.path, trial, 0.03)
        check_rows(folder, 60000, 60000)
        lock = folder.lock()
        report = recover(folder)
        assert report.damages == []
        before += len(folder.segment_files()) == 12
        assert verify(folder).damages == []
        check_rows(folder, 60000, 60000)
        compact(folder)
        lock.release()
        check_rows(folder, 60000, 60000)
        assert len(folder.segment_files()) == 1
        assert not list(folder.path.glob("*.tmp"))
    assert before > 0, "every kill came too late to hit a compaction"


def wait_for_the_server(engine: sa.Engine) -> None:
    """A server of PostgreSQL ends what a killed client had sent, a commit too: wait until it is done with it."""
    if engine.dialect.name != "postgresql":
        return
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    while True:
        with engine.connect() as connection:
            if connection.exec_driver_sql(others).scalar_one() == 0:
                return
        assert time.monotonic() < deadline, "the server still works for the client that was killed"
        time.sleep(0.002)


def test_killed_while_migrating(killer: Victims, empty_url: str, tmp_path: Path) -> None:
    """On both databases: a revision is there whole or not at all, and what was stored stays."""
    url, folder = empty_url, tmp_path / "facts"
    folder.mkdir()
    (folder / "url").write_text(url)
    upgrade(url)
    downgrade(url, "0001")
    engine = open_engine(url)
    row = {"id": "1", "name": "n", "hash": "h", "scopes": ["a"], "created_utc_ns": 7}
    with engine.execution_options(write=True).begin() as connection:
        connection.execute(keys.insert(), row)
    for trial in range(TRIALS):
        killer.kill("migrate", folder, trial, 0.1)  # it does nothing else, so every kill hits a migration
        wait_for_the_server(engine)
        revision = current(engine)
        assert sa.inspect(engine).has_table("segments") is (revision != "0001")
        with engine.connect() as connection:
            assert connection.execute(sa.select(keys.c.name, keys.c.scopes)).one() == ("n", ["a"])
    upgrade(engine)
    engine.dispose()


def test_two_writers_on_one_run(killer: Victims, tmp_path: Path) -> None:
    """Of two that come at once, one writes and the other is told so."""
    for trial in range(TRIALS):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        folder = new_run(tmp_path / "run")
        killer.ask("hold", folder.path, trial, children=2)
        statuses = sorted(os.waitstatus_to_exitcode(status) for status in killer.status())
        assert statuses == [0, BusyError.exit_code]


def fill(log: EventLog, rows: int, chance: random.Random) -> int:
    """Append until the disk is full; gives how many rows were acknowledged."""
    while True:
        n = chance.randint(1, 1000)
        try:
            log.append(Kind.NONCES, victims.batch(rows, n))
        except StoreWriteError:
            return rows
        rows += n


def test_disk_full(small_disk: Path) -> None:
    """What was acknowledged is kept, what was not is not; with room again, it goes on."""
    for trial in range(TRIALS):
        chance = random.Random(trial)
        run = small_disk / f"run{trial}"
        folder = new_run(run)
        log = EventLog(folder, LogOptions(segment_rows=chance.choice([3000, 1 << 30]), sync_interval_s=0.01))
        rows = 0
        log.append(Kind.NONCES, victims.batch(0, 10))
        rows = 10
        # leave between one page and 300 kB
        free = shutil.disk_usage(small_disk).free
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(max(0, free - chance.randint(4096, 300_000))))
        rows = fill(log, rows, chance)
        check_rows(folder, rows, rows)
        ballast.unlink()
        log.append(Kind.NONCES, victims.batch(rows, 500))
        rows += 500
        log.close()
        check_rows(folder, rows, rows)
        assert verify(folder).damages == []
        assert not folder.logs()
        shutil.rmtree(run)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with sealed segments, and a log that a crash left."""
    folder = new_run(tmp_path_factory.mktemp("sound") / "run")
    for part in range(2):
        with EventLog(folder, LogOptions(segment_rows=1 << 30)) as log:
            log.append(Kind.NONCES, victims.batch(part * 200_000, 200_000))
    killed = folder.path.with_name("killed")
    shutil.copytree(folder.path, killed)
    log = EventLog(RunFolder.at(killed))
    for first in range(400_000, 440_000, 4000):
        log.append(Kind.NONCES, victims.batch(first, 4000))
    (path,) = RunFolder.at(killed).logs()
    shutil.copy(path, folder.path)
    log.close()
    return folder


def damaged_copy(sound: RunFolder, target: Path) -> RunFolder:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(sound.path, target)
    return RunFolder(target)


def check_the_rest(folder: RunFolder, damaged: range | None) -> None:
    """Every row that the report does not name is readable, and no row is wrong."""
    whole = victims.batch(0, 440_000)
    with RunReader(folder.path) as reader:
        found = reader.nonces(partial=True)
        missing = reader.missing()
    expected = np.ones(len(whole), bool)
    for gap in missing:
        expected[gap.first_row : gap.end_row] = False
    if damaged is not None:
        expected[damaged.start : damaged.stop] = False
    assert found.equals(whole.select(expected))


@pytest.mark.parametrize("where", ["segment", "log"])
def test_a_flipped_bit_is_found_and_costs_no_more_than_its_block(where: str, sound: RunFolder, tmp_path: Path) -> None:
    for trial in range(TRIALS):
        chance = random.Random(trial)
        folder = damaged_copy(sound, tmp_path / "run")
        names = [p.name for p in folder.path.iterdir() if p.suffix == (".parquet" if where == "segment" else ".open")]
        path = folder.path / chance.choice(sorted(names))
        data = bytearray(path.read_bytes())
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        report = verify(folder)
        assert report.damages, f"trial {trial}: byte {at} of {path.name} was not found"
        assert {damage.file for damage in report.damages} == {path.name}
        lost = 0
        for damage in report.damages:
            if damage.begin is not None:
                assert damage.end is not None
                assert damage.begin <= at < damage.end or where == "segment"
            lost += (damage.end_row or 0) - (damage.first_row or 0)
        assert lost <= 131_072
        tail = None
        if where == "log":  # the header of the last frame may be what was hit: then nothing says which rows it had
            tail = range(436_000, 440_000) if report.damages[0].end == len(data) else None
        check_the_rest(folder, tail)
        if where == "log":
            lock = folder.lock()
            recovery = recover(folder)
            lock.release()
            assert [(d.begin, d.end) for d in recovery.damages] == [(d.begin, d.end) for d in report.damages]
            assert (folder.path / "00000001.damaged").exists()
            check_the_rest(folder, tail)


def test_a_truncated_file_is_found(sound: RunFolder, tmp_path: Path) -> None:
    for trial in range(TRIALS):
        chance = random.Random(trial)
        folder = damaged_copy(sound, tmp_path / "run")
        path = folder.path / chance.choice(
            sorted(p.name for p in folder.path.iterdir() if p.suffix in (".parquet", ".open"))
        )
        size = path.stat().st_size
        keep = chance.randrange(size)
        os.truncate(path, keep)
        report = verify(folder)
        if path.suffix == ".parquet":
            assert [damage.file for damage in report.damages] == [path.name] * len(report.damages) != []
            check_the_rest(folder, None)
        else:
            with RunReader(folder.path) as reader:
                found = reader.nonces()
            assert found.equals(victims.batch(0, len(found)))
            assert len(found) >= 400_000


def test_any_damage_gives_data_or_a_typed_error(sound: RunFolder, tmp_path: Path) -> None:
    """The record and the catalogue too; recovery brings back whatever can be brought back."""
    whole = victims.batch(0, 440_000)
    for trial in range(TRIALS):
        chance = random.Random(trial)
        folder = damaged_copy(sound, tmp_path / "run")
        path = folder.path / chance.choice(["run.json", "catalogue.db", "catalogue.db", "catalogue.db"])
        data = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 1, 20])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        report = verify(folder)
        try:
            with RunReader(folder.path) as reader:
                assert reader.nonces().equals(whole)
        except AsicReservoirError:
            assert report.damages
        if path.name == "run.json":
            assert report.damages
            continue
        lock = folder.lock()
        recovery = recover(folder)
        lock.release()
        with RunReader(folder.path) as reader:
            found = reader.nonces(partial=True)
        assert found.equals(whole) or recovery.damages or verify(folder).damages


def test_time_that_steps_back_reorders_nothing(tmp_path: Path) -> None:
    """The order of arrival stays, and a window finds every row with a time in it, wherever it lies."""
    for trial in range(TRIALS):
        chance = np.random.default_rng(trial)
        folder = new_run(tmp_path / f"run{trial}")
        steps = chance.integers(0, 2000, 3000)
        steps[chance.integers(0, 3000, 5)] = -chance.integers(10**3, 10**6, 5)
        made = victims.batch(0, 3000)
        time_ns = np.cumsum(steps).astype(np.int64)
        made = NonceBatch(time_ns, *(column for name, column in made.columns() if name != "time_ns"))
        with EventLog(folder, LogOptions(segment_rows=int(chance.integers(200, 4000)))) as log:
            for begin in range(0, 3000, 250):
                log.append(Kind.NONCES, made.select(slice(begin, begin + 250)))
            low, high = sorted(int(t) for t in chance.choice(time_ns, 2))
            inside = (time_ns >= low) & (time_ns < high)
            with RunReader(folder.path) as reader:
                assert reader.nonces(low, high).equals(made.select(inside))
        with RunReader(folder.path) as reader:
            assert reader.nonces().equals(made)
            assert reader.nonces(low, high).equals(made.select(inside))
        shutil.rmtree(folder.path)


def test_a_damage_is_refused_until_partial_data_is_asked_for(sound: RunFolder, tmp_path: Path) -> None:
    folder = damaged_copy(sound, tmp_path / "run")
    path = next(iter(sorted(folder.path.glob("nonces-*"))))
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with RunReader(folder.path) as reader:
        with pytest.raises(DamageError, match=r"nonces-000000000000-\d+\.parquet: rows 0 to 131071 are damaged"):
            reader.nonces()
        assert len(reader.nonces(200_000_000, 300_000_000)) == 100_000


def test_another_version_is_refused(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    text = RunRecord.new(Origin.SIMULATED, {})
    newer = RunRecord(text.run_id, text.origin, {}, 0, {}, schema_version=99)
    folder.record_path.write_bytes(newer.to_json())
    with pytest.raises(DataError, match="schema_version 99, must be at most 1"):
        RunReader(folder.path)
