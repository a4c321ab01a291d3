"""Files of strangers: an export that lies with the right digests, and logs whose frames have the right CRC."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import victims

from asic_reservoir.board import Origin
from asic_reservoir.errors import AsicReservoirError, BusyError, DataError, NotFoundError
from asic_reservoir.store.events import EventLog, Kind, RunFolder, RunReader, RunRecord, recover, verify
from asic_reservoir.store.events.frame import HEADER_BYTES
from asic_reservoir.store.library import Library
from asic_reservoir.store.transfer import export_run, import_run, open_reader

FUZZ = int(os.environ.get("ASIC_RESERVOIR_FUZZ_TRIALS", "150"))
NONCES = "nonces-000000000000-000000000400.parquet"

Members = dict[str, bytes]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of an export of 400 nonces and a clock triple."""
    path = tmp_path_factory.mktemp("sound")
    folder = RunFolder.create(path / "run", RunRecord.new(Origin.SIMULATED, {"uri": "bench://1"}, {"seed": 1}))
    row = {"time_ns": [1], "monotonic_ns": [2], "utc_ns": [3], "error_ns": [4], "boot_id": ["x"]}
    with EventLog(folder) as log:
        log.append(Kind.NONCES, victims.batch(0, 400))
        log.append(Kind.CLOCK, pa.RecordBatch.from_pydict(row, schema=Kind.CLOCK.schema))
    with zipfile.ZipFile(export_run(folder.path, path / "run.zip")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with Library(tmp_path_factory.mktemp("in") / "store") as made:
        yield made


def packed(members: Members, manifest: Document, path: Path) -> Path:
    """An export of these members; the manifest gets the right sizes and digests of whatever is there."""
    for entry in manifest["files"]:
        data = members.get(entry["name"], b"")
        entry["bytes"], entry["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, json.dumps(manifest) if name == "manifest.json" else data)
    return path


def parquet(columns: dict[str, Any], like: bytes, **options: Any) -> bytes:
    """Parquet with other columns under the metadata of a segment."""
    made = io.BytesIO()
    about = {b"asic_reservoir." + key: value for key, value in _about(like).items()}
    arrays = {name: pa.array(column) for name, column in columns.items()}
    fields = [pa.field(name, array.type, nullable=array.null_count > 0) for name, array in arrays.items()]
    table = pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields, about))
    pq.write_table(table, made, write_page_checksum=True, **options)
    return made.getvalue()


def _about(segment: bytes) -> dict[bytes, bytes]:
    metadata = pq.read_metadata(io.BytesIO(segment)).metadata
    return {key.removeprefix(b"asic_reservoir."): value for key, value in metadata.items()}


def record(members: Members, **changes: Any) -> None:
    """Change the record of the run, which carries its own SHA-256: anybody can calculate that."""
    content = json.loads(members["run.json"])["run"] | changes
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    document = {"format": "asic-reservoir run", "sha256": digest, "run": content}
    members["run.json"] = json.dumps(document).encode()


def entry(manifest: Document, name: str = NONCES) -> Document:
    return next(dict_ for dict_ in manifest["files"] if dict_["name"] == name)


def columns(n: int = 400) -> dict[str, Any]:
    return dict(victims.batch(0, n).columns())


def named(members: Members, manifest: Document, name: str, **changes: Any) -> None:
    """Give the nonces another name, there and in the manifest."""
    entry(manifest).update(changes, name=name)
    members[name] = members.pop(NONCES)


def another(members: Members, manifest: Document) -> None:
    name = "nonces-000000000100-000000000500.parquet"
    members[name] = members[NONCES].replace(b"", b"")
    manifest["files"].append(entry(manifest) | {"name": name, "first_row": 100, "end_row": 500})


def without(members: Members, manifest: Document, name: str) -> None:
    del members[name]
    manifest["files"] = [e for e in manifest["files"] if e["name"] != name]


