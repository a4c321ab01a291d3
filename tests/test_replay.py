"""A recording as a Board: every share once, in recorded time, and nothing set that was not."""

import numpy as np
import pytest

from asic_reservoir.board import Board, Detail, OperatingPoint, Origin, Step, Work
from asic_reservoir.errors import DataError, LimitError, NotFoundError, UsageError
from asic_reservoir.nonces import NonceBatch
from asic_reservoir.recording import shipped
from asic_reservoir.registry import open_board

URI = "replay://s9-shares"
SECOND = 1_000_000_000


def play(board, duration_ns, **options):
    return board.step(Step(options.pop("point", OperatingPoint()), duration_ns, **options))


def test_it_is_a_board_that_says_what_it_does_not_know():
    with open_board(URI) as board:
        assert isinstance(board, Board)
        observation = play(board, SECOND)
    assert board.info.origin is observation.origin is Origin.REPLAYED
    assert (board.info.n_chips, board.info.n_counters, board.info.ticket_mask) == (189, 63, 256)
    assert observation.counts.valid.shape == (63,)
    assert observation.applied.frequency_mhz is None
    assert observation.applied.difficulty == 256
    assert np.isnan(observation.telemetry.chip_temperature_c).all()
    assert len(observation.nonces) == 0


@pytest.mark.parametrize("duration_ns", [SECOND, 7 * SECOND // 3, 30 * SECOND])
def test_slices_put_together_are_the_recording(duration_ns):
    parts, counted, previous_end = [], 0, shipped().begin_ns
    with open_board(URI) as board:
        while board.remaining_ns >= duration_ns:
            observation = play(board, duration_ns, detail=Detail.NONCES)
            assert observation.begin_ns == previous_end
            previous_end = observation.end_ns
            assert (observation.nonces.time_ns >= observation.begin_ns).all()
            assert (observation.nonces.time_ns < observation.end_ns).all()
            parts.append(observation.nonces)
            counted += int(observation.counts.total.sum())
        if board.remaining_ns:
            last = play(board, board.remaining_ns, detail=Detail.NONCES)
            parts.append(last.nonces)
            counted += int(last.counts.total.sum())
    assert NonceBatch.concatenate(parts).equals(shipped().nonces)
    assert counted == 2588


def test_the_end_is_an_error_that_plays_nothing():
    with open_board(URI) as board:
        play(board, 250 * SECOND)
        left = board.remaining_ns
        with pytest.raises(DataError, match=r"a step of 10 s asked of its last 1\.643 s, must end before"):
            play(board, 10 * SECOND)
        assert board.remaining_ns == left
        play(board, left)
        with pytest.raises(DataError):
            play(board, 1)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(OperatingPoint(frequency_mhz=650.0), SECOND), "frequency_mhz: 650. asked of the recording"),
        (Step(OperatingPoint(frequency_mhz=np.full(189, 600.0)), SECOND), "frequency_mhz: "),
        (Step(OperatingPoint(voltage_mv=8800.0), SECOND), "voltage_mv: 8800. asked"),
        (Step(OperatingPoint(fan_percent=50.0), SECOND), "fan_percent: 50. asked"),
        (Step(OperatingPoint(), SECOND, Work(extranonce2=b"\1\2")), "work.extranonce2: 0102 asked"),
        (Step(OperatingPoint(), SECOND, Work(clean=True)), "work.clean: True asked"),
    ],
)
def test_what_was_recorded_cannot_be_set(step, message):
    with open_board(URI) as board:
        with pytest.raises(UsageError, match=message):
            board.step(step)
        assert board.remaining_ns == shipped().end_ns - shipped().begin_ns


def test_asking_for_more_difficulty_thins_exactly():
    with open_board(URI) as board:
        harder = play(board, board.remaining_ns, point=OperatingPoint(difficulty=1024))
    assert int(harder.counts.total.sum()) == int((shipped().difficulty >= 1024).sum())
    assert harder.applied.difficulty == 1024
    with open_board(URI) as board:
        easier = play(board, board.remaining_ns, point=OperatingPoint(difficulty=4))
        assert int(easier.counts.total.sum()) == 2588
        assert easier.applied.difficulty == 256
    with open_board(URI) as board, pytest.raises(LimitError, match="difficulty: 0"):
        play(board, SECOND, point=OperatingPoint(difficulty=0))


def test_until_nonces_ends_with_the_last_of_them():
    with open_board(URI) as board:
        first = play(board, 100 * SECOND, detail=Detail.NONCES, until_nonces=10)
        second = play(board, 100 * SECOND, detail=Detail.NONCES, until_nonces=5)
    assert (len(first.nonces), len(second.nonces)) == (10, 5)
    assert first.end_ns == int(first.nonces.time_ns[-1]) + 1 == second.begin_ns
    assert NonceBatch.concatenate([first.nonces, second.nonces]).equals(shipped().nonces.select(slice(0, 15)))


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("replay://s9-chares", NotFoundError, "no recording 's9-chares', must be 's9-shares' or a path"),
        ("replay:///no/such.csv", NotFoundError, "no file or folder '/no/such.csv'"),
        ("replay://", UsageError, "no path, must look like"),
        ("replay://s9-shares?speed=2", UsageError, "option 'speed', must have none"),
        ("replay://s9-shares/more", NotFoundError, "no recording 's9-shares/more'"),
    ],
)
def test_uris_that_name_nothing(uri, error, message):
    with pytest.raises(error, match=message):
        open_board(uri)


def test_a_closed_board_does_not_play():
    board = open_board(URI)
    board.close()
    board.close()
    with pytest.raises(UsageError, match="closed"):
        play(board, SECOND)
