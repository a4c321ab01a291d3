"""Events: what goes in comes out, in order, by any question."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import victims
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asic_reservoir.board import NonceBatch, NonceFlag, Origin
from asic_reservoir.errors import AsicReservoirError, BusyError, DataError, UsageError
from asic_reservoir.store.errors import DamageError, StoreWriteError
from asic_reservoir.store.events import (
    EventLog,
    Kind,
    LogOptions,
    RetentionPolicy,
    RunFolder,
    RunReader,
    RunRecord,
    Where,
    ahead,
    compact,
    count_series,
    prune,
    recover,
    seal,
    verify,
)
from asic_reservoir.store.events.files import write_all
from asic_reservoir.store.events.frame import Frame, Torn, pack_nonces, scan, unpack_nonces


def new_run(path: Path) -> RunFolder:
    return RunFolder.create(path, RunRecord.new(Origin.SIMULATED, {}))


def some_nonces(n: int, seed: int = 0, sorted_: bool = True) -> NonceBatch:
    chance = np.random.default_rng(seed)
    time_ns = chance.integers(0, 1_000_000, n)
    return NonceBatch(
        time_ns=np.sort(time_ns) if sorted_ else time_ns,
        chip=chance.integers(-1, 5, n).astype(np.int16),
        core=chance.integers(-1, 4, n).astype(np.int16),
        job=chance.integers(0, 3, n).astype(np.int32),
        nonce=chance.integers(0, 2**32, n, dtype=np.uint32),
        version=chance.integers(0, 2**32, n, dtype=np.uint32),
        flags=chance.integers(0, 32, n).astype(np.uint8),
    )


def filled(path: Path, batch: NonceBatch, segment_rows: int = 1000, piece: int = 300) -> RunFolder:
    folder = new_run(path)
    with EventLog(folder, LogOptions(segment_rows=segment_rows)) as log:
        for begin in range(0, len(batch), piece):
            log.append(Kind.NONCES, batch.select(slice(begin, begin + piece)))
    return folder


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.data())
def test_frames_are_found_again_whatever_is_between_them(sizes: list[int], data: st.DataObject) -> None:
    """Noise before, between and after: every frame is found, whole, and nothing else is."""
    content, first, made = b"", 0, []
    for size in sizes:
        content += data.draw(st.binary(max_size=100))
        batch = some_nonces(size, size)
        content += b"".join(pack_nonces(first, batch))
        made.append(batch)
        first += size
    frames = [found for found in scan(memoryview(content)) if isinstance(found, Frame)]
    read = [unpack_nonces(frame, content[frame.offset : frame.offset + frame.length]) for frame in frames]
    assert len(read) == len(made)
    assert all(a.equals(b) for a, b in zip(read, made, strict=True))


@given(st.integers(0, 5), st.data())
def test_every_changed_byte_of_a_frame_is_noticed(size: int, data: st.DataObject) -> None:
    content = bytearray(b"".join(pack_nonces(7, some_nonces(size + 1))))
    padding = len(content) - (48 + 25 * (size + 1))
    at = data.draw(st.integers(0, len(content) - padding - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    assert all(isinstance(found, Torn) for found in scan(memoryview(bytes(content))))


@given(st.binary(max_size=400))
def test_no_bytes_break_the_scanner(content: bytes) -> None:
    assert sum(found.end - found.begin for found in scan(memoryview(content)) if isinstance(found, Torn)) == len(
        content
    )


def test_a_short_write_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk that takes a few bytes at a time gets all of them (a full one starts like that)."""
    whole = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, views: whole(fd, [memoryview(views[0])[:7]]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    buffers = [bytes([i]) * i for i in range(60)]
    assert write_all(descriptor, list(buffers)) == sum(range(60))
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"".join(buffers)


def test_a_failed_write_leaves_no_trace_and_the_log_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = some_nonces(1000)
    folder = new_run(tmp_path / "run")
    log = EventLog(folder)
    log.append(Kind.NONCES, batch)
    whole = os.writev

    def fail_after_some(descriptor: int, views: list[memoryview]) -> int:
        monkeypatch.setattr(os, "writev", fail)
        return whole(descriptor, [views[0][:20]])

    def fail(descriptor: int, views: list[memoryview]) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", fail_after_some)
    with pytest.raises(StoreWriteError, match="No space left on device, the batch was not taken"):
        log.append(Kind.NONCES, batch)
    monkeypatch.setattr(os, "writev", whole)
    assert log.append(Kind.NONCES, batch) == 1000
    log.close()
    with RunReader(folder.path) as reader:
        assert reader.nonces().equals(NonceBatch.concatenate([batch, batch]))


def test_a_failed_sync_ends_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it, nobody knows what is on the disk: saying yes to more would be a lie."""
    log = EventLog(new_run(tmp_path / "run"), LogOptions(sync_interval_s=1e3))
    log.append(Kind.NONCES, some_nonces(10))

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(StoreWriteError, match="sync to the disk failed"):
        log.flush()
    with pytest.raises(StoreWriteError, match="open the run again"):
        log.append(Kind.NONCES, some_nonces(10))
    monkeypatch.undo()
    with pytest.raises(StoreWriteError):
        log.close()
    with EventLog(log.folder) as again:
        assert again.next_row(Kind.NONCES) == 10


def test_a_seal_that_fails_is_not_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row is hidden while the disk has no room to seal, and all are sealed when it has."""
    folder, batch = new_run(tmp_path / "run"), some_nonces(1000)
    full, tries = [True], []
    whole = seal.write_segment

    def write(path: Path, *rest: object) -> object:
        tries.append(path.name)
        if full[0]:
            raise StoreWriteError(f"{path}: No space left on device")
        return whole(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(seal, "write_segment", write)
    log = EventLog(folder, LogOptions(segment_rows=250))
    for begin in range(0, 1000, 250):
        log.append(Kind.NONCES, batch.select(slice(begin, begin + 250)))
        full[0] = begin < 500
        for _ in range(2000):
            if len(tries) > begin // 250:
                break
            threading.Event().wait(0.001)
        with RunReader(folder.path) as reader:
            assert reader.nonces().equals(batch.select(slice(0, begin + 250)))
    log.close()
    assert [(first, end) for _, first, end, _ in folder.segment_files()] == [(n, n + 250) for n in range(0, 1000, 250)]


def test_syncs_come_at_the_interval_and_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Event()
    calls = []
    whole = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append(fd), synced.set(), whole(fd))[2])
    with EventLog(new_run(tmp_path / "a"), LogOptions(sync_interval_s=0.01)) as log:
        log.append(Kind.NONCES, some_nonces(10))
        assert synced.wait(60)
    with EventLog(new_run(tmp_path / "b"), LogOptions(sync_interval_s=1e3, sync_every_batch=True)) as log:
        for n in range(1, 4):
            calls.clear()
            log.append(Kind.NONCES, some_nonces(10))
            assert len(calls) == 1, n


