"""What the Python computes, written down for Lean to compute again: ``python -m lean.vectors``.

Every vector is a statement ``example : f x = y := by decide +kernel`` in ``AsicReservoir/Vectors.lean``, with ``y``
from the implementation that the product runs (tables of counts: from exact fractions here). If the Python changes what
it does, Lean refuses the file; if the file was not written anew, ``--check`` says so.

Needs the package installed, unlike the checker.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from fractions import Fraction

from asic_reservoir import lease_model
from asic_reservoir.tpf import energy
from firmware_bridge.bm13xx import bm1366, crc
from firmware_bridge.bm13xx.commands import ChainInactive, Command, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.stratum.handshake import HandshakeLedger
from lean.sources import FOLDER, LIBRARY

PATH = FOLDER / LIBRARY / "Vectors.lean"
SEED = 20260107
KEEP_RATES = ("1", "0.5", "0.25", "0.1", "0.05", "0.01", "0")


def example(statement: str) -> str:
    """A statement for the kernel to decide."""
    return f"example : {statement} := by decide +kernel"


def rational(value: Fraction) -> str:
    """A rational number as Lean writes it."""
    return f"({value.numerator} / {value.denominator} : Rat)"


def byte_list(data: bytes) -> str:
    """Bytes as a list of 8-bit words."""
    return f"[{', '.join(f'{byte:#04x}#8' for byte in data)}]"


def boolean(value: bool) -> str:
    """A Boolean as Lean writes it."""
    return "true" if value else "false"


def checksums(source: random.Random) -> Iterator[str]:
    """Check values, the frames of the protocol page, and messages of every length up to a short job."""
    messages = [b"", b"\x00", b"123456789", bytes.fromhex("52050000"), bytes.fromhex("51090010000d3224")]
    messages += [source.randbytes(size) for size in (1, 2, 3, 5, 8, 13, 34, 84)]
    for message in messages:
        data = byte_list(message)
        yield example(f"crc5 (bits {data}) = {crc.crc5(message):#04x}#5")
        yield example(f"crc16 (bits {data}) = {crc.crc16(message):#06x}#16")
    for body, kind in ((bytes.fromhex("1366000000000000"), 0), (source.randbytes(8), 4)):
        kind_bits = ", ".join(boolean(bool(kind >> shift & 1)) for shift in (2, 1, 0))
        yield example(f"crc5 (bits {byte_list(body)} ++ [{kind_bits}]) = {crc.crc5_reply(body, kind):#04x}#5")


def commands(source: random.Random) -> Iterator[str]:
    """Frames, from the encoder; their decoding back is a theorem."""
    chosen: list[Command] = [
        SetAddress(0),
        SetAddress(0xDC),
        ChainInactive(),
        ReadRegister(0),
        ReadRegister(0x1C, 0x40),
    ]
    chosen += [WriteRegister(0xA4, 0x9000FFFF), WriteRegister(0x3C, 0x800082AA, 0x80), WriteRegister(0x10, 0x000D3224)]
    chosen += [WriteRegister(source.randrange(256), source.randrange(1 << 32), source.randrange(256)) for _ in range(4)]
    for command in chosen:
        yield example(f"encode ({constructor(command)}) = {byte_list(bm1366.encode_command(command))}")


def constructor(command: Command) -> str:
    """A command in the words of the chapter."""
    match command:
        case SetAddress(address):
            return f".setAddress {address:#04x}#8"
        case ChainInactive():
            return ".chainInactive"
        case ReadRegister(register, None):
            return f".readAll {register:#04x}#8"
        case ReadRegister(register, chip):
            return f".readOne {chip:#04x}#8 {register:#04x}#8"
        case WriteRegister(register, value, chip):
            words = " ".join(f"{byte:#04x}#8" for byte in value.to_bytes(4, "big"))
            head = ".writeAll" if chip is None else f".writeOne {chip:#04x}#8"
            return f"{head} {register:#04x}#8 {words}"


def energies() -> Iterator[str]:
    """Savings, break-even, rounds per share and gain over the filters of the report."""
    for k, n in ((5, 64), (5, 128), (0, 64), (125, 128)):
        kappa = Fraction(k, n)
        for q in KEEP_RATES:
            c = Fraction(q)
            yield example(f"savings {n} {k} {rational(c)} = {rational(energy.savings(k, n, q))}")
            yield example(f"cost {rational(kappa)} {rational(c)} = {rational(energy.break_even_recall(k, n, q))}")
            for recall in (Fraction(1), Fraction(9, 10), c):
                if recall and c:
                    per_share = energy.rounds_per_found(k, n, q, recall)
                    yield example(
                        f"roundsPerHit {rational(recall)} {rational(kappa)} {rational(c)} = {rational(per_share)}"
                    )
                    gain = energy.gain(k, n, q, recall)
                    yield example(f"gain {rational(recall)} {rational(kappa)} {rational(c)} = {rational(gain)}")


def accuracies(source: random.Random) -> Iterator[str]:
    """Tables of counts: accuracy of a rule, largest marginal and total variation, by fractions in Python."""
    for states, observations in ((2, 2), (2, 5), (3, 4)):
        rows = [[source.randrange(1, 60) for _ in range(observations)] for _ in range(states)]
        total = sum(map(sum, rows))
        guess = [max((row[j], -i) for i, row in enumerate(rows))[1] * -1 for j in range(observations)]
        accuracy = Fraction(sum(rows[guess[j]][j] for j in range(observations)), total)
        baseline = Fraction(max(map(sum, rows)), total)
        columns = [sum(row[j] for row in rows) for j in range(observations)]
        cells = ((rows[i][j], sum(rows[i]), columns[j]) for i in range(states) for j in range(observations))
        gaps = (abs(Fraction(cell, total) - Fraction(row * column, total**2)) for cell, row, column in cells)
        distance = sum(gaps, Fraction(0)) / 2
        joint = f"(Joint.ofCounts {states} {observations} (table {rows}) (by decide +kernel))"
        rule = f"(fun j => ({guess} : List Nat)[j]?.getD 0)"
        yield example(f"accuracy {joint} {rule} = {rational(accuracy)}")
        yield example(f"baseline {joint} = {rational(baseline)}")
        yield example(f"totalVariation {joint} = {rational(distance)}")


def lease_events(source: random.Random, length: int) -> list[lease_model.Event]:
    """Events as they might come: tokens around those that were granted, so that stale ones are common."""
    kinds = (lease_model.Renew, lease_model.Expire, lease_model.Release, lease_model.Write, lease_model.Write)
    model, events = lease_model.LeaseModel(), list[lease_model.Event]()
    for _ in range(length):
        if source.random() < 0.3:
            event: lease_model.Event = lease_model.Acquire(source.randrange(3))
        else:
            event = source.choice(kinds)(max(0, model.last - source.randrange(-1, 3)))
        model.step(event)
        events.append(event)
    return events


def leases(source: random.Random) -> Iterator[str]:
    """Traces of the lease with the answers of the Python model."""
    for length in (0, 6, 20, 20, 60):
        events = lease_events(source, length)
        pairs = (
            f"(.{type(event).__name__.lower()} {astuple(event)[0]}, {boolean(answer)})"
            for event, answer in zip(events, lease_model.run(events), strict=True)
        )
        yield example(f"agrees [{', '.join(pairs)}] = true")


def handshakes(source: random.Random) -> Iterator[str]:
    """Traces of the handshake, with losses, repetitions and late answers, and what the ledger counted."""
    for length in (4, 20, 60):
        ledger, job, events, exchanges = HandshakeLedger(), 0, list[str](), list[str]()
        for time in range(1000, 1000 + 100 * length, 100):
            if ledger.in_flight is None and source.random() < 0.7:
                ledger.sent(job, time)
                events.append(f".sent {job} {time}")
                job += 1
            elif source.random() < 0.2:
                ledger.give_up()
                events.append(".giveUp")
            else:
                answered = max(0, job - 1 - source.choice((0, 0, 0, 1, 2)))
                exchange = ledger.answered(answered, time)
                events.append(f".answered {answered} {time}")
                if exchange is not None:
                    exchanges.insert(0, f"({exchange.job}, {exchange.sent_ns}, {exchange.answered_ns})")
        flight = "none" if ledger.in_flight is None else f"some {ledger.in_flight}"
        counted = f"({flight}, [{', '.join(exchanges)}], {ledger.given_up}, {ledger.surplus})"
        yield example(f"summary [{', '.join(events)}] = {counted}")


def chapter(space: str, opened: str, lines: Iterable[str]) -> str:
    """A section of the file."""
    return "\n".join([f"namespace Vectors.{space}", "", f"open {opened}", "", *lines, "", f"end Vectors.{space}", ""])


def document() -> str:
    """The whole file: the same text for the same Python, whenever it is written."""
    source = random.Random(SEED)
    sections = [
        chapter("Frames", "_root_.Frames", [*checksums(source), *commands(source)]),
        chapter("Energy", "_root_.Energy", energies()),
        chapter("Predictability", "_root_.Distribution _root_.Leakage _root_.Predictability", accuracies(source)),
        chapter("Lease", "_root_.Lease", leases(source)),
        chapter("Handshake", "_root_.Handshake", handshakes(source)),
    ]
    imports = ("Energy", "Frames", "Handshake", "Lease", "Predictability")
    head = ["module", "", *(f"import {LIBRARY}.{name}" for name in imports), ""]
    note = "/-! Written by `python -m lean.vectors` from the Python that runs; not by hand. -/\n"
    return "\n".join([*head, note, *sections])


def main(arguments: list[str]) -> int:
    """Write the file, or with ``--check`` say whether it is as it would be written."""
    text = document()
    if arguments == ["--check"]:
        if PATH.read_text(encoding="utf-8") == text:
            return 0
        print(f"{PATH.name}: differs from what the Python computes now, run python -m lean.vectors", file=sys.stderr)
        return 1
    PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
