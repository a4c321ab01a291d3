"""LBRY: genesis block and proof-of-work vectors of protocols.md 7.5, the Stratum variant of 7.6."""

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError
from asic_reservoir.headers import display, target_of_bits
from firmware_bridge.lbry import pow as lbry_pow
from firmware_bridge.lbry.pow import LbryHeader, pow_hash
from firmware_bridge.lbry.stratum import LbryNotify, LbryWork, decode_lbry, encode_lbry_notify
from firmware_bridge.stratum.difficulty import HASHES_PER_DIFFICULTY_LBRY, mean_interval_s
from firmware_bridge.stratum.messages import Notify, SetDifficulty, Submit
from firmware_bridge.stratum.shares import ShareBook, Verdict

GENESIS = LbryHeader(
    version=1,
    previous=bytes(32),
    root=bytes.fromhex("b8211c82c3d15bcd78bba57005b86fed515149a53a425eb592c07af99fe559cc")[::-1],
    claim_trie=bytes([1, *bytes(31)]),
    ntime=1446058291,
    nbits=0x1F00FFFF,
    nonce=1287,
)
GENESIS_HEX = (
    "01000000" + "00" * 32 + "cc59e59ff97ac092b55e423aa5495151ed6fb80570a5bb78cd5bd1c3821c21b8"
    "01" + "00" * 31 + "33193156ffff001f07050000"
)


def test_the_genesis_block_validates() -> None:
    assert GENESIS.to_bytes().hex() == GENESIS_HEX
    assert LbryHeader.from_bytes(bytes.fromhex(GENESIS_HEX)) == GENESIS
    assert display(GENESIS.block_id) == "9c89283ba0f3227f6c03b70216b9f665f0118d5e0fa729cedf4fb34d6a34f463"
    work = pow_hash(GENESIS.to_bytes())
    assert display(work) == "0000fc6eb50fdb1fc4489a322b5f881740441b9a59f3290bad53c3815dc3afab"
    assert int.from_bytes(work, "little") <= target_of_bits(GENESIS.nbits)


def test_proof_of_work_of_zeros_and_of_nothing() -> None:
    assert display(pow_hash(bytes(112))) == "9fc796675469cbae02e8df29d87dd024ba1f01e403fb316434ea963410aca4e3"
    assert display(pow_hash(b"")) == "282d17dccbf49a3fb73fa0d1d59dcc9bcf9ad93be9c1c71e3dc6cbb889fb436d"


@pytest.mark.parametrize("with_openssl", [True, False])
def test_ripemd160_of_either_library(with_openssl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check values of its authors (Dobbertin, Bosselaers, Preneel)."""

    def new(name: str, data: bytes = b"") -> None:
        raise ValueError(f"unsupported hash type {name}")

    if not with_openssl:
        monkeypatch.setattr(hashlib, "new", new)
    ripemd160 = lbry_pow._find_ripemd160()
    assert ripemd160(b"").hex() == "9c1185a5c5e9fc54612808977ee8f548b2258d31"
    assert ripemd160(b"abc").hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"


def test_genesis_is_accepted_as_a_share_on_the_scale_of_the_pools() -> None:
    job = LbryNotify(
        Notify("g", GENESIS.previous, b"", b"", (), GENESIS.version, GENESIS.nbits, GENESIS.ntime), GENESIS.claim_trie
    )
    work = LbryWork(job, b"", {b"": GENESIS.root})
    book = ShareBook()
    book.issue(0, work, difficulty=1 / 256, version_mask=0, extranonce2_size=0, clean=True)
    share = book.check(Submit("w", "g", b"", GENESIS.ntime, GENESIS.nonce))
    assert share.verdict is Verdict.ACCEPTED
    assert share.difficulty == pytest.approx(0xFFFF * 256 / 0xFC6EB50F, rel=1e-6)  # leading digits of the hash
    assert book.check(Submit("w", "g", b"", GENESIS.ntime, 1288)).verdict is Verdict.LOW_DIFFICULTY


@pytest.mark.parametrize(("difficulty", "seconds"), [(256, 0.0245), (4096, 0.393), (65536, 6.28)])
def test_event_rates_of_an_lb_box(difficulty: int, seconds: float) -> None:
    assert mean_interval_s(difficulty, 175, HASHES_PER_DIFFICULTY_LBRY) == pytest.approx(seconds, rel=3e-3)


HASH = st.binary(min_size=32, max_size=32)
U32 = st.integers(0, 2**32 - 1)
NOTIFIES = st.builds(
    LbryNotify,
    st.builds(
        Notify,
        st.text("abc123_", max_size=8),
        HASH,
        st.binary(max_size=30),
        st.binary(max_size=30),
        st.lists(HASH, max_size=2).map(tuple),
        U32,
        U32,
        U32,
        st.booleans(),
    ),
    HASH,
)


@given(NOTIFIES)
def test_notify_has_ten_parameters_and_survives_the_wire(job: LbryNotify) -> None:
    line = encode_lbry_notify(job)
    assert len(json.loads(line)["params"]) == 10
    assert decode_lbry(line) == (None, job)


@given(st.binary(max_size=120), st.lists(st.text(max_size=70) | st.booleans() | st.integers(), max_size=11))
def test_any_line_gives_a_value_or_a_data_error(data: bytes, params: list[object]) -> None:
    for line in (data, json.dumps({"method": "mining.notify", "params": params}).encode()):
        with contextlib.suppress(DataError):
            decode_lbry(line)
    with contextlib.suppress(DataError):
        LbryHeader.from_bytes(data)


def test_other_messages_are_plain_stratum() -> None:
    assert decode_lbry(b'{"id":null,"method":"mining.set_difficulty","params":[4096]}') == (None, SetDifficulty(4096))