def test_a_log_that_is_old_is_sealed_by_a_clock_that_cannot_step(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    now = [0.0]
    log = EventLog(folder, LogOptions(sync_interval_s=0.005, segment_age_s=100), monotonic=lambda: now[0])
    log.append(Kind.NONCES, some_nonces(10))
    assert not folder.segment_files()
    now[0] = 101.0
    done = threading.Event()
    for _ in range(12_000):
        if folder.segment_files():
            done.set()
            break
        threading.Event().wait(0.005)
    assert done.is_set()
    log.close()


@pytest.mark.parametrize("sorted_", [True, False])
def test_every_question_gives_what_a_mask_gives(tmp_path: Path, sorted_: bool) -> None:
    """Sealed and unsealed rows together, time in order or not."""
    batch = some_nonces(5000, sorted_=sorted_)
    folder = filled(tmp_path / "run", batch.select(slice(0, 3500)))
    with EventLog(folder, LogOptions(segment_rows=1 << 30)) as log, RunReader(folder.path) as reader:
        for begin in range(3500, 5000, 100):
            log.append(Kind.NONCES, batch.select(slice(begin, begin + 100)))
        chance = random.Random(1)
        for _ in range(30):
            low, high = sorted(chance.choices(range(1_100_000), k=2))
            where = Where(
                chip=chance.choice([None, 0, 3, -1, 99]),
                core=chance.choice([None, None, 1]),
                job=chance.choice([None, None, 2]),
                valid=chance.choice([None, True, False]),
            )
            mask = (batch.time_ns >= low) & (batch.time_ns < high)
            for name in ("chip", "core", "job"):
                if getattr(where, name) is not None:
                    mask &= getattr(batch, name) == getattr(where, name)
            if where.valid is not None:
                mask &= batch.has(NonceFlag.VALID) == where.valid
            expected = batch.select(mask)
            assert reader.nonces(low, high, where).equals(expected)
            blocks = list(reader.stream(low, high, where, ("nonce", "chip")))
            assert sum(len(block["chip"]) for block in blocks) == len(expected)
        assert reader.nonces().equals(batch)
        assert reader.span_ns() == (batch.time_ns.min(), batch.time_ns.max())
        with pytest.raises(UsageError, match="column 'colour': unknown"):
            reader.columns(names=("colour",))
        with pytest.raises(UsageError, match="window: ends at 1 ns"):
            reader.nonces(2, 1)


def test_one_block_is_not_copied(tmp_path: Path) -> None:
    folder = filled(tmp_path / "run", some_nonces(1000), segment_rows=5000)
    with RunReader(folder.path) as reader:
        time_ns = reader.nonces().time_ns
    assert not time_ns.flags.owndata
    assert not time_ns.flags.writeable


def test_a_reader_follows_a_writer_that_seals_and_is_compacted(tmp_path: Path) -> None:
    """While one appends and seals, another sees a prefix that only grows."""
    folder = new_run(tmp_path / "run")
    stop = threading.Event()
    seen: list[int] = []
    wrong: list[BaseException] = []

    def watch() -> None:
        try:
            with RunReader(folder.path) as reader:
                while not stop.is_set():
                    found = reader.nonces()
                    assert found.equals(victims.batch(0, len(found)))
                    seen.append(len(found))
        except BaseException as error:
            wrong.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with EventLog(folder, LogOptions(segment_rows=1500, sync_interval_s=0.005)) as log:
        for part in range(80):
            log.append(Kind.NONCES, victims.batch(part * 200, 200))
    lock = folder.lock()
    compact(folder)
    lock.release()
    stop.set()
    watcher.join()
    assert wrong == []
    assert seen == sorted(seen)
    with RunReader(folder.path) as reader:
        assert len(reader.nonces()) == 16_000


def test_a_stream_goes_on_when_what_it_reads_is_compacted(tmp_path: Path) -> None:
    batch = some_nonces(5000)
    folder = filled(tmp_path / "run", batch, segment_rows=500, piece=500)
    with RunReader(folder.path) as reader:
        stream = reader.stream()
        first = next(stream)
        lock = folder.lock()
        compact(folder)
        lock.release()
        blocks = [first, *stream]
    assert np.array_equal(np.concatenate([block["nonce"] for block in blocks]), batch.nonce)


def test_a_group_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    """A log that is cut anywhere keeps whole appends only, of all kinds alike."""
    folder = new_run(tmp_path / "run")
    log = EventLog(folder, LogOptions(segment_rows=1 << 30))
    row = {"time_ns": [1], "monotonic_ns": [2], "utc_ns": [3], "error_ns": [4], "boot_id": ["x"]}
    clock = pa.RecordBatch.from_pydict(row, schema=Kind.CLOCK.schema)
    for part in range(20):
        log.append_all([(Kind.CLOCK, clock), (Kind.NONCES, victims.batch(part * 10, 10)), (Kind.CLOCK, clock)])
    (path,) = folder.logs()
    content = path.read_bytes()
    log.close()
    for cut in random.Random(0).sample(range(150, len(content)), 15):
        other = RunFolder.create(tmp_path / f"cut{cut}", folder.record())
        (other.path / path.name).write_bytes(content[:cut])
        with RunReader(other.path) as reader:
            seen = len(reader.nonces())
        recover(other)
        with RunReader(other.path) as reader:
            nonces, clocks = reader.nonces(), reader.table(Kind.CLOCK)
        assert len(nonces) == seen
        assert clocks.num_rows * 5 == len(nonces)
        assert len(nonces) % 10 == 0
        assert verify(other).damages == []


def test_the_second_writer_is_told(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    with EventLog(folder), pytest.raises(BusyError, match="another process writes to this run"):
        EventLog(folder)
    EventLog(folder).close()


def test_recovery_says_what_it_cut_off(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run")
    log = EventLog(folder)
    log.append(Kind.NONCES, some_nonces(100))
    (path,) = folder.logs()
    content = path.read_bytes() + b"".join(pack_nonces(100, some_nonces(50)))[:-30]
    log.close()
    other = RunFolder.create(tmp_path / "other", folder.record())
    (other.path / path.name).write_bytes(content)
    with EventLog(other) as again:
        (cut,) = map(str, again.recovery.cut)
        begin = len(content) + 30 - len(b"".join(pack_nonces(100, some_nonces(50))))
        where = f"00000001.open, bytes {begin} to {len(content) - 1}, rows 100 to 149 of nonces"
        assert cut == f"{where}: append that did not come to its end"
        assert again.next_row(Kind.NONCES) == 100
    with EventLog(other) as clean:
        assert clean.recovery.clean


def aged(folder: RunFolder) -> int:
    """A time of day, in ns, a thousand seconds after the run was sealed."""
    return max(path.stat().st_mtime_ns for path in folder.path.iterdir()) + 1000 * 10**9


def test_thinning_keeps_the_counts(tmp_path: Path) -> None:
    batch = some_nonces(5000)
    folder = filled(tmp_path / "run", batch)
    with RunReader(folder.path) as reader:
        before = count_series(reader, 0, 1_000_000, 20)
        one = count_series(reader, 0, 1_000_000, 20, chip=3)
    policy = RetentionPolicy(thin_after_s=500, summary_s=50e-6)
    report = prune([folder], policy, {}, utc_ns=aged(folder))
    assert {action.verb for action in report.actions} == {"thin"}
    assert report.freed_bytes > 0
    with RunReader(folder.path) as reader:
        with pytest.raises(DamageError, match=r"rows 0 to \d+ of nonces were pruned"):
            reader.nonces()
        assert len(reader.nonces(partial=True)) == 0
        after = count_series(reader, 0, 1_000_000, 20)
        assert np.array_equal(count_series(reader, 0, 1_000_000, 20, chip=3).valid, one.valid)
    for name in ("valid", "invalid", "duplicate", "stale"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
    assert not before.summarized.any()
    assert after.summarized.all()
    assert verify(folder).damages == []
    lock = folder.lock()
    assert recover(folder).clean
    lock.release()


def test_retention_by_age_by_size_and_what_results_hold(tmp_path: Path) -> None:
    batch = some_nonces(5000)
    folder = filled(tmp_path / "run", batch, piece=1000)
    run_id = folder.record().run_id
    now = aged(folder)
    window = (int(batch.time_ns[2100]), int(batch.time_ns[2200]))
    dry = prune([folder], RetentionPolicy(delete_after_s=500), {run_id: [window]}, utc_ns=now, dry_run=True)
    assert [(a.segment.first_row, a.verb) for a in dry.actions] == [(n, "delete") for n in (0, 1000, 3000, 4000)]
    assert [a.segment.first_row for a in dry.held] == [2000]
    with RunReader(folder.path) as reader:
        assert len(reader.nonces()) == 5000
    assert prune([folder], RetentionPolicy(delete_after_s=500), {}, utc_ns=now - 2**62).actions == []
    ages = [segment.created_utc_ns for segment in RunReader(folder.path).view.look()[Kind.NONCES]]
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    compact(copy)
    assert [s.created_utc_ns for s in RunReader(copy.path).view.look()[Kind.NONCES]] == [max(ages)]
    size = sum(path.stat().st_size for *_, path in folder.segment_files())
    small = prune([folder], RetentionPolicy(max_bytes=size // 2), {run_id: [window]}, utc_ns=now)
    assert small.actions[0].segment.first_row == 0
    assert small.over_bytes == 0
    gone = prune([folder], RetentionPolicy(delete_after_s=500), {run_id: [window]}, utc_ns=now)
    assert gone.held
    with RunReader(folder.path) as reader:
        assert reader.nonces(*window).equals(batch.select((batch.time_ns >= window[0]) & (batch.time_ns < window[1])))
        assert reader.nonces(partial=True).equals(batch.select(slice(2000, 3000)))
    with pytest.raises(UsageError, match="delete_after_s: 5"):
        RetentionPolicy(thin_after_s=10, delete_after_s=5)


def test_a_nonce_costs_no_more_than_it_should(tmp_path: Path) -> None:
    """10.5 bytes: 189 chips of 114 cores, 16 version bits where BIP 320 has them, 100,000 nonces a second."""
    chance, n = np.random.default_rng(0), 300_000
    batch = NonceBatch(
        time_ns=np.cumsum(chance.exponential(1e4, n)).astype(np.int64),
        chip=chance.integers(0, 189, n).astype(np.int16),
        core=chance.integers(0, 114, n).astype(np.int16),
        job=(np.arange(n) // 5000).astype(np.int32),
        nonce=chance.integers(0, 2**32, n, dtype=np.uint32),
        version=(chance.integers(0, 2**16, n) << 13).astype(np.uint32),
        flags=(chance.random(n) < 0.99).astype(np.uint8),
    )
    folder = filled(tmp_path / "run", batch, segment_rows=1 << 30, piece=50_000)
    ((*_, path),) = folder.segment_files()
    assert path.stat().st_size <= 10.5 * n


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30)
@given(
    st.binary(max_size=300) | st.text().map(str.encode) | st.just(b'{"format":"asic-reservoir run","run":1,"sha256":2}')
)
def test_any_record_is_a_run_or_a_typed_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with contextlib.suppress(AsicReservoirError), RunReader(tmp_path) as reader:
        reader.nonces()


def test_a_log_of_another_run_is_refused(tmp_path: Path) -> None:
    one, other = new_run(tmp_path / "one"), new_run(tmp_path / "other")
    log = EventLog(one)
    log.append(Kind.NONCES, some_nonces(5))
    (path,) = one.logs()
    (other.path / path.name).write_bytes(path.read_bytes())
    log.close()
    with pytest.raises(DataError, match="belongs to run"):
        EventLog(other)


def test_memory_stays_flat_while_streaming(tmp_path: Path) -> None:
    """Blocks are let go of: however far the threads are ahead, far less than all of them is in memory at once."""
    parts, rows_each = 6 * (ahead.AHEAD + ahead.THREADS + 2), 20_000
    folder = new_run(tmp_path / "run")
    with EventLog(folder, LogOptions(segment_rows=rows_each)) as log:
        for part in range(parts):
            log.append(Kind.NONCES, victims.batch(part * rows_each, rows_each))
    rows = peak = all_bytes = 0
    before = pa.total_allocated_bytes()
    with RunReader(folder.path) as reader:
        for block in reader.stream():
            rows += len(block["nonce"])
            all_bytes += sum(column.nbytes for column in block.values())
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert rows == parts * rows_each
    assert peak < 0.5 * all_bytes


def test_a_segment_that_is_gone_costs_its_rows_and_no_others(tmp_path: Path) -> None:
    batch = some_nonces(3000)
    folder = filled(tmp_path / "run", batch, piece=1000)
    _, (*_, middle), _ = folder.segment_files()
    middle.unlink()
    with RunReader(folder.path) as reader:
        with pytest.raises(DamageError, match=r"nonces-0+1000-0+2000\.parquet: rows 1000 to 1999 are gone"):
            reader.nonces()
        keep = np.r_[0:1000, 2000:3000]
        assert reader.nonces(partial=True).equals(batch.select(keep))
        (gap,) = reader.missing()
    assert (gap.first_row, gap.end_row) == (1000, 2000)


def test_blocks_that_are_read_ahead_come_in_order_and_errors_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first takes longest; and whoever stops early leaves nothing running."""
    monkeypatch.setattr(ahead, "THREADS", 4)
    monkeypatch.setattr(ahead, "AHEAD", 5)
    done = threading.Event()

    def work(n: int) -> int:
        if n == 0:
            assert done.wait(30)  # until another is through
        if n == 3:
            done.set()
        if n == 7:
            raise DamageError("seven")
        return n * n

    taken: list[int] = []
    with ahead.Ahead() as threads:
        results = threads.map(work, (taken.append(n) or n for n in range(1000)))  # type: ignore[func-returns-value]
        assert [next(results) for _ in range(7)] == [n * n for n in range(7)]
        with pytest.raises(DamageError, match="seven"):
            next(results)
        assert len(taken) < 7 + 2 * ahead.AHEAD + 3
        early = threads.map(work, range(8, 1000))
        assert next(early) == 64
        early.close()  # type: ignore[attr-defined]
        assert list(threads.map(work, [])) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store-read")]
