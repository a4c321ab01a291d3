"""Telemetry store: ingest, latency, queries and scans, side by side with a SQL table of nonces.

Sizes come from the environment; the defaults take about a minute, those of the stated goals about four and 3 GB::

    ASIC_RESERVOIR_BENCH_STORE_SECONDS   of paced ingest (6; the stated goal is 60)
    ASIC_RESERVOIR_BENCH_STORE_EVENTS    in the run that is queried (2e7; the stated goal is 1e8)
    ASIC_RESERVOIR_BENCH_STORE_FOLDER    where to write (a temporary folder)

The note of a row begins with its goal, and whether this run met it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import sqlalchemy as sa

from asic_reservoir.board import NonceBatch, Origin
from asic_reservoir.nonces import DTYPES
from asic_reservoir.store.events import EventLog, Kind, LogOptions, RunFolder, RunReader, RunRecord, Where, ahead
from tests import own_postgres

SECONDS = float(os.environ.get("ASIC_RESERVOIR_BENCH_STORE_SECONDS", "6"))
EVENTS = int(float(os.environ.get("ASIC_RESERVOIR_BENCH_STORE_EVENTS", "2e7")))
FOLDER = os.environ.get("ASIC_RESERVOIR_BENCH_STORE_FOLDER")

RATE_HZ = 100_000
"""Nonces a second in the run that is queried: a rack."""
PACED_HZ = 1_000_000
TICK_S = 0.1
ROUNDS = 5
STREAM_S = 60.0

Row = dict[str, Any]


def row(name: str, value: float, unit: str, goal: str = "", reference: str = "", ratio: float | None = None,
        note: str = "") -> Row:  # fmt: skip
    """A row of the table. ``goal`` is as ``<= 25``; it is of the ratio where there is one."""
    if goal:
        word, bound = goal.split()
        measured = value if ratio is None else ratio
        met = measured <= float(bound) if word == "<=" else measured >= float(bound)
        note = f"goal {goal}{'' if ratio is None else 'x'}: {'met' if met else 'NOT met'}{'; ' if note else ''}{note}"
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


def nonces(n: int, seed: int = 0, rate_hz: float = RATE_HZ) -> NonceBatch:
    """Nonces as a rack of S9 with version rolling gives them: 189 chips, 114 cores, 16 version bits."""
    chance = np.random.default_rng(seed)
    return NonceBatch(
        time_ns=np.cumsum(chance.exponential(1e9 / rate_hz, n)).astype(np.int64),
        chip=chance.integers(0, 189, n).astype(np.int16),
        core=chance.integers(0, 114, n).astype(np.int16),
        job=(np.arange(n) // 5000).astype(np.int32),
        nonce=chance.integers(0, 2**32, n, dtype=np.uint32),
        version=(chance.integers(0, 2**16, n) << 13).astype(np.uint32),
        flags=(chance.random(n) < 0.99).astype(np.uint8),
    )


def later(batch: NonceBatch, by_ns: int) -> NonceBatch:
    return NonceBatch(batch.time_ns + by_ns, batch.chip, batch.core, batch.job, batch.nonce, batch.version, batch.flags)


def new_run(path: Path) -> RunFolder:
    return RunFolder.create(path, RunRecord.new(Origin.SIMULATED, {}))


def run() -> list[Row]:
    """Every row of the table."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        return [*paced(folder), *side_by_side(folder), *latency(folder), *queries(folder)]