LIES: dict[str, Callable[[Members, Document], object]] = {
    "the run's name leads out of the store": lambda m, d: record(m, run_id="../../out"),
    "the run's name is a path": lambda m, d: record(m, run_id="/tmp/out"),
    "the run's name is empty": lambda m, d: record(m, run_id=""),
    "the run's name is a number": lambda m, d: record(m, run_id=7),
    "the run was made at no time": lambda m, d: record(m, created_utc_ns="now"),
    "the run was made after all time": lambda m, d: record(m, created_utc_ns=10**40),
    "the board is no object": lambda m, d: record(m, board=[]),
    "the version is no number": lambda m, d: record(m, schema_version="1"),
    "a field that there is not": lambda m, d: record(m, shell="rm"),
    "a member leads out of the folder": lambda m, d: named(m, d, "../nonces-000000000000-000000000400.parquet"),
    "a member is an absolute path": lambda m, d: named(m, d, "/tmp/out.parquet"),
    "a member is a log": lambda m, d: named(m, d, "00000001.wal"),
    "a kind that there is not": lambda m, d: entry(d).update(kind="shares"),
    "another kind": lambda m, d: named(m, d, NONCES.replace("nonces", "safety"), kind="safety"),
    "rows that are not there": lambda m, d: named(m, d, NONCES.replace("0400", "0500"), end_row=500),
    "rows that end before they begin": lambda m, d: entry(d).update(first_row=5, end_row=2),
    "rows beyond 64 bits": lambda m, d: named(
        m, d, f"nonces-{2**70:012d}-{2**70 + 400:012d}.parquet", first_row=2**70, end_row=2**70 + 400
    ),
    "rows that another member has": another,
    "a time that is a word": lambda m, d: entry(d).update(begin_ns="a", end_ns="b"),
    "a time beyond 64 bits": lambda m, d: entry(d).update(end_ns=2**80),
    "a column is missing": lambda m, d: m.update(
        {NONCES: parquet({k: v for k, v in columns().items() if k != "core"}, m[NONCES])}
    ),
    "a column too many": lambda m, d: m.update({NONCES: parquet(columns() | {"x": np.zeros(400)}, m[NONCES])}),
    "a column of another type": lambda m, d: m.update(
        {NONCES: parquet(columns() | {"chip": np.zeros(400)}, m[NONCES])}
    ),
    "a column with nulls": lambda m, d: m.update(
        {NONCES: parquet(columns() | {"chip": pa.array([None] * 400, pa.int16())}, m[NONCES])}
    ),
    "no smallest and largest times": lambda m, d: m.update(
        {NONCES: parquet(columns(), m[NONCES], write_statistics=False)}
    ),
    "no Parquet": lambda m, d: m.update({NONCES: b"PAR1" + bytes(100) + b"PAR1"}),
    "nothing in it": lambda m, d: m.update({NONCES: b""}),
    "of another run": lambda m, d: record(m, run_id="another"),
    "no record": lambda m, d: without(m, d, "run.json"),
    "no manifest entry": lambda m, d: d["files"].pop(),
    "listed twice": lambda m, d: d["files"].append(d["files"][0]),
    "of a later version": lambda m, d: d.update(schema_version=99),
}


def test_parquet_of_another_program_is_taken_where_it_says_the_truth(sound: Members, tmp_path: Path) -> None:
    """What the lies below are changed from: without it they could be refused for another reason."""
    members, manifest = dict(sound), json.loads(sound["manifest.json"])
    members[NONCES] = parquet(columns(), sound[NONCES])
    with RunReader(import_run(packed(members, manifest, tmp_path / "run.zip"), tmp_path / "run").path) as reader:
        assert reader.nonces().equals(victims.batch(0, 400))


@pytest.mark.parametrize("lie", LIES)
def test_an_export_that_lies_is_refused(lie: str, sound: Members, library: Library, tmp_path: Path) -> None:
    """Digests and sizes are right, so only what is said can be seen to be wrong. Nothing is left anywhere."""
    members, manifest = dict(sound), json.loads(sound["manifest.json"])
    LIES[lie](members, manifest)
    path = packed(members, manifest, tmp_path / "lie.zip")
    outside = sorted(library.root.parent.iterdir())
    with pytest.raises((DataError, BusyError)) as caught:
        library.take_in(path)
    assert "\n" not in str(caught.value)
    assert library.summaries() == []
    assert list(library.runs_path.iterdir()) == []
    assert sorted(library.root.parent.iterdir()) == outside
    try:  # without unpacking: what is lied about may be something that is not read
        with open_reader(path) as reader:
            reader.nonces()
    except AsicReservoirError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.slow
def test_a_row_group_that_would_fill_the_memory_is_not_read(sound: Members, tmp_path: Path) -> None:
    """Four million rows in a few bytes, of one row group, as no writer of ours makes them."""
    n = 1 << 22
    members, manifest = dict(sound), json.loads(sound["manifest.json"])
    made = io.BytesIO()
    about = {b"asic_reservoir." + key: value for key, value in _about(sound[NONCES]).items()}
    schema = Kind.NONCES.schema.with_metadata(about)
    zeros = pa.table([pa.array(np.zeros(n), field.type) for field in schema], schema=schema)
    pq.write_table(zeros, made, compression="zstd", row_group_size=n, write_page_checksum=True)
    members[NONCES] = made.getvalue()
    assert len(members[NONCES]) < 1_000_000  # 105 MB when it is read
    named(members, manifest, f"nonces-{0:012d}-{n:012d}.parquet", end_row=n)
    path = packed(members, manifest, tmp_path / "bomb.zip")
    with pytest.raises(DataError, match=f"row group 0: {n} rows"):
        import_run(path, tmp_path / "run")


