"""The kernels against FIPS 180-4, hashlib, a real block and each other."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, UsageError
from asic_reservoir.tpf import _shani
from asic_reservoir.tpf._constants import IV
from asic_reservoir.tpf.compression import Job, check_nonces, compression_state, sha256
from asic_reservoir.tpf.sha256 import Kernel, tap, trace_of, word7_of, zero_bits

KERNELS = [Kernel.PORTABLE, *([Kernel.EXTENSIONS] if _shani.available() else [])]

# First block of the chain, as every client carries it.
GENESIS = bytes.fromhex(
    "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f617fc81bc3"
    "888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
)
# NIST, «SHA-256 example» of FIPS 180-4: working variables a..h for the message «abc».
ABC_ROUND_1 = "5d6aebcd 6a09e667 bb67ae85 3c6ef372 fa2a4622 510e527f 9b05688c 1f83d9ab"
ABC_ROUND_2 = "5a6ad9ad 5d6aebcd 6a09e667 bb67ae85 78ce7989 fa2a4622 510e527f 9b05688c"
ABC_ROUND_64 = "506e3058 d39a2165 04d24d6c b85e2ce9 5ef50f24 fb121210 948d25b6 961f4894"


def double_hash(header: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(header).digest()).digest()


@pytest.mark.parametrize(
    ("message", "digest"),
    [  # FIPS 180-4 / NIST examples
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ],
)
def test_fips_digests(message: bytes, digest: str) -> None:
    assert sha256(message).hex() == digest


@pytest.mark.parametrize(("r", "expected"), [(1, ABC_ROUND_1), (2, ABC_ROUND_2), (64, ABC_ROUND_64)])
def test_fips_working_variables(r: int, expected: str) -> None:
    block = np.frombuffer(b"abc\x80" + bytes(59) + b"\x18", ">u4").astype(np.uint32)
    state = compression_state(IV[None], block[None], r)[0]
    assert " ".join(f"{word:08x}" for word in state) == expected


@given(st.binary(max_size=200))
def test_any_message_as_hashlib(message: bytes) -> None:
    assert sha256(message) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("kernel", KERNELS)
def test_genesis_block(kernel: Kernel) -> None:
    nonce = int.from_bytes(GENESIS[76:], "little")
    words = word7_of(Job.of(GENESIS), [nonce - 1, nonce, nonce + 1], kernel)
    assert zero_bits(words).tolist()[1] == 32
    digest = trace_of(Job.of(GENESIS), [nonce], kernel).digest()[0].astype(">u4").tobytes()
    assert digest[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"


@pytest.mark.parametrize("kernel", KERNELS)
@settings(deadline=None, max_examples=50)
@given(prefix=st.binary(min_size=76, max_size=76), nonces=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_any_header_as_hashlib(kernel: Kernel, prefix: bytes, nonces: list[int]) -> None:
    job = Job.of(prefix)
    trace = trace_of(job, nonces, kernel)
    digests = trace.digest()
    expected = [double_hash(prefix + nonce.to_bytes(4, "little")) for nonce in nonces]
    assert [row.astype(">u4").tobytes() for row in digests] == expected
    words = word7_of(job, nonces, kernel)
    assert np.array_equal(words, digests[:, 7])
    bits = [256 - int.from_bytes(digest, "little").bit_length() for digest in expected]
    assert zero_bits(words).tolist() == [min(b, 32) for b in bits]


@pytest.mark.skipif(not _shani.available(), reason="this processor has no SHA extensions")
@pytest.mark.parametrize("n", [1, 2, 15, 17, 64])
def test_kernels_agree_in_every_round(n: int) -> None:
    job = Job.random(np.random.default_rng(n))
    nonces = np.random.default_rng(7).integers(0, 2**32, n, dtype=np.uint32)
    one, other = trace_of(job, nonces, Kernel.PORTABLE), trace_of(job, nonces, Kernel.EXTENSIONS)
    assert np.array_equal(one.rows, other.rows)
    for compression, r in [(0, 0), (0, 3), (0, 64), (1, 1), (1, 60), (1, 61)]:
        for kernel in KERNELS:
            states, words = tap(job, nonces, compression, r, kernel, threads=2)
            assert np.array_equal(states, one.state(compression, r))
            assert np.array_equal(words, one.digest()[:, 7])


def test_the_nonce_enters_at_round_four() -> None:
    trace = trace_of(Job.random(np.random.default_rng(1)), np.arange(50))
    assert all(len(np.unique(trace.state(0, r), axis=0)) == 1 for r in range(4))
    assert len(np.unique(trace.state(0, 4), axis=0)) == 50


@pytest.mark.parametrize("last", [4, 17, 32, 64])
def test_the_deciding_word_is_known_three_rounds_before_the_end(last: int) -> None:
    trace = trace_of(Job.random(np.random.default_rng(2)), np.arange(50))
    assert np.array_equal(trace.reduced_word7(last), trace.state(1, last - 3)[:, 4] + IV[7])


def test_reduced_rounds_as_an_independent_loop_makes_them() -> None:
    """One header, 9 rounds of the second hash, by the formulas of FIPS 180-4 on Python integers."""
    from asic_reservoir.tpf._constants import K_INTEGERS

    def rotr(x: int, n: int) -> int:
        return (x >> n | x << (32 - n)) & 0xFFFFFFFF

    digest = hashlib.sha256(GENESIS).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 32, 4)] + [0x80000000]
    a, b, c, d, e, f, g, h = (int(word) for word in IV)
    for t in range(9):
        t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + K_INTEGERS[t] + words[t]
        t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (t1 + t2) & 0xFFFFFFFF, a, b, c, (d + t1) & 0xFFFFFFFF, e, f, g
    trace = trace_of(Job.of(GENESIS), [int.from_bytes(GENESIS[76:], "little")])
    assert trace.state(1, 9)[0].tolist() == [a, b, c, d, e, f, g, h]
    assert int(trace.reduced_word7(9)[0]) == (h + int(IV[7])) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: Job.of(bytes(79)), DataError, "header: 79 bytes"),
        (lambda: trace_of(Job.of(bytes(80)), [0]).state(2, 1), UsageError, "compression: 2"),
        (lambda: trace_of(Job.of(bytes(80)), [0]).state(1, 65), UsageError, "round: 65"),
        (lambda: trace_of(Job.of(bytes(80)), [0]).state(1, -1), UsageError, "round: -1"),
        (lambda: tap(Job.of(bytes(80)), [0], 0, 65), UsageError, "round: 65"),
        (lambda: trace_of(Job.of(bytes(80)), [0]).reduced_word7(0), UsageError, "last: 0"),
        (lambda: word7_of(Job.of(bytes(80)), [0], threads=0), UsageError, "threads: 0"),
        (lambda: check_nonces([[1]]), DataError, r"nonces: shape \(1, 1\)"),
        (lambda: check_nonces([-1]), DataError, "nonces: values -1"),
        (lambda: check_nonces([0.5]), DataError, "nonces: float64"),
        (lambda: check_nonces(["x"]), DataError, "nonces: <U1"),
    ],
)
def test_bad_input_is_named(call: object, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=f"^{named}"):
        call()  # type: ignore[operator]


def test_no_nonces_is_no_error() -> None:
    assert len(trace_of(Job.of(bytes(80)), np.empty(0, np.uint32))) == 0