def paced(folder: Path) -> list[Row]:
    """One million nonces a second, a batch every 100 ms, sealing beside it."""
    run_folder = new_run(folder / "paced")
    batch = nonces(int(PACED_HZ * TICK_S), rate_hz=PACED_HZ)
    ticks, late, waits = round(SECONDS / TICK_S), 0, []
    log = EventLog(run_folder)
    log.append(Kind.NONCES, batch)  # whatever is done once is done
    cpu, begin = time.process_time(), time.perf_counter()
    for tick in range(ticks):
        pause = begin + tick * TICK_S - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        started = time.perf_counter()
        log.append(Kind.NONCES, later(batch, tick * 10**8))
        waits.append(time.perf_counter() - started)
        late += time.perf_counter() > begin + (tick + 1) * TICK_S
    wall = time.perf_counter() - begin
    log.close()
    cpu, sealed = time.process_time() - cpu, time.perf_counter() - begin - wall
    size = sum(path.stat().st_size for *_, path in run_folder.segment_files())
    per_nonce = size / ((ticks + 1) * len(batch))
    note = f"{ticks} ticks of {len(batch):,}, synced every 100 ms; longest append {max(waits) * 1e3:.1f} ms"
    note += f"; all sealed {sealed:.1f} s after the last tick"
    return [
        row("store: paced ingest", ticks * len(batch) / wall, "nonces/s", ">= 1e6", note=note),
        row("store: late ticks", late, "ticks", "<= 0"),
        row("store: processor of paced ingest with all sealing", cpu / wall, "cores", "<= 1"),
        row("store: sealed size (1e6 nonces/s)", per_nonce, "bytes/nonce", "<= 10.5"),
    ]


def side_by_side(folder: Path) -> list[Row]:
    """The same rows into the store, into SQLite by SQLAlchemy Core, into PostgreSQL by binary COPY; interleaved."""
    batch = nonces(1_000_000)
    run_folder = new_run(folder / "ingest")
    table, engine = sql_table(f"sqlite:///{folder}/peer.db")
    rates: dict[str, list[float]] = {"store": [], "sqlite": [], "postgres": []}
    with EventLog(run_folder) as log, postgres() as server:

        def into_store() -> int:
            for begin in range(0, len(batch), 10_000):
                log.append(Kind.NONCES, batch.select(slice(begin, begin + 10_000)))
            return len(batch)

        def into_sqlite() -> int:
            for begin in range(0, 50_000, 10_000):
                with engine.begin() as connection:
                    connection.execute(table.insert(), dictionaries(batch.select(slice(begin, begin + 10_000))))
            return 50_000

        def into_postgres() -> int:
            for begin in range(0, 300_000, 10_000):
                copy_binary(server, batch.select(slice(begin, begin + 10_000)))
            return 300_000

        for _ in range(ROUNDS):
            for name, work in (("store", into_store), ("sqlite", into_sqlite), ("postgres", into_postgres)):
                if name != "postgres" or server is not None:
                    rates[name].append(rate(work))
    engine.dispose()
    ours = statistics.median(rates["store"])
    made = [row("store: ingest as fast as it goes, batches of 10,000", ours, "nonces/s")]
    for name, words in (("sqlite", "SQLAlchemy Core into SQLite (WAL)"), ("postgres", "PostgreSQL, binary COPY")):
        if rates[name]:
            theirs = statistics.median(rates[name])
            goal = {"sqlite": ">= 5", "postgres": ">= 2"}[name]
            made.append(row(f"store against {words}", ours, "nonces/s", goal, f"{theirs:,.0f}", ours / theirs))
        else:
            note = str(own_postgres.missing())
            made.append(row(f"store against {words}", ours, "nonces/s", reference="absent", note=note))
    return made


def latency(folder: Path) -> list[Row]:
    """How long a batch of 100 waits for its acknowledgement, while the log is synced in the background."""
    batch = nonces(100)
    waits = []
    with EventLog(new_run(folder / "latency")) as log:
        for _ in range(5000):
            started = time.perf_counter()
            log.append(Kind.NONCES, batch)
            waits.append(time.perf_counter() - started)
            time.sleep(0.0002)
    p50, p99 = np.percentile(waits, [50, 99]) * 1e3
    return [row("store: acknowledgement of 100 nonces, p99", p99, "ms", "<= 10", note=f"p50 {p50:.3f} ms")]


