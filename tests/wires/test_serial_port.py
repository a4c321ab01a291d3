"""The serial transport on real ptys."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import BusyError, NotFoundError, UsageError
from firmware_bridge.clocks import ClockTriple, TimeLine, monotonic_raw_ns, read_triple
from firmware_bridge.i2c import LinuxI2c
from firmware_bridge.serial_port import Chunk, LinkError, SerialPort, line_speed


@pytest.fixture
def pty() -> Iterator[tuple[int, str]]:
    """Master descriptor and path of a raw pty."""
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    yield master, path
    os.close(master)


def test_bytes_come_with_the_time_of_their_read(pty: tuple[int, str]) -> None:
    master, path = pty
    with SerialPort(path, 115_200) as port:
        before = monotonic_raw_ns()
        os.write(master, b"abc")
        chunk = port.read(60.0)
        after = monotonic_raw_ns()
        assert chunk is not None
        assert chunk.data == b"abc"
        assert before <= chunk.time_ns <= after
        assert chunk.source is TimestampSource.HOST
        port.write(b"xyz")
        assert os.read(master, 10) == b"xyz"
        assert port.read(0.01) is None


def test_frames_of_one_read_are_dated_back_by_the_bytes_behind_them() -> None:
    chunk = Chunk(bytes(22), 1_000_000)
    assert chunk.end_ns(22, 1e6) == 1_000_000
    assert chunk.end_ns(11, 1e6) == 1_000_000 - 110_000


def test_the_device_sees_the_speed_that_was_set(pty: tuple[int, str]) -> None:
    """1,041,667 is no standard rate: it must arrive as a number."""
    master, path = pty
    with SerialPort(path, 115_200) as port:
        assert line_speed(master)[1] == 115_200
        port.set_baud(1_041_667)
        assert line_speed(master)[1] == 1_041_667
        assert port.actual_baud == port.baud == 1_041_667


def test_a_port_has_one_holder(pty: tuple[int, str]) -> None:
    _, path = pty
    with SerialPort(path, 115_200):
        code = (
            "import sys\nfrom asic_reservoir.errors import BusyError\nfrom firmware_bridge.serial_port import *\n"
            f"try: SerialPort({path!r}, 9600)\nexcept BusyError: sys.exit(44)"
        )
        assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 44
        with pytest.raises(BusyError, match="another process"):
            SerialPort(path, 115_200)


def test_a_pulled_cable_is_an_error_after_the_last_bytes() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    with SerialPort(os.ttyname(slave), 115_200) as port:
        os.close(slave)
        os.write(master, b"last")
        deadline = time.monotonic() + 60.0
        while not port._chunks and time.monotonic() < deadline:  # what nobody has read is gone with the cable
            time.sleep(0.005)
        os.close(master)
        chunk = port.read(60.0)
        assert chunk is not None
        assert chunk.data == b"last"
        with pytest.raises(LinkError, match="serial port"):
            port.read(60.0)
        with pytest.raises(LinkError, match="serial port"):
            port.write(b"x")


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such device"):
        SerialPort("/dev/does-not-exist", 115_200)
    with pytest.raises(NotFoundError, match="no such device"):
        LinuxI2c("/dev/i2c-does-not-exist")
    no_adapter = tmp_path / "i2c"
    no_adapter.write_bytes(b"")
    bus = LinuxI2c(str(no_adapter))
    for transfer in (lambda: bus.write(0x48, b"x"), lambda: bus.read(0x48, 1), lambda: bus.write_read(0x48, b"x", 1)):
        with pytest.raises(LinkError, match="I2C part 48"):
            transfer()
    bus.close()
    bus.close()


def test_a_modem_line_that_is_not_there(pty: tuple[int, str]) -> None:
    with SerialPort(pty[1], 115_200) as port:
        with pytest.raises(UsageError, match="'rts' or 'dtr'"):
            port.set_modem_line("cts", True)
        with pytest.raises(LinkError, match="rts"):
            port.set_modem_line("rts", True)


def test_clock_triples_put_a_kernel_stamp_on_the_board_s_line() -> None:
    line = TimeLine()
    time.sleep(0.02)
    line.record()
    now = read_triple()
    within_ns = 2_000_000 + now.uncertainty_ns + sum(triple.uncertainty_ns for triple in line.triples)
    assert abs(line.raw_of_realtime(now.realtime_ns) - now.monotonic_raw_ns) < within_ns
    assert abs(line.realtime_of_raw(now.monotonic_raw_ns) - now.realtime_ns) < within_ns
    assert abs(line.tai_of_raw(now.monotonic_raw_ns) - now.tai_ns) < within_ns


def test_a_line_between_two_triples() -> None:
    """A clock that runs 10 ppm fast is straightened between the marks and beyond them."""
    line = TimeLine([ClockTriple(0, 10**18, 0, 0), ClockTriple(10**9, 10**18 + 10**9 + 10_000, 0, 0)])
    assert line.raw_of_realtime(10**18 + 500_005_000) == 500_000_000
    assert line.realtime_of_raw(2 * 10**9) == 10**18 + 2 * 10**9 + 20_000
