"""Lines over TCP with kernel stamps, the handshake's one-to-one, the search for a mask, HTTP digest, announcements."""

import contextlib
import random
import socket
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_stamps import wait_for_stamps

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import DataError, ServerError, TimeoutExpiredError, UsageError
from firmware_bridge.announcement import Announcement, of_agent, of_headers, with_agent
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.digest import digest_response
from firmware_bridge.http import HttpLink
from firmware_bridge.stratum.handshake import HandshakeLedger
from firmware_bridge.stratum.mask import find_mask
from firmware_bridge.tcp import LineSocket, LinkClosedError, ask_for_stamps, ask_once, connect


@contextlib.contextmanager
def pair(limit: int = 65536):
    """A line socket and the other end of its TCP connection."""
    with socket.socket() as listener:
        ask_for_stamps(listener)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        other = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    lines = LineSocket(accepted, limit)
    try:
        yield lines, other
    finally:
        lines.close()
        other.close()


def test_every_line_has_the_time_at_which_the_kernel_got_it() -> None:
    with pair() as (lines, other):
        wait_for_stamps()
        for text in (b"first", b"second"):
            sent = monotonic_raw_ns()
            other.sendall(text + b"\n")
            time.sleep(0.1)  # it waits in the buffer: a stamp of this process would be 0.1 s late
            line = lines.read(60)
            assert line is not None
            assert (line.data, line.source, line.same_read) == (text, TimestampSource.KERNEL, False)
            assert line.time_ns >= sent - 2_000_000  # from the kernel's clock to ours, on a machine that is interrupted
            assert monotonic_raw_ns() - line.time_ns > 90_000_000


def test_lines_of_one_segment_are_marked_as_one_read() -> None:
    with pair() as (lines, other):
        other.sendall(b"a\nb\n\0c\0")
        read = [lines.read(1) for _ in range(3)]
        assert [line.data for line in read if line is not None] == [b"a", b"b", b"c"]
        assert [line.same_read for line in read if line is not None] == [False, True, True]


def test_an_overlong_line_is_dropped_and_the_stream_goes_on() -> None:
    with pair(limit=64) as (lines, other):
        other.sendall(b"x" * 500 + b"\nshort\n")
        line = lines.read(1)
        assert line is not None
        assert line.data == b"short"
        assert lines.overlong == 1
        other.close()
        with pytest.raises(LinkClosedError):
            lines.read(1)


@given(st.lists(st.binary(max_size=30), max_size=8), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_any_stream_in_any_pieces_gives_the_same_lines(parts: list[bytes], seed: int) -> None:
    stream = b"\n".join(parts) + b"\n"
    wanted = [line.strip(b"\r") for piece in stream.split(b"\n") for line in piece.split(b"\0")]
    rng = random.Random(seed)
    with pair() as (lines, other):
        at = 0
        while at < len(stream):
            size = rng.randint(1, 12)
            other.sendall(stream[at : at + size])
            at += size
        other.shutdown(socket.SHUT_WR)
        got = []
        with contextlib.suppress(LinkClosedError):
            while (line := lines.read(60)) is not None:
                got.append(line.data)
        assert got == [line for line in wanted if line]


def test_a_silent_or_absent_device_is_a_timeout() -> None:
    with pair() as (lines, _):
        assert lines.read(0.02) is None
    with pytest.raises(TimeoutExpiredError, match="must be reachable"):
        connect("127.0.0.1", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        with pytest.raises(TimeoutExpiredError, match=r"must answer within 0\.1 s"):
            ask_once("127.0.0.1", silent.getsockname()[1], b"summary", timeout_s=0.1)


def test_http_errors_are_typed() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2)
        listener.settimeout(60)

        def serve() -> None:  # each connection for one request: the client must not count on the first one
            refused = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
            for answer in (refused, b"nonsense\r\n\r\n"):
                connection, _ = listener.accept()
                connection.recv(4096)
                connection.sendall(answer)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with HttpLink(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=60) as link:
            with pytest.raises(ServerError, match="status 404"):
                link.fetch("GET", "/")
            with pytest.raises(TimeoutExpiredError):
                link.fetch("GET", "/")
            assert link.announcement is None
        thread.join(60)


ACTIONS = st.lists(st.tuples(st.sampled_from(["send", "answer", "give up"]), st.integers(0, 6)), max_size=40)


@given(ACTIONS)
def test_the_handshake_is_one_to_one(actions: list[tuple[str, int]]) -> None:
    """Whatever comes in whatever order: an answer belongs to the request that was open, and to no other."""
    ledger = HandshakeLedger()
    sent: dict[int, int] = {}
    answered: set[int] = set()
    next_job = 0
    for clock, (action, pick) in enumerate(actions, 1):
        if action == "send":
            if ledger.in_flight is None:
                ledger.sent(next_job, clock)
                sent[next_job] = clock
                next_job += 1
            else:
                with pytest.raises(UsageError, match="in flight"):
                    ledger.sent(next_job, clock)
        elif action == "answer":
            was = ledger.in_flight
            exchange = ledger.answered(pick, clock)
            assert (exchange is not None) == (was is not None and was == pick)
            if exchange is not None:
                assert exchange.job not in answered
                assert exchange.sent_ns == sent[exchange.job] < exchange.answered_ns
                answered.add(exchange.job)
        else:
            ledger.give_up()
    assert ledger.exchanges == len(answered)
    assert len(answered) + ledger.given_up + (ledger.in_flight is not None) == len(sent)


@pytest.mark.parametrize("mask", [64, 256, 1024])
def test_a_mask_that_is_stricter_than_the_pool_is_found_exactly(mask: int) -> None:
    rng = random.Random(mask)
    shares = [mask / (1.0 - rng.random()) for _ in range(60)]
    finding = find_mask(shares, asked=4)
    assert finding.mask == mask
    assert f"mask of {mask}" in str(finding)
    assert find_mask(shares, asked=mask).mask is None
    assert not find_mask(shares[:5], asked=4).certain


def test_the_digest_of_rfc_2617() -> None:
    """RFC 2617, section 3.5."""
    from hashlib import md5

    secret = md5(b"Mufasa:testrealm@host.com:Circle Of Life", usedforsecurity=False).hexdigest()
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    response = digest_response(secret, "GET", "/dir/index.html", nonce, "00000001", "0a4f113b", "auth")
    assert response == "6629fae49393a05397450978507c4ef1"


@given(st.text(max_size=40), st.floats(0.1, 1000), st.floats(1e-15, 1))
def test_announcements_survive_and_nothing_else_is_taken_for_one(text: str, speed: float, scale: float) -> None:
    announcement = Announcement(speed, scale)
    assert of_agent(with_agent("bmminer/2.0.0", announcement)) == announcement
    assert of_headers({"x-simulated": str(announcement)}) == announcement
    assert of_headers({"Server": text}) is None
    with contextlib.suppress(DataError):
        of_headers({"X-Simulated": text})
    with contextlib.suppress(DataError):
        of_agent(f"x [asic-reservoir-twin;{text}")
