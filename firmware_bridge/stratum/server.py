"""A Stratum server for one miner: hands out our jobs, checks every share, stamps it as early as the kernel can.

One connection is the board's. A newer connection of the same board takes its place (a restart leaves the old one
half open), and both keep their own extranonce1 and their own book of jobs, so that no share is taken for another's.
Connections from other addresses are refused and counted.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import BusyError, DataError, TimeoutExpiredError
from firmware_bridge.announcement import Announcement, of_agent
from firmware_bridge.clocks import monotonic_raw_ns
from firmware_bridge.lbry.stratum import LbryNotify, LbryWork, encode_lbry_notify
from firmware_bridge.stratum.lines import (
    configuration_result,
    decode,
    encode,
    encode_answer,
    subscription_result,
)
from firmware_bridge.stratum.messages import (
    Answer,
    Authorize,
    Configuration,
    Configure,
    ErrorCode,
    ExtranonceSubscribe,
    Message,
    MessageId,
    Notify,
    Ping,
    SetDifficulty,
    StratumError,
    Submit,
    Subscribe,
    Subscription,
    SuggestDifficulty,
)
from firmware_bridge.stratum.shares import Share, ShareBook
from firmware_bridge.stratum.work import DEFAULT_VERSION_MASK, Hashable, Sha256dWork
from firmware_bridge.tcp import Line, LineSocket, LinkClosedError, ask_for_stamps, notice_dead_peer

Job = Notify | LbryNotify


@dataclass(frozen=True, slots=True)
class ShareEvent:
    """A share that came, checked."""

    time_ns: int
    """CLOCK_MONOTONIC_RAW."""
    source: TimestampSource
    same_read: bool
    link: int
    """Number of the connection, from 0."""
    submit: Submit
    share: Share
    difficulty: float
    """Of its hash, on the device's scale."""


@dataclass(frozen=True, slots=True)
class _Current:
    number: int
    job: Job
    difficulty: float
    clean: bool


@dataclass(slots=True)
class Tally:
    """What happened on the link so far; nothing is dropped without a count."""

    links: int = 0
    replaced: int = 0
    refused: int = 0
    malformed_lines: int = 0
    overlong_lines: int = 0
    cut_lines: int = 0
    """Lines whose end never came, because their connection had ended."""
    shares: int = 0
    outages: int = 0
    """Times that a miner was there, was gone, and came back; or came anew while the old link looked alive."""
    away_ns: int = 0
    """Time without a miner in those outages; of a link that died unnoticed it is not known."""


