"""Header arithmetic against vectors from outside: real blocks, a real pool's job, ESP-Miner's own unit test."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir import headers
from asic_reservoir.errors import DataError
from asic_reservoir.headers import (
    DIFFICULTY_ONE,
    coinbase_of,
    difficulty_of,
    display,
    hash_of,
    header_bytes,
    merkle_root,
    reverse_words,
    sha256d,
    swap_words,
    target_of_bits,
    target_of_difficulty,
)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def test_doctests():
    assert doctest.testmod(headers).failed == 0


def test_job_of_a_real_pool_with_rolled_version():
    # mujina (256foundation) test_data.rs: notify, submit and chip reply captured from a Bitaxe at a real pool.
    coinbase1 = unhex(
        "02000000010000000000000000000000000000000000000000000000000000000000000000"
        "ffffffff170330c30d5075626c69632d506f6f6c"
    )
    coinbase2 = unhex(
        "ffffffff02e5b5c61200000000220020984a77c289084ff2d434c316bdada021c6c183d507c8a20d3b159b09ac02fe28"
        "0000000000000000266a24aa21a9edb98ee50410ed4abd48401ed484fc874409d086a3faf0816136a8ad6168314c5800000000"
    )
    branches = [
        unhex(branch)
        for branch in (
            "21af451ddb51e887ff1feb5592b87290098565035eb8500031aedcc776d4e72a",
            "c5af269519c809a9546d5a58ca6445d3dbb80cb7045448ecc48309af034da8f8",
            "fb9f8f9959f6bb0ceb63fa53aed1d5a615c6b6d3f50a468ea89a45a1234bda74",
            "a4f4fee8e5fc19ca8d93e67b9236c37ddb864982010434745c0abfe9b914980c",
            "33092206642744fbe5499c3e621cd5c6b52733e54fbebd869f070082b807f740",
            "3b857e32c5cff4864efab967b9a456ca03b2167ab96bd9076ce294c8a67a7fe2",
            "881a07cd881d0c3e590b4b090ea8d58e1439dc56c63686f7de23c47045441e30",
            "315e4dbcc8e7b1c9d594a73978268791880dddb2c26eec8e75768668dad99d80",
            "69952b77c632be16b1ac7ac7048f13d4e962b2e215d79a343f01e6e281d7c304",
            "fc63eb4392c4d6c6d689788875fca35143fdcd4f4a82e8698e0e441751a70b4a",
            "09e419bbe20aa3a7640f1b91f50599ceddff899e90d3f18951ad5418c4850a6b",
            "004978aa346b4f1880bcadb3ca3792d771ee6aeca427f61e74baba44b75cfb88",
        )
    ]
    parts = (coinbase1, unhex("4128064f"), unhex("17000000"), coinbase2)
    assert len(coinbase_of(*parts)) == 164
    assert sha256d(coinbase_of(*parts)).hex() == "0abff72130542f02b3e2037bc341ec00d9acca1cb91f3e53dd23a508dc196203"
    root = merkle_root(*parts, branches)
    assert root.hex() == "06ddf5f08c36414b95ea54db71a0c28761a98bcf6355919e044f88725519a7cb"
    previous = swap_words(unhex("6b6455fd6db962c101f2d4fc0d67f4a3bc96391d000152960000000000000000"))
    assert previous.hex() == "fd55646bc162b96dfcd4f201a3f4670d1d3996bc965201000000000000000000"
    header = header_bytes(
        version=0x20000000 ^ 0x00B44000,
        previous=previous,
        root=root,
        ntime=0x685468D7,
        nbits=0x17023A04,
        nonce=0x7552034C,
    )
    assert header.hex() == (
        "0040b420fd55646bc162b96dfcd4f201a3f4670d1d3996bc965201000000000000000000"
        "06ddf5f08c36414b95ea54db71a0c28761a98bcf6355919e044f88725519a7cbd7685468043a02174c035275"
    )
    digest = hash_of(header)
    assert display(digest) == "0000000000023704cface997bcf7388694ea43dae96c51d80658687a7d8827fe"
    assert difficulty_of(digest) == pytest.approx(29588.014, abs=5e-4)


def test_block_125552():
    # Bitcoin block 125552, from the public chain.
    header = header_bytes(
        version=1,
        previous=swap_words(unhex("ab02cd818b9e567ee21793cddef299feb29ad444a41b85b8000008a300000000")),
        root=unhex("e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122b"),
        ntime=0x4DD7F5C7,
        nbits=0x1A44B9F2,
        nonce=0x9546A142,
    )
    digest = hash_of(header)
    assert display(digest) == "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"
    assert difficulty_of(digest) == pytest.approx(35987218905.5, rel=1e-11)
    assert int.from_bytes(digest, "little") <= target_of_bits(0x1A44B9F2)


def test_esp_miner_unit_test():
    # ESP-Miner test_mining.c, header of its nonce test.
    header = header_bytes(
        version=0x20000004,
        previous=swap_words(unhex("d02b10fc0d4711eae1a805af50a8a83312a2215e00017f2b0000000000000000")),
        root=unhex("6d0359c451434605c52a5a9ce074340be47c2c63840731f9edf1db3f26b1cdd9"),
        ntime=0x646FF1A9,
        nbits=0x1705AE3A,
        nonce=0x276E8947,
    )
    assert display(hash_of(header)) == "000000000e30101020e2ec8c9302a9ee56b2b2bef354b63489a0801f5789ed19"
    assert difficulty_of(hash_of(header)) == pytest.approx(18.0435, abs=5e-5)


@given(st.binary(max_size=160).filter(lambda data: len(data) % 4 == 0))
def test_word_orders_are_involutions_and_compose_to_the_full_reversal(data):
    assert swap_words(swap_words(data)) == data
    assert reverse_words(reverse_words(data)) == data
    assert reverse_words(swap_words(data)) == data[::-1]


@given(st.integers(1, 1 << 40), st.integers(0, (1 << 256) - 1))
def test_target_and_difficulty_agree(difficulty, value):
    target = target_of_difficulty(difficulty)
    assert (value <= target) == (value * difficulty <= DIFFICULTY_ONE)


@given(st.integers(-(1 << 33), 1 << 33))
def test_compact_targets_are_values_or_typed_errors(nbits):
    try:
        target = target_of_bits(nbits)
    except DataError:
        return
    assert 0 <= target < 1 << 256


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hash_of(bytes(79)), "header: 79 bytes, must be 80"),
        (lambda: difficulty_of(bytes(31)), "hash: 31 bytes, must be 32"),
        (lambda: swap_words(bytes(3)), "words: 3 bytes, must be a multiple of 4"),
        (lambda: merkle_root(b"", b"", b"", b"", [bytes(32), b"x"]), "merkle branch 1: 1 bytes, must be 32"),
        (lambda: target_of_difficulty(float("nan")), "difficulty: nan, must be a positive number"),
        (
            lambda: header_bytes(version=1 << 32, previous=bytes(32), root=bytes(32), ntime=0, nbits=0, nonce=0),
            "version: 4294967296, must be an integer from 0 to 2^32 - 1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(DataError, match=f"^{message.replace('^', chr(92) + '^')}"):
        call()
