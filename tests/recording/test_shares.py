"""The shipped recording of a real S9, against what its authors' data hold and what independent counts say."""

import collections
import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import asic_reservoir
from asic_reservoir.headers import swap_words
from asic_reservoir.nonces import NonceFlag
from asic_reservoir.recording import chip_of, core_of, read_rows, shipped
from asic_reservoir.recording.shares import rebuild, share_difficulty

CSV = Path(asic_reservoir.__file__).parent / "data" / "s9_shares" / "s9_shares.csv"


def test_every_share_is_genuine_at_difficulty_256():
    # Known of the recording: 2,588 rows, each of difficulty 256 or more, the smallest 256.21.
    recording = shipped()
    assert len(recording.nonces) == 2588
    assert recording.nonces.valid.all()
    assert (recording.difficulty >= 256).all()
    assert round(float(recording.difficulty.min()), 2) == 256.21
    assert recording.ticket_mask == 256


def test_without_the_word_swap_no_share_is_valid():
    rows = [dataclasses.replace(row, prevhash=swap_words(row.prevhash)) for row in read_rows(CSV)[:300]]
    assert max(share_difficulty(row) for row in rows) < 1e-6
    assert not rebuild(rows, "unswapped").nonces.valid.any()


def test_difficulties_fall_off_as_chance_has_it():
    # P(difficulty > d) = 256 / d for genuine shares, so 256 / difficulty is uniform on (0, 1).
    uniform = np.sort(256 / shipped().difficulty)
    assert np.abs(uniform - np.arange(1, 2589) / 2588).max() < 1.63 / np.sqrt(2588)


def test_flags_agree_with_counts_made_from_the_text():
    with CSV.open() as file:
        rows = list(csv.DictReader(file))
    nonces = shipped().nonces
    identical = collections.Counter(tuple(row[name] for name in list(row)[3:]) for row in rows)
    assert int(nonces.has(NonceFlag.DUPLICATE).sum()) == sum(n - 1 for n in identical.values()) == 42
    jobs = {(row["job_id"], row["prevhash"], row["coinb1"], row["coinb2"]) for row in rows}
    assert shipped().n_jobs == len(jobs) == 2325
    assert int(nonces.has(NonceFlag.STALE).sum()) == len(rows) - len(jobs) == 263
    # Two job ids came up twice by chance: by the id alone there would be two late shares more.
    assert len(rows) - len({row["job_id"] for row in rows}) == 265
    # A share out of the buffer waits only until the host has dealt with the one before: 0.5 to 1.7 ms here.
    same_read = nonces.has(NonceFlag.SAME_READ)
    assert int(same_read.sum()) == 33
    assert np.diff([float(row["timestamp"]) for row in rows])[same_read[1:]].max() < 2e-3


def test_nonces_name_63_chips_and_114_cores():
    nonces = shipped().nonces
    assert sorted(set(nonces.chip.tolist())) == list(range(63))
    assert sorted(set(nonces.core.tolist())) == [*range(57), *range(64, 121)]


@pytest.mark.parametrize(("nonce", "chip", "core"), [(0x2A105D5D, 23, 42), (0xD25738D3, 52, 82), (0x47268D19, 6, 71)])
def test_places_of_known_nonces(nonce, chip, core):
    # braiins/braiins, axi_bm13xx_tb.sv: work replies of known chips.
    array = np.array([nonce], np.uint32)
    assert (int(chip_of(array)[0]), int(core_of(array)[0])) == (chip, core)


def test_a_place_that_no_chip_has_is_unknown():
    assert chip_of(np.array([63 << 2], np.uint32)).tolist() == [-1]


def test_the_licence_travels_with_the_data():
    assert "MIT License" in (CSV.parent / "LICENSE").read_text()