def queries(folder: Path) -> list[Row]:
    """Windows, a chip, a scan, of a long run that is being written to."""
    run_folder = new_run(folder / "queried")
    block = nonces(1_000_000)
    span_ns = int(block.time_ns[-1]) + 10_000
    started = time.perf_counter()
    with EventLog(run_folder, LogOptions(segment_rows=2_000_000, sync_interval_s=1.0)) as log:
        for part in range(EVENTS // len(block)):
            log.append(Kind.NONCES, later(block, part * span_ns))
    events = EVENTS // len(block) * len(block)
    made_s = time.perf_counter() - started
    size = sum(path.stat().st_size for *_, path in run_folder.segment_files())
    made = [row("store: sealed size (1e5 nonces/s)", size / events, "bytes/nonce", "<= 10.5")]
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, str(run_folder.path), str(events)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer,
        RunReader(run_folder.path) as reader,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        chance = np.random.default_rng(1)
        end = (events // len(block)) * span_ns
        cpu = time.process_time()
        waits = [timed(lambda: window(reader, int(chance.integers(0, end - 10**9)), 10**9)) for _ in range(200)]
        cpu = (time.process_time() - cpu) / len(waits) * 1e3
        p50, p99 = np.percentile(waits, [50, 99]) * 1e3
        note = f"p50 {p50:.1f} ms, of the processor {cpu:.1f} in the mean; {events:,} events, written in {made_s:.0f} s"
        note += "; 1e5/s are being written"
        made.append(row("store: window of 100,000 nonces to NumPy, p99", p99, "ms", "<= 25", note=note))
        span = min(60 * 10**9, end // 2)
        starts = [int(chance.integers(0, end - span)) for _ in range(9)]
        for names, words in ((("time_ns", "flags"), "times and flags"), (tuple(DTYPES), "all columns")):
            waits = [timed(lambda at=at, n=names: reader.columns(at, at + span, Where(chip=7), n)) for at in starts]  # type: ignore[misc]
            cpu = cpu_ms(lambda n=names: reader.columns(starts[0], starts[0] + span, Where(chip=7), n))  # type: ignore[misc]
            value, note = statistics.median(waits) * 1e3, f"of the processor {cpu:.0f} ms, on {ahead.THREADS} threads"
            made.append(row(f"store: one chip, {span / 1e9:.0f} s, {words}", value, "ms", "<= 100", note=note))
        writer.stdin.close()
        writer.wait()
    made += scan(run_folder)
    return made


def scan(run_folder: RunFolder) -> list[Row]:
    """A column of everything against what pyarrow's own reader makes of the same files; and what memory it takes."""
    files = [path for kind, *_, path in run_folder.segment_files() if kind is Kind.NONCES]

    def ours() -> int:
        with RunReader(run_folder.path) as reader:
            return sum(len(block["time_ns"]) for block in reader.stream(names=("time_ns", "nonce")))

    def theirs() -> int:
        total = 0
        for path in files:
            for batch in pq.ParquetFile(path).iter_batches(131_072, columns=["time_ns", "nonce"]):
                total += batch.num_rows
        return total

    pairs = [(rate(ours), rate(theirs), cpu_rate(ours), cpu_rate(theirs)) for _ in range(ROUNDS)]
    mine, other, my_cpu, other_cpu = (statistics.median(side) for side in zip(*pairs, strict=True))
    words = f"pyarrow's reader, which checks no CRC; by processor time {my_cpu / other_cpu:.2f}x"
    return [
        row("store: scan of two columns", mine, "rows/s", ">= 0.5", f"{other:,.0f}", mine / other, words),
        *streamed(run_folder),
    ]


def streamed(run_folder: RunFolder) -> list[Row]:
    """Memory while every column is streamed, again and again until 10^9 events went through one reader, or a minute."""
    process, sizes, rows, passes, began = psutil.Process(), list[int](), 0, 0, time.perf_counter()
    with RunReader(run_folder.path) as reader:
        events = reader.count()
        while rows < 10**9 and time.perf_counter() - began < STREAM_S:
            for block in reader.stream():
                rows += len(block["time_ns"])
                sizes.append(process.memory_info().rss)
            passes += 1
    third = max(1, len(sizes) // 3)
    growth = (max(sizes[-third:]) - max(sizes[:third])) / 1e6
    note = f"{rows:,} events streamed: the {events:,} on the disk {passes} times over"
    if rows < 10**9:
        note += "; extrapolated to 1e9 from there"
    note += "; largest of the last third less largest of the first"
    return [
        row("store: memory growth while streaming everything", growth, "MB", "<= 16", note=note),
        row("store: memory of the process while streaming", max(sizes) / 1e6, "MB"),
    ]


def window(reader: RunReader, begin_ns: int, length_ns: int) -> int:
    return len(reader.nonces(begin_ns, begin_ns + length_ns))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def rate(work: Callable[[], int]) -> float:
    started = time.perf_counter()
    rows = work()
    return rows / (time.perf_counter() - started)


def cpu_ms(work: Callable[[], object]) -> float:
    """Time of all processors in ms, the least of seven: what others on the machine do to it is small."""
    spent = []
    for _ in range(7):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent) * 1e3


def cpu_rate(work: Callable[[], int]) -> float:
    started = time.process_time()
    rows = work()
    return rows / (time.process_time() - started)


def sql_table(url: str) -> tuple[sa.Table, sa.Engine]:
    """What one would write without a store of one's own: a table with a row a nonce."""
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def connect(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

    columns = [sa.Column(name, sa.BigInteger if d.itemsize >= 4 else sa.SmallInteger) for name, d in DTYPES.items()]
    table = sa.Table("nonces", sa.MetaData(), *columns)
    table.create(engine)
    return table, engine


def dictionaries(batch: NonceBatch) -> list[dict[str, int]]:
    names = list(DTYPES)
    lists = [column.tolist() for _, column in batch.columns()]
    return [dict(zip(names, values, strict=True)) for values in zip(*lists, strict=True)]


@contextmanager
def postgres() -> Iterator[Any]:
    """A connection with a table of nonces; ``None`` where there is no PostgreSQL."""
    if own_postgres.missing() is not None:
        yield None
        return
    import psycopg

    with own_postgres.server() as url:
        table, engine = sql_table(sa.make_url(url).set(drivername="postgresql+psycopg").render_as_string(False))
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection
        table.drop(engine)
        engine.dispose()


def copy_binary(connection: Any, batch: NonceBatch) -> None:
    """One COPY of the binary format, built by NumPy: the fastest way in that PostgreSQL has."""
    fields: list[tuple[Any, ...]] = [("fields", ">i2")]
    for name, dtype in DTYPES.items():
        fields += [(f"{name}_length", ">i4"), (name, ">i8" if dtype.itemsize >= 4 else ">i2")]
    rows = np.empty(len(batch), np.dtype(fields))
    rows["fields"] = len(DTYPES)
    for name, column in batch.columns():
        rows[name] = column
        rows[f"{name}_length"] = 8 if column.dtype.itemsize >= 4 else 2
    with connection.cursor() as cursor, cursor.copy("COPY nonces FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")


def write_on(path: Path, events: int) -> None:
    """Append 1e5 nonces a second to a run until stdin ends."""
    batch = nonces(RATE_HZ // 10)
    begin_ns = events * 10_000
    with EventLog(RunFolder.at(path)) as log:
        print("ready", flush=True)
        os.set_blocking(0, False)
        tick, started = 0, time.perf_counter()
        while os.isatty(0) or not ended():
            log.append(Kind.NONCES, later(batch, begin_ns + tick * 10**8))
            tick += 1
            time.sleep(max(0.0, started + tick * TICK_S - time.perf_counter()))


def ended() -> bool:
    try:
        return os.read(0, 1) == b""
    except BlockingIOError:
        return False


if __name__ == "__main__":
    if len(sys.argv) == 3:
        write_on(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        for entry in run():
            ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}x"
            value = f"{entry['value']:,.2f} {entry['unit']}"
            print(f"{entry['name']:62} {value:>26} {entry['reference']:>14} {ratio:>8}  {entry['note']}")
