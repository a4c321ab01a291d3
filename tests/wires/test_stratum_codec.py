"""Stratum V1: the worked vector of protocols.md 6.3, real blocks, byte orders, and any bytes in."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError
from asic_reservoir.headers import display
from firmware_bridge.stratum.difficulty import effective_difficulty, mean_interval_s
from firmware_bridge.stratum.lines import (
    configuration_of,
    configuration_result,
    decode,
    encode,
    encode_answer,
    subscription_of,
    subscription_result,
)
from firmware_bridge.stratum.messages import (
    Answer,
    Authorize,
    Configuration,
    Configure,
    ExtranonceSubscribe,
    GetVersion,
    Notify,
    Ping,
    Reconnect,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    ShowMessage,
    StratumError,
    Submit,
    Subscribe,
    Subscription,
    SuggestDifficulty,
    UnknownMethod,
)
from firmware_bridge.stratum.shares import ShareBook, Verdict
from firmware_bridge.stratum.work import DEFAULT_VERSION_MASK, Sha256dWork, extranonce2_of, next_version

# mujina, test_data.rs: a job of a real pool and the share that a real Bitaxe found for it.
POOL_PARAMS = [
    "875b4b7",
    "6b6455fd6db962c101f2d4fc0d67f4a3bc96391d000152960000000000000000",
    "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff170330c30d5075626c69632d506f6f6c",
    (
        "ffffffff02e5b5c61200000000220020984a77c289084ff2d434c316bdada021c6c183d507c8a20d3b159b09ac02fe2800000000"
        "00000000266a24aa21a9edb98ee50410ed4abd48401ed484fc874409d086a3faf0816136a8ad6168314c5800000000"
    ),
    [
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
    ],
    "20000000",
    "17023a04",
    "685468d7",
    False,
]
POOL_HASH = "0000000000023704cface997bcf7388694ea43dae96c51d80658687a7d8827fe"
POOL_SUBMIT = ["lab.lv06", "875b4b7", "17000000", "685468d7", "7552034c", "00b44000"]


def pool_notify() -> Notify:
    line = json.dumps({"id": None, "method": "mining.notify", "params": POOL_PARAMS})
    decoded = decode(line)
    assert isinstance(decoded, tuple)
    assert isinstance(decoded[1], Notify)
    return decoded[1]


def pool_submit(**changes: object) -> Submit:
    values = dict(zip(("user", "job_id", "en2", "ntime", "nonce", "bits"), POOL_SUBMIT, strict=True)) | changes
    decoded = decode(json.dumps({"id": 9, "method": "mining.submit", "params": list(values.values())}))
    assert isinstance(decoded, tuple)
    assert isinstance(decoded[1], Submit)
    return decoded[1]


def pool_book(difficulty: float = 8192) -> ShareBook:
    book = ShareBook()
    work = Sha256dWork(pool_notify(), bytes.fromhex("4128064f"))
    book.issue(7, work, difficulty=difficulty, version_mask=DEFAULT_VERSION_MASK, extranonce2_size=4, clean=True)
    return book


def test_the_pool_share_of_difficulty_29588_is_rebuilt_step_by_step() -> None:
    """protocols.md 6.3 (mujina test_data.rs)."""
    work = Sha256dWork(pool_notify(), bytes.fromhex("4128064f"))
    assert work.notify.prev_hash.hex() == "fd55646bc162b96dfcd4f201a3f4670d1d3996bc965201000000000000000000"
    en2 = bytes.fromhex("17000000")
    assert work.root(en2).hex() == "06ddf5f08c36414b95ea54db71a0c28761a98bcf6355919e044f88725519a7cb"
    header = work.header(en2, 0x685468D7, 0x7552034C, 0x00B44000)
    assert header.hex() == (
        "0040b420fd55646bc162b96dfcd4f201a3f4670d1d3996bc965201000000000000000000"
        "06ddf5f08c36414b95ea54db71a0c28761a98bcf6355919e044f88725519a7cbd7685468043a02174c035275"
    )
    value = work.hash_value(en2, 0x685468D7, 0x7552034C, 0x00B44000)
    assert display(value.to_bytes(32, "little")) == POOL_HASH
    share = pool_book().check(pool_submit())
    assert share.verdict is Verdict.ACCEPTED
    assert share.job == 7
    assert share.difficulty == pytest.approx(29588.014, abs=1e-3)


@pytest.mark.parametrize(
    ("prev", "root", "version", "nbits", "ntime", "nonce", "hashed", "difficulty"),
    [
        pytest.param(
            "00" * 32,
            "3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a",
            0x00000001,
            0x1D00FFFF,
            0x495FAB29,
            0x7C2BAC1D,
            "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
            2536.426,
            id="genesis",
        ),
        pytest.param(
            "ab02cd818b9e567ee21793cddef299feb29ad444a41b85b8000008a300000000",
            "e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122b",
            0x00000001,
            0x1A44B9F2,
            0x4DD7F5C7,
            0x9546A142,
            "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d",
            35987218905.5,
            id="block 125552",
        ),
        pytest.param(
            "d02b10fc0d4711eae1a805af50a8a83312a2215e00017f2b0000000000000000",
            "6d0359c451434605c52a5a9ce074340be47c2c63840731f9edf1db3f26b1cdd9",
            0x20000004,
            0x1705AE3A,
            0x646FF1A9,
            0x276E8947,
            "000000000e30101020e2ec8c9302a9ee56b2b2bef354b63489a0801f5789ed19",
            18.0435,
            id="ESP-Miner test_mining.c",
        ),
    ],
)
def test_real_headers_validate_from_their_stratum_fields(
    prev: str, root: str, version: int, nbits: int, ntime: int, nonce: int, hashed: str, difficulty: float
) -> None:
    """protocols.md 6.4. Their Merkle roots are given; the rest goes through the notify of the wire."""
    params = ["j", prev, "", "", [], f"{version:08x}", f"{nbits:08x}", f"{ntime:08x}", False]
    decoded = decode(json.dumps({"id": None, "method": "mining.notify", "params": params}))
    assert isinstance(decoded, tuple)
    assert isinstance(decoded[1], Notify)
    work = Sha256dWork(decoded[1], b"", {b"": bytes.fromhex(root)})
    assert display(work.hash_value(b"", ntime, nonce).to_bytes(32, "little")) == hashed
    book = ShareBook()
    book.issue(0, work, difficulty=int(difficulty), version_mask=0, extranonce2_size=0, clean=True)
    share = book.check(Submit("w", "j", b"", ntime, nonce))
    assert share.verdict is Verdict.ACCEPTED
    assert share.difficulty == pytest.approx(difficulty, rel=1e-5)


def test_verdicts_tell_wrong_shares_apart() -> None:
    book = pool_book()
    assert book.check(pool_submit(nonce="7552034d")).verdict is Verdict.LOW_DIFFICULTY
    assert book.check(pool_submit()).verdict is Verdict.ACCEPTED
    assert book.check(pool_submit()).verdict is Verdict.DUPLICATE
    assert book.check(pool_submit(job_id="875b4b8")).verdict is Verdict.UNKNOWN_JOB
    assert book.check(pool_submit(en2="170000")).verdict is Verdict.MALFORMED
    assert book.check(pool_submit(bits="40000000")).verdict is Verdict.MALFORMED
    assert book.check(pool_submit(ntime="685468d6")).verdict is Verdict.MALFORMED
    stale = pool_book()
    stale.withdraw()
    late = stale.check(pool_submit())
    assert (late.verdict, late.job, late.good_hash) == (Verdict.STALE, 7, True)
    assert late.error == StratumError(21, "Stale share")
    assert pool_book(29589).check(pool_submit()).verdict is Verdict.LOW_DIFFICULTY


def test_extranonce2_and_version_count_as_esp_miner_counts() -> None:
    """protocols.md 6.1 and 6.4 (EM test_mining.c)."""
    assert extranonce2_of(1, 4).hex() == "01000000"
    assert extranonce2_of(0xFFFFFFFE, 4).hex() == "feffffff"
    assert extranonce2_of(0x7FFFFFFF, 6).hex() == "ffffff7f0000"
    version, seen = 0x20000004, []
    for _ in range(3):
        version = next_version(version, 0x00FFFF00)
        seen.append(f"{version:08x}")
    assert seen == ["20000104", "20000204", "20000304"]
    assert next_version(0x20FFFF04, 0x00FFFF00) == 0x20000004


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**32 - 1))
def test_rolling_touches_only_the_mask_and_visits_everything(version: int, mask: int) -> None:
    rolled = next_version(version, mask)
    assert (rolled ^ version) & ~mask == 0
    assert rolled != version


def test_the_wire_forms_are_those_of_protocols_6_1() -> None:
    assert encode_answer(Answer(1, configuration_result(Configuration(True, DEFAULT_VERSION_MASK)))) == (
        b'{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}\n'
    )
    assert encode_answer(Answer(2, subscription_result(Subscription(bytes.fromhex("4128064f"), 4)))) == (
        b'{"id":2,"result":[[["mining.set_difficulty","d1"],["mining.notify","n1"]],"4128064f",4],"error":null}\n'
    )
    assert encode_answer(Answer(3, True)) == b'{"id":3,"result":true,"error":null}\n'
    assert encode(None, SetDifficulty(512)) == b'{"id":null,"method":"mining.set_difficulty","params":[512]}\n'
    assert json.loads(encode(None, pool_notify()))["params"] == POOL_PARAMS
    assert json.loads(encode(9, pool_submit()))["params"] == POOL_SUBMIT
    assert encode(1, Subscribe("bitaxe/BM1366 (v2.1.8)"), spaced=True) == (
        b'{"id": 1, "method": "mining.subscribe", "params": ["bitaxe/BM1366 (v2.1.8)"]}\n'
    )


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
U32 = st.integers(0, 2**32 - 1)
HASH = st.binary(min_size=32, max_size=32)
DIFFICULTY = st.floats(min_value=1e-12, max_value=1e15)
MESSAGES = st.one_of(
    st.builds(Configure, st.just(True), U32, st.integers(0, 32)),
    st.builds(Subscribe, TEXT, st.none() | TEXT),
    st.builds(Authorize, TEXT, TEXT),
    st.builds(SuggestDifficulty, DIFFICULTY),
    st.just(ExtranonceSubscribe()),
    st.builds(Submit, TEXT, TEXT, st.binary(max_size=32), U32, U32, st.none() | U32),
    st.builds(SetDifficulty, DIFFICULTY),
    st.builds(
        Notify,
        TEXT,
        HASH,
        st.binary(max_size=40),
        st.binary(max_size=40),
        st.lists(HASH, max_size=3).map(tuple),
        U32,
        U32,
        U32,
        st.booleans(),
    ),
    st.builds(SetVersionMask, U32),
    st.builds(SetExtranonce, st.binary(max_size=8), st.integers(0, 32)),
    st.just(Ping()),
    st.just(GetVersion()),
    st.builds(Reconnect, TEXT, st.integers(1, 65535), st.floats(0, 1e6)),
    st.just(Reconnect()),
    st.builds(ShowMessage, TEXT),
)


@given(MESSAGES, st.none() | st.integers(0, 2**31), st.booleans())
def test_every_message_survives_the_wire(message: object, message_id: int | None, spaced: bool) -> None:
    assert decode(encode(message_id, message, spaced=spaced)) == (message_id, message)  # type: ignore[arg-type]


@given(st.builds(Subscription, st.binary(max_size=8), st.integers(0, 32)), U32, st.booleans())
def test_results_survive_the_wire(subscription: Subscription, mask: int, rolling: bool) -> None:
    answer = decode(encode_answer(Answer(1, subscription_result(subscription))))
    assert isinstance(answer, Answer)
    assert subscription_of(answer.result) == subscription
    configuration = Configuration(rolling, mask if rolling else 0)
    answer = decode(encode_answer(Answer(1, configuration_result(configuration))))
    assert isinstance(answer, Answer)
    assert configuration_of(answer.result) == configuration


HEX = st.sampled_from(["00" * 32, "1fffe000", ""])
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | HEX
JSON = ATOMS | st.lists(ATOMS | st.lists(ATOMS, max_size=3), max_size=10) | st.dictionaries(HEX, ATOMS, max_size=2)
METHODS = st.sampled_from(
    [
        "mining.configure",
        "mining.subscribe",
        "mining.authorize",
        "mining.suggest_difficulty",
        "mining.submit",
        "mining.set_difficulty",
        "mining.notify",
        "mining.set_version_mask",
        "mining.set_extranonce",
        "client.reconnect",
        "client.show_message",
        "mining.other",
    ]
)


@given(
    st.binary(max_size=200)
    | st.builds(lambda m, p, i: json.dumps({"id": i, "method": m, "params": p}).encode(), METHODS, JSON, JSON)
    | st.builds(lambda r, e, i: json.dumps({"id": i, "result": r, "error": e}).encode(), JSON, JSON, JSON)
)
def test_any_line_gives_a_message_or_a_data_error(line: bytes) -> None:
    decoded = None
    with contextlib.suppress(DataError):
        decoded = decode(line)
    if isinstance(decoded, Answer):
        for reader in (subscription_of, configuration_of):
            with contextlib.suppress(DataError):
                reader(decoded.result)
        encode_answer(decoded)
    elif decoded is not None:
        assert isinstance(decoded[1], UnknownMethod) or decode(encode(*decoded)) == decoded


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"id":' + b"9" * 5000 + b"}",
        b'{"id":1e999,"method":"mining.ping"}',
        b'{"method":"\\ud800"}',
        b'{"id":NaN,"result":1}',
    ],
    ids=["deep", "long number", "infinite", "surrogate", "NaN"],
)
def test_what_json_libraries_choke_on_is_a_data_error(line: bytes) -> None:
    with pytest.raises(DataError) as caught:
        decode(line)
    assert "\n" not in str(caught.value)


def test_an_unknown_method_is_a_value() -> None:
    assert decode(b'{"id":4,"method":"mining.get_transactions","params":["x"]}') == (
        4,
        UnknownMethod("mining.get_transactions"),
    )


@pytest.mark.parametrize(
    ("difficulty", "ghs", "seconds"),
    [
        (256, 433.6, 2.54),
        (512, 433.6, 5.07),
        (1024, 500, 8.80),
        (64, 13500, 0.0204),
        (4096, 74.1, 237),
        (65536, 4500, 62.5),
    ],
)
def test_event_rates_are_those_of_protocols_6_5(difficulty: int, ghs: float, seconds: float) -> None:
    assert mean_interval_s(difficulty, ghs) == pytest.approx(seconds, rel=5e-3)
    assert effective_difficulty(4, 64) == 64