@pytest.mark.slow
def test_a_compressed_member_is_refused_before_it_is_unpacked(sound: Members, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sound.items():
            archive.writestr(name, bytes(1 << 24) if name == NONCES else data)
    with pytest.raises(DataError, match="must be stored as it is"):
        import_run(path, tmp_path / "run")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", "[" * 100_000)
    with pytest.raises(DataError, match="RecursionError"):
        import_run(path, tmp_path / "run")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", " " * ((1 << 26) + 1))
    with pytest.raises(DataError, match=r"manifest\.json is larger than"):
        import_run(path, tmp_path / "run")


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/dev/null"])
def test_what_is_no_file_is_refused_and_not_read_for_ever(path: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, NotFoundError)):
        import_run(path, tmp_path / "run")


@pytest.mark.slow
def test_bytes_of_an_export_that_are_changed_at_random(sound: Members, tmp_path: Path) -> None:
    """Anywhere, the directory of the archive included; and values of the manifest, with the digests made right."""
    whole = packed(dict(sound), json.loads(sound["manifest.json"]), tmp_path / "whole.zip").read_bytes()
    path = tmp_path / "any.zip"
    odd: list[Any] = [None, -1, 0, 1, 2**31, 2**63, 2**64, 1e308, "", "x", "../x", [], {}, True, "nonces", "9" * 400]
    for trial in range(FUZZ):
        chance = random.Random(trial)
        if trial % 2:
            data = bytearray(whole)
            low = 0 if chance.random() < 0.5 else whole.rindex(b"PK\x01\x02") - 300
            for _ in range(chance.choice([1, 2, 8])):
                data[chance.randrange(low, len(data))] = chance.randrange(256)
            path.write_bytes(data)
        else:
            manifest, members = json.loads(sound["manifest.json"]), dict(sound)
            entries = manifest["files"]
            changed = chance.choice([manifest, *entries])
            changed[chance.choice([*changed, "new"])] = chance.choice(odd)
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, json.dumps(manifest) if name == "manifest.json" else content)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        try:
            folder = import_run(path, tmp_path / "run")
        except AsicReservoirError as error:
            assert "\n" not in str(error), trial  # noqa: PT017
            assert not list(tmp_path.glob("run*")), trial
        else:
            assert verify(folder).damages == [], trial
        try:
            with open_reader(path) as reader:
                reader.nonces()
        except AsicReservoirError as error:
            assert "\n" not in str(error), trial  # noqa: PT017


@pytest.mark.slow
def test_frames_with_the_right_crc_and_the_wrong_content(tmp_path: Path) -> None:
    """No disk makes them, a program may: reading, verifying and recovering give rows or a typed error, never more."""
    folder = RunFolder.create(tmp_path / "run", RunRecord.new(Origin.SIMULATED, {}))
    log = EventLog(folder)
    row = {
        "time_ns": [5], "board": ["b"], "rule": ["r"], "value": [1.0], "limit": [2.0], "action": ["a"],
        "message": ["m"],
    }  # fmt: skip
    safety = pa.RecordBatch.from_pydict(row, schema=Kind.SAFETY.schema)
    for part in range(3):
        log.append_all([(Kind.NONCES, victims.batch(part * 20, 20)), (Kind.SAFETY, safety)])
    (path,) = folder.logs()
    content = path.read_bytes()
    log.close()
    starts = [at for at in range(0, len(content), 8) if content[at : at + 4] == b"ARF1"]
    assert len(starts) == 7
    for trial in range(FUZZ // 3):
        chance = random.Random(trial)
        shutil.rmtree(tmp_path / "any", ignore_errors=True)
        other = RunFolder.create(tmp_path / "any", folder.record())
        data = bytearray(content)
        at = chance.choice(starts)
        length = struct.unpack_from("<I", data, at + 12)[0]
        if chance.random() < 0.5:
            for _ in range(chance.choice([1, 3])):
                data[at + HEADER_BYTES + chance.randrange(length)] = chance.randrange(256)
        else:
            data[at + chance.randrange(4, 40)] = chance.choice([0, 1, 127, 128, 255])
        length = min(struct.unpack_from("<I", data, at + 12)[0], len(data))
        payload = data[at + HEADER_BYTES : at + HEADER_BYTES + length]
        struct.pack_into("<I", data, at + 40, zlib.crc32(payload))
        struct.pack_into("<I", data, at + 44, zlib.crc32(data[at : at + 44]))
        (other.path / path.name).write_bytes(data)
        for question in (_read, verify, recover, _read, verify):
            try:
                question(other)
            except AsicReservoirError as error:
                assert "\n" not in str(error), trial  # noqa: PT017


def _read(folder: RunFolder) -> None:
    with RunReader(folder.path) as reader:
        reader.missing()
        reader.nonces(partial=True)
        reader.table(Kind.SAFETY, partial=True)
        reader.nonces(0, 10_000)
