"""The cgminer API: shapes of protocols.md 2.6, the commas that bmminer forgets, configuration files, any bytes."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asic_reservoir.errors import DataError, ServerError
from firmware_bridge.cgminer.bmminer import Chain, S9Stats, parse_stats, stats_rows
from firmware_bridge.cgminer.config import (
    BosminerConfig,
    PoolSetting,
    StockConfig,
    encode_bosminer,
    encode_stock_config,
    parse_bosminer,
    parse_stock_config,
    parse_stock_form,
)
from firmware_bridge.cgminer.messages import (
    ApiRequest,
    Code,
    Reply,
    Status,
    decode_replies,
    decode_reply,
    decode_request,
    encode_replies,
    encode_reply,
    encode_request,
    load_reply,
)

SUMMARY = (  # protocols.md 2.6 (Braiins open/protocols/cgminer-api)
    b'{"STATUS":[{"STATUS":"S","When":1700000000,"Code":11,"Msg":"Summary","Description":"bOSminer 0.2"}],'
    b'"SUMMARY":[{"Elapsed":120,"MHS av":13500000.0,"Accepted":40,"Hardware Errors":3}],"id":1}\0'
)
STATS = S9Stats(
    "Antminer S9",
    120.0,
    13510.25,
    13500.5,
    650.0,
    {3: 4320, 6: 4440},
    tuple(Chain(index, 63, "oooooooo " * 7 + "ooooooo", 4668.3, 61.0, 76.0) for index in (6, 7, 8)),
    12,
)


def stats_reply() -> Reply:
    return Reply(Status("S", Code.STATS, "BMMiner stats", "bmminer 1.0.0", 1700000000), {"STATS": stats_rows(STATS)})


def test_the_summary_of_braiins_is_read() -> None:
    reply = decode_reply(SUMMARY)
    assert reply.status == Status("S", Code.SUMMARY, "Summary", "bOSminer 0.2", 1700000000)
    assert reply.rows("SUMMARY")[0]["MHS av"] == 13500000.0
    assert encode_reply(reply) == SUMMARY
    with pytest.raises(DataError, match="no section 'POOLS'"):
        reply.rows("POOLS")


def test_malformed_stats_of_bmminer_are_repaired() -> None:
    """protocols.md 2.6 and pitfall 41: a missing comma between rows, a trailing NUL."""
    wire = encode_reply(stats_reply(), malformed=True)
    assert b"}{" in wire
    assert wire.endswith(b"\0")
    with pytest.raises(ValueError):
        json.loads(wire.rstrip(b"\0"))
    assert parse_stats(decode_reply(wire)) == STATS


def test_repairs_stay_out_of_strings() -> None:
    assert load_reply(b'{"STATS":[,{"a":"}{"}{"b":"[,{"},],"id":1}\0') == {
        "STATS": [{"a": "}{"}, {"b": "[,{"}],
        "id": 1,
    }


def test_a_repair_takes_no_quadratic_time() -> None:
    begin = time.process_time()
    with pytest.raises(DataError):
        load_reply(b'"\\' * 200_000)
    assert time.process_time() - begin < 5


def test_joined_commands_answer_as_one_object() -> None:
    replies = {"summary": decode_reply(SUMMARY), "stats": stats_reply()}
    assert list(decode_replies(encode_replies(replies))) == ["summary", "stats"]
    again = decode_replies(encode_replies(replies, malformed=True))
    assert again["summary"] == replies["summary"]
    assert parse_stats(again["stats"]) == STATS


def test_a_refusal_is_a_server_error_with_its_code() -> None:
    wire = encode_reply(Reply(Status("E", Code.ACCESS_DENIED, "Access denied to 'restart' command")))
    with pytest.raises(ServerError, match="code 45"):
        decode_reply(wire).rows("RESTART")


@pytest.mark.parametrize(
    ("wire", "request_"),
    [
        (b'{"command":"summary"}', ApiRequest(("summary",))),
        (b'{"command":"summary+devs+pools"}', ApiRequest(("summary", "devs", "pools"))),
        (b'{"command":"ascset","parameter":"0,freq,600"}', ApiRequest(("ascset",), "0,freq,600")),
        (b"summary|0", ApiRequest(("summary",), "0", as_text=True)),
        (b"version", ApiRequest(("version",), as_text=True)),
    ],
)
def test_requests_in_both_forms(wire: bytes, request_: ApiRequest) -> None:
    assert decode_request(wire) == request_
    assert encode_request(request_) == wire
    assert decode_request(wire + b"\n\0") == request_


def test_the_configuration_page_of_a_stock_s9_survives_the_wire() -> None:
    config = StockConfig((PoolSetting("stratum+tcp://10.0.0.1:3333", "lab.s9", "x"),), 550, "0706", True, 60)
    assert parse_stock_config(encode_stock_config(config)) == config
    with pytest.raises(DataError, match="bitmain-freq: 'fast'"):
        parse_stock_config(b'{"bitmain-freq":"fast"}')


def test_bosminer_toml_survives_and_names_what_is_outside_its_limits() -> None:
    config = BosminerConfig(
        600.0, 8.6, {6: (650.0, 8.9), 8: (None, 9.0)}, (PoolSetting("stratum+tcp://10.0.0.1:3333", "lab", "x"),)
    )
    assert parse_bosminer(encode_bosminer(config)) == config
    with pytest.raises(DataError, match=r"voltage: 7\.5, must be a number from 7\.95 to 9\.4"):
        parse_bosminer("[hash_chain_global]\nvoltage = 7.5\n")


ROWS = st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=6) | st.booleans(), max_size=4)
REPLIES = st.builds(
    Reply,
    st.builds(Status, st.sampled_from("SIWEF"), st.integers(0, 300), st.text(max_size=8), st.text(max_size=8)),
    st.dictionaries(st.sampled_from(["SUMMARY", "DEVS", "POOLS"]), st.lists(ROWS, max_size=3).map(tuple), max_size=2),
)


@given(REPLIES, st.booleans())
def test_every_reply_survives_even_malformed(reply: Reply, malformed: bool) -> None:
    text = json.dumps([list(rows) for rows in reply.sections.values()])
    if malformed and ("},{" in text or "}{" in text):  # a value that looks like a fault is beyond repair
        return
    assert decode_reply(encode_reply(reply, malformed=malformed)) == reply


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda i, junk: encode_reply(stats_reply())[:i] + junk + encode_reply(stats_reply())[i + 3 :],
        st.integers(0, 600),
        st.binary(max_size=3),
    )
)
def test_any_bytes_give_a_value_or_a_data_error(data: bytes) -> None:
    for read in (decode_reply, decode_replies, decode_request, parse_stock_config, parse_stock_form):
        with contextlib.suppress(DataError):
            read(data)
    with contextlib.suppress(DataError):
        parse_bosminer(data.decode(errors="replace"))
    with contextlib.suppress(DataError, ServerError):
        parse_stats(decode_reply(data))
