"""The CSV of shares: what is not one gets an error that names file, row, column, value and what is right."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asic_reservoir.recording
from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.recording import read_rows
from asic_reservoir.recording.s9_csv import COLUMNS, ShareRow

HEADER = ",".join(COLUMNS)
# The first share of the shipped recording.
GOOD = {
    "timestamp": "1768125330.7148325",
    "job_id": "19a18",
    "jitter_ms": "84.44899995811284",
    "version": "20000000",
    "prevhash": "6c7dc168a7aafd7c15627152624fa44b2b36ac71fddd72d8d46d139f0b849b35",
    "coinb1": "319a4e76abdbf0eb1dc1c483f70117cdc3f06f0d9d8af261820d094efb9ae7d9",
    "coinb2": "8bd9293d73338e5f357a9cf61093ac52f9539d4eb901e4b9322bd818f4efa6af",
    "extranonce1": "0000ffff",
    "extranonce2": "20010000",
    "merkle_branch": "[]",
    "ntime": "69637392",
    "nbits": "1d00ffff",
    "nonce": "8b7746ab",
}


def file_of(path, *rows, header=HEADER):
    lines = [",".join(f'"{value}"' if "," in value else value for value in row.values()) for row in rows]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_row_is_read_to_the_nanosecond(tmp_path):
    [row] = read_rows(file_of(tmp_path / "shares.csv", GOOD))
    assert (row.time_ns, row.age_ns) == (1_768_125_330_714_832_500, 84_449_000)
    assert (row.version, row.nonce, row.nbits) == (0x20000000, 0x8B7746AB, 0x1D00FFFF)
    assert row.extranonce2 == bytes.fromhex("20010000")
    assert row.branches == ()


@pytest.mark.parametrize(
    ("column", "value", "right"),
    [
        ("timestamp", "yesterday", "seconds since 1970"),
        ("timestamp", "nan", "seconds since 1970"),
        ("timestamp", "1e300", "seconds since 1970"),
        ("timestamp", "-1", "seconds since 1970"),
        ("jitter_ms", "inf", "milliseconds"),
        ("job_id", "", "1 to 64 printable"),
        ("nonce", "8b7746a", "8 hex digits"),
        ("nonce", "8b7746ag", "8 hex digits"),
        ("nonce", "0x7746ab", "8 hex digits"),
        ("prevhash", "00", "64 hex digits"),
        ("coinb1", "abc", "an even number of hex digits"),
        ("merkle_branch", "[1]", "a JSON list of 64-digit hex strings"),
        ("merkle_branch", "{}", "a JSON list"),
        ("merkle_branch", "[" * 5000, "a JSON list"),
    ],
)
def test_a_bad_field_is_named(tmp_path, column, value, right):
    path = file_of(tmp_path / "shares.csv", GOOD, {**GOOD, column: value})
    with pytest.raises(DataError) as caught:
        read_rows(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: row 2, column '{column}': ")
    assert f"must be {right}" in message
    assert "\n" not in message
    assert len(message) < 300


def test_a_file_that_is_cut_off_says_where(tmp_path):
    path = file_of(tmp_path / "shares.csv", GOOD, GOOD)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match=r"row 2: \d+ fields, must be 13; is the file cut off\?"):
        read_rows(path)


def test_time_does_not_run_backwards(tmp_path):
    path = file_of(tmp_path / "shares.csv", GOOD, {**GOOD, "timestamp": "1768125330.0"})
    with pytest.raises(
        DataError, match=r"row 2, column 'timestamp': '1768125330\.0', must not be before the row above"
    ):
        read_rows(path)


def test_what_is_not_a_recording_at_all(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        read_rows(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="Is a directory"):
        read_rows(tmp_path)
    path = tmp_path / "x.csv"
    for content, fault in (
        (b"", "no column 'timestamp'"),
        (HEADER.encode() + b"\n", "no shares"),
        (HEADER.replace("nonce", "nunce").encode(), "no column 'extranonce1'"),
        ((HEADER + ",nonce").encode(), "another order or twice"),
        (b"\xff\xfe" + HEADER.encode(), "is not UTF-8"),
        (HEADER.encode() + b'\n"unclosed', "line"),
        (HEADER.encode() + b"\na\0b", "must be"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=fault):
            read_rows(path)


@pytest.fixture(scope="module")
def some_lines():
    path = asic_reservoir.recording.__path__[0] + "/../data/s9_shares/s9_shares.csv"
    with open(path, "rb") as file:
        return b"".join(file.readlines()[:6])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_rows_or_a_typed_error(data, some_lines, tmp_path_factory):
    content = bytearray(some_lines[: data.draw(st.integers(0, len(some_lines)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(bytes(content))
    try:
        rows = read_rows(path)
    except DataError:
        return
    assert rows
    assert all(isinstance(row, ShareRow) for row in rows)