class StratumServer:
    """Listens, and serves one miner in threads of its own.

    Args:
        on_share: Called for every share, in the thread that reads; must return soon.
        accept_from: Addresses of the board; empty accepts any.
        scale: Difficulties go over the wire multiplied by it (1 for a real device).
    """

    def __init__(
        self,
        on_share: Callable[[ShareEvent], None],
        *,
        host: str = "0.0.0.0",
        port: int = 0,
        accept_from: frozenset[str] = frozenset(),
        version_mask: int = DEFAULT_VERSION_MASK,
        extranonce2_size: int = 4,
        scale: float = 1.0,
    ) -> None:
        self._on_share = on_share
        self._accept_from = accept_from
        self._version_mask, self._extranonce2_size, self._scale = version_mask, extranonce2_size, scale
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        self._link: _Link | None = None
        self._current: _Current | None = None
        self.tally = Tally()
        self.announcement: Announcement | None = None
        self._gone_ns: int | None = None
        self._closed = False
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ask_for_stamps(self._listener)
        try:
            self._listener.bind((host, port))
        except OSError as error:
            self._listener.close()
            raise BusyError(f"stratum {host}:{port}: {error.strerror or error}, must be a free address") from None
        self._listener.listen(8)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="stratum-accept", daemon=True).start()

    # -- the driver's side ---------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """A miner is there and has authorized itself."""
        link = self._link
        return link is not None and link.authorized

    @property
    def link_number(self) -> int:
        """Number of the present connection, -1 without one: a change tells of a broken link."""
        link = self._link
        return -1 if link is None or not link.authorized else link.number

    @property
    def agent(self) -> str:
        """What the miner calls itself."""
        link = self._link
        return "" if link is None else link.agent

    def wait_connected(self, timeout_s: float) -> None:
        """Raises TimeoutExpiredError where no miner has authorized itself in time."""
        with self._ready:
            if not self._ready.wait_for(lambda: self.connected, timeout_s):
                raise TimeoutExpiredError(
                    f"stratum port {self.port}: no miner connected, must connect within {timeout_s:g} s"
                )

    def issue(self, number: int, job: Job, *, difficulty: float, clean: bool) -> int:
        """Send a job; the time (CLOCK_MONOTONIC_RAW) at which it went out.

        Without a miner it is kept and sent to the next one that authorizes itself.
        """
        with self._lock:
            self._current = _Current(number, job, difficulty, clean)
            if self._link is not None and self._link.authorized:
                with contextlib.suppress(LinkClosedError):
                    return self._link.give(self._current)
        return monotonic_raw_ns()

    def ping(self, timeout_s: float = 2.0) -> int:
        """Round trip of ``mining.ping`` in ns: the path without the chip.

        Raises:
            TimeoutExpiredError: no miner, or no answer.
        """
        link = self._link
        if link is None:
            raise TimeoutExpiredError("stratum ping: no miner connected")
        return link.ping(timeout_s)

    def close(self) -> None:
        """Stop listening and end the connection. May be called twice."""
        with self._lock:
            self._closed = True
            link, self._link = self._link, None
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if link is not None:
            link.close()

    # -- threads -------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                sock, address = self._listener.accept()
            except OSError:
                return
            if self._accept_from and address[0] not in self._accept_from:
                self.tally.refused += 1
                sock.close()
                continue
            with self._lock:
                if self._closed:
                    sock.close()
                    return
                notice_dead_peer(sock)
                link = _Link(self, LineSocket(sock), self.tally.links)
                self.tally.links += 1
            threading.Thread(target=link.run, name=f"stratum-link-{link.number}", daemon=True).start()

    def _authorized(self, link: _Link) -> None:
        """The link becomes the board's; the one before it ends."""
        with self._ready:
            old, self._link = self._link, link
            if old is not None and old is not link:
                self.tally.replaced += 1
                self.tally.outages += 1
                old.close()
            if self._gone_ns is not None:
                self.tally.outages += 1
                self.tally.away_ns += monotonic_raw_ns() - self._gone_ns
                self._gone_ns = None
            seen = of_agent(link.agent)
            if seen is not None:
                self.announcement = seen
            if self._current is not None:
                with contextlib.suppress(LinkClosedError):
                    link.give(_again(self._current, link.number))
            self._ready.notify_all()

    def _ended(self, link: _Link) -> None:
        with self._lock:
            self.tally.overlong_lines += link.lines.overlong
            self.tally.cut_lines += link.lines.partial
            if self._link is link:
                self._link = None
                self._gone_ns = monotonic_raw_ns()


def _again(current: _Current, link: int) -> _Current:
    """The job at hand under an id of its own: under another extranonce1 it is another job, and firmware ignores an id
    that it has seen."""
    if link == 0:
        return current
    job = current.job
    if isinstance(job, LbryNotify):
        return replace(current, job=replace(job, notify=_renamed(job.notify, link)))
    return replace(current, job=_renamed(job, link))


def _renamed(notify: Notify, link: int) -> Notify:
    return replace(notify, job_id=f"{notify.job_id}{link & 0xFF:02x}")


