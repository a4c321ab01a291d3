"""Streams: any bytes, any pieces, any beginning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asic_reservoir.errors import UsageError
from firmware_bridge.bm13xx import bm1366, bm1387
from firmware_bridge.bm13xx.bulk import decode_nonces
from firmware_bridge.bm13xx.commands import ChainInactive, ReadRegister, SetAddress, WriteRegister
from firmware_bridge.bm13xx.jobs import HeaderJob, MidstateJob, encode_header_job, encode_midstate_job
from firmware_bridge.bm13xx.stream import Bm1366Commands, Bm1366Replies, Bm1387Commands, Bm1387Replies, StreamParser

u8, u32 = st.integers(0, 255), st.integers(0, 2**32 - 1)
nonces = st.builds(bm1366.NonceReply, u32, u8, u8, st.integers(0, 0xFFFF))
answers = st.builds(bm1366.RegisterReply, u32, u8, u8)
commands = st.one_of(
    st.builds(SetAddress, u8),
    st.just(ChainInactive()),
    st.builds(ReadRegister, u8, st.none() | u8),
    st.builds(WriteRegister, u8, u32, st.none() | u8),
)
hashes = st.binary(min_size=32, max_size=32)
header_jobs = st.builds(HeaderJob, u8, u32, hashes, hashes, u32, u32)
midstate_jobs = st.builds(MidstateJob, u8, u32, u32, u32, st.tuples(st.tuples(*[u32] * 8)))
works = st.builds(bm1387.WorkReply, u32, u8, st.integers(0, 127))

FAMILIES = [
    (Bm1366Replies, nonces | answers, bm1366.encode_reply),
    (
        Bm1366Commands,
        commands | header_jobs,
        lambda x: encode_header_job(x) if isinstance(x, HeaderJob) else bm1366.encode_command(x),
    ),
    (Bm1387Replies, works | st.builds(bm1387.RegisterReply, u32), bm1387.encode_reply),
    (
        Bm1387Commands,
        commands | midstate_jobs,
        lambda x: encode_midstate_job(x, False) if isinstance(x, MidstateJob) else bm1387.encode_command(x),
    ),
]


@pytest.mark.parametrize(("parser", "values", "encode"), FAMILIES)
@settings(max_examples=50)
@given(data=st.data())
def test_pieces_do_not_matter(parser: type[StreamParser], values, encode, data) -> None:  # type: ignore[no-untyped-def]
    sent = data.draw(st.lists(values, max_size=8))
    wire = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    reader = parser()
    received = []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        received += reader.feed(wire[begin:end])
    assert received == sent
    assert (reader.pending, reader.skipped_bytes, reader.lost_frames) == (0, 0, 0)


@pytest.mark.parametrize(("parser", "values", "encode"), FAMILIES)
@settings(max_examples=50)
@given(data=st.data())
def test_any_bytes_end_in_values_and_counts(parser: type[StreamParser], values, encode, data) -> None:  # type: ignore[no-untyped-def]
    pieces = data.draw(st.lists(st.binary(max_size=40) | values.map(encode), max_size=8))
    reader = parser()
    found = sum(len(reader.feed(piece)) for piece in pieces) + len(reader.flush())
    assert reader.frames == found
    assert reader.pending == 0
    assert reader.skipped_bytes <= sum(map(len, pieces))
    assert (reader.lost_frames > 0) == (reader.skipped_bytes > 0)


@pytest.mark.parametrize(
    ("reader", "encode", "sent"),
    [
        (
            Bm1366Replies,
            bm1366.encode_reply,
            [bm1366.NonceReply(0x1000 * i + 17, 1, 8 * i & 0x78, i) for i in range(1, 20)],
        ),
        (Bm1387Replies, bm1387.encode_reply, [bm1387.WorkReply(0x310007 * i, i & 3, i) for i in range(1, 20)]),
        (Bm1366Commands, bm1366.encode_command, [WriteRegister(0x08, 0x40A00240 + i) for i in range(1, 20)]),
        (Bm1387Commands, bm1387.encode_command, [WriteRegister(0x0C, 0x00280211 + i, 4 * i) for i in range(1, 20)]),
    ],
)
def test_a_stream_that_begins_inside_a_frame_is_found_again(reader, encode, sent) -> None:  # type: ignore[no-untyped-def]
    """From every byte of the first frame: all later frames come, and the cut one counts as lost."""
    wire = b"".join(map(encode, sent))
    for cut in range(1, len(encode(sent[0]))):
        parser = reader()
        assert parser.feed(wire[cut:]) == sent[1:]
        assert parser.lost_frames == 1


def test_a_cable_pulled_inside_a_frame() -> None:
    """What came before the cut is not joined to what comes after it."""
    frames = [bm1366.encode_reply(bm1366.NonceReply(i * 7919, 0, 8, i)) for i in range(3)]
    parser = Bm1366Replies()
    assert len(parser.feed(frames[0] + frames[1][:5])) == 1
    assert parser.flush() == []
    assert parser.feed(frames[2]) == [bm1366.decode_reply(frames[2])]
    assert (parser.lost_frames, parser.skipped_bytes) == (1, 5)


def test_a_partial_frame_does_not_swallow_the_next() -> None:
    frames = [bm1366.encode_reply(bm1366.NonceReply(i * 7919, 0, 8, i)) for i in range(3)]
    parser = Bm1366Replies()
    found = parser.feed(frames[0][:7] + frames[1] + frames[2])
    assert found == [bm1366.decode_reply(frame) for frame in frames[1:]]


def test_short_replies_before_version_rolling() -> None:
    parser = Bm1366Replies(bm1366.SHORT_REPLY)
    assert parser.feed(bytes.fromhex("AA551366000000000C")) == [bm1366.RegisterReply(0x13660000, 0, 0, None)]
    parser.reply_size = bm1366.LONG_REPLY
    assert parser.feed(bytes.fromhex("AA55136600000000000005")) == [bm1366.RegisterReply(0x13660000, 0, 0)]


def test_both_length_bytes_of_a_job() -> None:
    job = HeaderJob(8, 0x20000000, bytes(32), bytes(range(32)), 1, 2)
    parser = Bm1366Commands()
    assert parser.feed(encode_header_job(job, 0x36) + encode_header_job(job)) == [job, job]


def test_inactivate_three_times_brings_a_bm1387_back() -> None:
    """braiins lib.rs: a stray byte shifts everything, three of these put it right."""
    parser = Bm1387Commands()
    parser.feed(b"\x21\x36\x00\x01" + bytes(20))
    assert parser.feed(bm1387.encode_command(ChainInactive()) * 3 + bytes(60))[-1:] == [ChainInactive()]


@given(
    st.lists(
        st.binary(max_size=12) | nonces.map(bm1366.encode_reply) | answers.map(bm1366.encode_reply),
        max_size=12,
    ).map(b"".join)
)
def test_bulk_decoder_finds_what_the_parser_finds(wire: bytes) -> None:
    parser = Bm1366Replies()
    found = parser.feed_with_ends(wire)
    columns = decode_nonces(wire)
    singles = [(end, reply) for end, reply in found if isinstance(reply, bm1366.NonceReply)]
    assert columns.end.tolist() == [end for end, _ in singles]
    assert columns.register_ends.tolist() == [end for end, reply in found if isinstance(reply, bm1366.RegisterReply)]
    assert (columns.consumed, columns.skipped) == (len(wire) - parser.pending, parser.skipped_bytes)
    for i, (_, reply) in enumerate(singles):
        assert int(columns.nonce[i]) == reply.nonce
        assert int(columns.core[i]) == bm1366.core_of_nonce(reply.nonce)
        assert int(columns.job_id[i]) == reply.job_id
        assert int(columns.small_core[i]) == reply.small_core
        assert int(columns.excess[i]) == reply.excess
        assert int(columns.version[i]) == reply.version_bits


def test_bulk_decoder_of_short_replies() -> None:
    wire = bm1366.encode_reply(bm1366.NonceReply(0xB628C397, 1, 0x63, None)) * 3
    columns = decode_nonces(wire[4:], bm1366.SHORT_REPLY)
    assert columns.nonce.tolist() == [0xB628C397] * 2
    assert columns.version.tolist() == [0, 0]
    with pytest.raises(UsageError, match="reply_size"):
        decode_nonces(wire, 10)
