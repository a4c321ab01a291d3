"""Hashes that stick together are told from hashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boards_with_effects import StickyBoard
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.board import Board
from asic_reservoir.claim_trials import diffusion
from asic_reservoir.claim_trials.driving import Driver
from asic_reservoir.errors import UsageError
from asic_reservoir.kinds import TaskContext
from asic_reservoir.registry import open_board

URI = "twin://bm1366?seed=1&share_bits=1"


def trial(board: Board) -> diffusion.Finding:
    hashes = diffusion.collect(Driver(board, TaskContext(URI, Path()), 1), 1500, 0)
    return diffusion.judge(hashes, board.info)


@pytest.mark.slow
def test_a_board_whose_bad_hashes_stick_together_supports_the_claim_and_its_twin_does_not() -> None:
    with open_board(URI) as board:
        plain = trial(board)
    with StickyBoard(open_board(URI)) as board:
        sticky = trial(board)
    assert plain.label == "not supported", plain.sentence
    assert sticky.label == "supported", sticky.sentence
    assert sticky.effect is not None
    assert sticky.effect.high < -diffusion.MARGIN


def test_a_genesis_block_hashes_to_its_known_bits() -> None:
    """Bitcoin's block 0: 000000000019d668…, nonce 0x7c2bac1d."""
    root = bytes.fromhex("3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a")
    prefix = b"\x01\0\0\0" + bytes(32) + root + (0x495FAB29).to_bytes(4, "little") + (0x1D00FFFF).to_bytes(4, "little")
    bits = diffusion.digest_bits(prefix, np.array([0x7C2BAC1D]))
    assert np.packbits(bits[0]).tobytes().hex().startswith("000000000019d668")
    assert diffusion.leading_zeros((bits,)) == 43
    rolled = diffusion.digest_bits(b"\x03" + prefix[1:], np.array([0x7C2BAC1D]), np.array([2], np.uint32))
    assert (rolled == bits).all()


def test_a_board_that_does_not_do_sha_256_is_refused() -> None:
    with open_board("twin://lb-box?seed=1") as board, pytest.raises(UsageError, match="must be sha256d"):
        diffusion.collect(Driver(board, TaskContext("twin://lb-box?seed=1", Path()), 1), 100, 0)


@settings(max_examples=25)
@given(st.integers(2, 40), st.integers(0, 200), st.integers(0, 1000))
def test_distance_is_symmetric_bounded_and_zero_for_equal_hashes(n: int, skip: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (n, 256), dtype=np.uint8)
    forward = diffusion.distances((bits,), skip)
    assert forward.shape == (n - 1,)
    assert ((forward >= 0) & (forward <= 1)).all()
    assert (diffusion.distances((bits[::-1],), skip) == forward[::-1]).all()
    assert (diffusion.distances((np.repeat(bits[:1], 3, axis=0),), skip) == 0).all()