class _Link:
    """One connection, served by its own thread."""

    def __init__(self, server: StratumServer, lines: LineSocket, number: int) -> None:
        self._server, self.lines, self.number = server, lines, number
        self._extranonce1 = secrets.token_bytes(3) + bytes([number & 0xFF])
        self._book = ShareBook()
        self._mask = server._version_mask
        self._sent_difficulty: float | None = None
        self.agent = ""
        self.authorized = False
        self._pings: dict[str, int] = {}
        self._pong = threading.Condition()

    def run(self) -> None:
        try:
            while True:
                line = self.lines.read()
                if line is not None:
                    self._line(line)
        except LinkClosedError:
            pass
        finally:
            self.authorized = False
            self.close()
            self._server._ended(self)

    def close(self) -> None:
        self.lines.close()

    def give(self, current: _Current) -> int:
        """Difficulty where it changed, then the job; it is in the book before the miner can answer."""
        server = self._server
        data = b""
        wire = current.difficulty * server._scale
        if wire != self._sent_difficulty:
            data += encode(None, SetDifficulty(wire))
            self._sent_difficulty = wire
        work: Hashable
        if isinstance(current.job, LbryNotify):
            work, line, mask = LbryWork(current.job, self._extranonce1), encode_lbry_notify(current.job), 0
        else:
            work, line, mask = Sha256dWork(current.job, self._extranonce1), encode(None, current.job), self._mask
        self._book.issue(
            current.number,
            work,
            difficulty=wire,
            version_mask=mask,
            extranonce2_size=server._extranonce2_size,
            clean=current.clean,
        )
        return self.lines.send(data + line)

    def ping(self, timeout_s: float) -> int:
        key = f"ping-{secrets.token_hex(4)}"
        with self._pong:
            sent = self.lines.send(encode(key, Ping()))
            if not self._pong.wait_for(lambda: key in self._pings, timeout_s):
                raise TimeoutExpiredError(f"stratum ping: no answer, must come within {timeout_s:g} s")
            return self._pings.pop(key) - sent

    def _line(self, line: Line) -> None:
        try:
            decoded = decode(line.data)
        except DataError as error:
            self._server.tally.malformed_lines += 1
            self._answer(None, error=StratumError(ErrorCode.OTHER, str(error)[:120]))
            return
        if isinstance(decoded, Answer):
            if isinstance(decoded.id, str):
                with self._pong:
                    self._pings[decoded.id] = line.time_ns
                    self._pong.notify_all()
            return
        message_id, message = decoded
        if isinstance(message, Submit):
            self._submit(line, message_id, message)
        else:
            self._request(message_id, message)

    def _submit(self, line: Line, message_id: MessageId, submit: Submit) -> None:
        with self._server._lock:
            share = self._book.check(submit)
        self._server.tally.shares += 1
        difficulty = share.difficulty / self._server._scale
        self._server._on_share(
            ShareEvent(line.time_ns, line.source, line.same_read, self.number, submit, share, difficulty)
        )
        self._answer(message_id, None if share.error else True, share.error)

    def _request(self, message_id: MessageId, message: Message) -> None:
        server = self._server
        match message:
            case Configure(rolling, mask, _):
                self._mask = server._version_mask & mask if rolling else 0
                self._answer(message_id, configuration_result(Configuration(bool(self._mask), self._mask)))
            case Subscribe(agent, _):
                self.agent = agent
                subscription = Subscription(self._extranonce1, server._extranonce2_size)
                self._answer(message_id, subscription_result(subscription))
            case Authorize():
                self._answer(message_id, True)
                self.authorized = True
                server._authorized(self)
            case SuggestDifficulty() | ExtranonceSubscribe():
                self._answer(message_id, True)
            case _:
                self._answer(message_id, error=StratumError(ErrorCode.OTHER, "Method not found"))

    def _answer(self, message_id: MessageId, result: object = None, error: StratumError | None = None) -> None:
        with contextlib.suppress(LinkClosedError):
            self.lines.send(encode_answer(Answer(message_id, result, error)))
