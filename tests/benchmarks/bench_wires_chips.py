"""How many nonce replies of BM1366 chips one core decodes: in bulk, and one by one as they come.

A line of 1 Mbaud carries 9,091 replies of 11 bytes a second; the reference of a million a second is a rack of a
hundred boards in one process.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from firmware_bridge.bm13xx.bm1366 import NonceReply, encode_reply
from firmware_bridge.bm13xx.bulk import decode_nonces
from firmware_bridge.bm13xx.stream import Bm1366Replies

REPLIES = 100_000
ROUNDS = 7
REFERENCE_PER_S = 1_000_000.0
LINE_PER_S = 1e6 / 110


def _stream() -> bytes:
    draw = random.Random(1366)
    return b"".join(
        encode_reply(NonceReply(draw.getrandbits(32), 2, draw.getrandbits(8), draw.getrandbits(16)))
        for _ in range(REPLIES)
    )


def _damaged(stream: bytes) -> bytes:
    """One frame in a hundred has a wrong bit, and the stream begins inside a frame."""
    draw, wrong = random.Random(1387), bytearray(stream[4:])
    for position in range(50, len(wrong), 1100):
        wrong[position] ^= 1 << draw.randrange(8)
    return bytes(wrong)


def _rates(calls: list[Callable[[], int]]) -> list[float]:
    """Replies a second of each, the median of interleaved rounds."""
    rates: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, row in zip(calls, rates, strict=True):
            begin = time.perf_counter()
            found = call()
            row.append(found / (time.perf_counter() - begin))
    return [statistics.median(row) for row in rates]


def run() -> list[dict[str, object]]:
    """Rows of the table."""
    whole = _stream()
    damaged = _damaged(whole)
    short = whole[: 11 * (REPLIES // 10)]
    reads = [whole[i : i + 4096] for i in range(0, len(whole), 4096)]

    def in_reads() -> int:
        rest, found = b"", 0
        for read in reads:
            data = rest + read
            columns = decode_nonces(data)
            rest, found = data[columns.consumed :], found + len(columns)
        return found

    bulk, broken, pieces, single = _rates(
        [
            lambda: len(decode_nonces(whole)),
            lambda: len(decode_nonces(damaged)),
            in_reads,
            lambda: len(Bm1366Replies().feed(short)),
        ]
    )
    table = (
        ("BM1366 replies, bulk", bulk, REFERENCE_PER_S, "one core, one buffer of 1.1 MB"),
        ("BM1366 replies, bulk, 1 % damaged", broken, REFERENCE_PER_S, "begins inside a frame"),
        ("BM1366 replies, bulk, reads of 4 kB", pieces, REFERENCE_PER_S, "as a loaded reader gets them"),
        ("BM1366 replies, one by one", single, LINE_PER_S, "reference: what a line of 1 Mbaud carries"),
    )
    keys = ("name", "value", "reference", "note")
    return [{**dict(zip(keys, row, strict=True)), "unit": "1/s", "ratio": row[1] / row[2]} for row in table]


if __name__ == "__main__":
    for row in run():
        print(f"{row['name']:40} {row['value']:12,.0f} {row['unit']}  x{row['ratio']:.1f}  {row['note']}")
