"""Network wires: submits validated a second, lines read with kernel stamps, log lines parsed, what a stamp is worth."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from firmware_bridge.axeos.log import parse_log_line
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.lbry.stratum import LbryNotify, LbryWork
from firmware_bridge.stratum.lines import decode, encode, encode_answer
from firmware_bridge.stratum.messages import Answer, Notify, Submit
from firmware_bridge.stratum.shares import ShareBook
from firmware_bridge.stratum.work import DEFAULT_VERSION_MASK, Hashable, Sha256dWork
from firmware_bridge.tcp import LineSocket

SHARES = 6000
LINES = 6000
ROUNDS = 5
NEEDED_PER_S = 20_000
_NOTIFY = Notify("875b4b7", bytes(32), bytes(58), bytes(106), (bytes(32),) * 12, 0x20000000, 0x17023A04, 0x685468D7)
_LOG = (
    "\x1b[0;32mI (131148) asic_result: ID: 875b4b7, ASIC nr: 0, Core: 38/2, ver: 00B44000 Nonce 7552034C "
    "diff 29588.0 of 8192.\x1b[0m"
)


def run() -> list[dict[str, Any]]:
    """The rows."""
    sha, lbry = Sha256dWork(_NOTIFY, b"abcd"), LbryWork(LbryNotify(_NOTIFY, bytes(32)), b"abcd")
    many, few = _submits(per_extranonce2=30, bits=True), _submits(per_extranonce2=1, bits=True)
    plain_bits = _submits(per_extranonce2=30, bits=False)
    timed = _interleaved(
        {
            "json only": lambda: [json.loads(line) for line in many],
            "submits, 30 of one extranonce2": lambda: _validate(sha, many, DEFAULT_VERSION_MASK),
            "submits, each a new Merkle root of 12 branches": lambda: _validate(sha, few, DEFAULT_VERSION_MASK),
            "submits, LBRY": lambda: _validate(lbry, plain_bits, 0),
            "log": lambda: [parse_log_line(_LOG) for _ in range(SHARES)],
        }
    )
    rate = {name: SHARES / seconds for name, seconds in timed.items()}
    rows = [
        _row(f"Stratum {name}", rate[name], "1/s", "the 20,000 a second asked for", rate[name] / NEEDED_PER_S)
        for name in rate
        if name.startswith("submits")
    ]
    rows.append(_row("JSON of the same submits, decoded only", rate["json only"], "1/s", "", None))
    rows.append(_row("AxeOS log lines parsed", rate["log"], "1/s", "", None))
    stamped, buffered = _line_rates()
    note = "a line at a time, so that each has its own stamp"
    rows.append(_row("lines read with kernel stamps", stamped, "1/s", "file.readline", stamped / buffered, note))
    median_us, high_us = _late_us()
    note = "two busy threads beside it"
    rows.append(_row("stamp of this process behind the kernel's, median", median_us, "us", "", None, note))
    rows.append(_row("the same, 99th percentile", high_us, "us", "the median", high_us / median_us))
    return rows


def _row(name: str, value: float, unit: str, reference: str, ratio: float | None, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "note": note}


def _interleaved(cases: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU time of each, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            begin = time.process_time()
            case()
            times[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def _submits(per_extranonce2: int, *, bits: bool) -> list[bytes]:
    return [
        encode(
            i,
            Submit(
                "lab.lv06",
                "875b4b7",
                (i // per_extranonce2).to_bytes(4, "little"),
                0x685468D7,
                i * 2654435761 & 0xFFFFFFFF,
                (i & 0xFFFF) << 13 if bits else None,
            ),
        )
        for i in range(SHARES)
    ]


def _validate(work: Hashable, lines: list[bytes], mask: int) -> None:
    """From the line to the answer, with a fresh book and no Merkle root kept."""
    fresh = type(work)(*(getattr(work, name) for name in ("notify" if mask else "job", "extranonce1")))  # type: ignore[call-arg]
    book = ShareBook()
    book.issue(0, fresh, difficulty=1e-9, version_mask=mask, extranonce2_size=4, clean=True)
    for line in lines:
        decoded = decode(line)
        assert isinstance(decoded, tuple)
        message_id, submit = decoded
        assert isinstance(submit, Submit)
        share = book.check(submit)
        encode_answer(Answer(message_id, None if share.error else True, share.error))


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


def _line_rates() -> tuple[float, float]:
    """Lines a second: ours, and those of a buffered file."""
    data = b'{"id":9,"method":"mining.submit","params":["w","1","01000000","685468d7","7552034c","00b44000"]}\n' * LINES
    ours, theirs = [], []
    for _ in range(3):
        for times, buffered in ((ours, False), (theirs, True)):
            near, far = _pair()
            sender = threading.Thread(target=near.sendall, args=(data,))
            reader = far.makefile("rb") if buffered else LineSocket(far)
            begin = time.perf_counter()
            sender.start()
            for _ in range(LINES):
                if isinstance(reader, LineSocket):
                    reader.read()
                else:
                    reader.readline()
            times.append(LINES / (time.perf_counter() - begin))
            sender.join()
            reader.close()
            near.close()
            far.close()
    return statistics.median(ours), statistics.median(theirs)


def _late_us() -> tuple[float, float]:
    """Median and 99th percentile in us by which a stamp taken after the read is later than the kernel's."""
    near, far = _pair()
    lines = LineSocket(far)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(range(2000))

    def send() -> None:
        for _ in range(200):
            near.sendall(b"x\n")
            time.sleep(0.003)

    threads = [threading.Thread(target=busy), threading.Thread(target=busy), threading.Thread(target=send)]
    for thread in threads:
        thread.start()
    late = []
    for _ in range(200):
        line = lines.read(5)
        now = monotonic_raw_ns()
        assert line is not None
        late.append((now - line.time_ns) / 1000.0)
    stop.set()
    for thread in threads:
        thread.join()
    lines.close()
    near.close()
    return statistics.median(late), sorted(late)[197]
