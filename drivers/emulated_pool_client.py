"""The Stratum client of an emulated device: connects, subscribes, keeps the job, submits; and its link's faults."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from asic_reservoir.errors import DataError
from firmware_bridge.lbry.stratum import LbryNotify, LbryWork, decode_lbry
from firmware_bridge.stratum.lines import configuration_of, decode, encode, encode_answer, subscription_of
from firmware_bridge.stratum.messages import (
    Answer,
    Authorize,
    Configure,
    GetVersion,
    Message,
    Notify,
    Ping,
    Reconnect,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    Submit,
    Subscribe,
    SuggestDifficulty,
)
from firmware_bridge.stratum.work import DEFAULT_VERSION_MASK, Hashable, Sha256dWork, extranonce2_of

RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a firmware greets its pool (protocols.md 6.1)."""

    order: tuple[str, ...] = ("configure", "subscribe", "authorize", "suggest")
    spaced: bool = False
    """Blanks after ``:`` and ``,``."""
    integer_difficulty: bool = False
    """Fractions are cut off: 0.5 is taken as 0, and every nonce is submitted."""
    strict_difficulty: bool = False
    """Submits what is above the pool's difficulty, not what equals it."""
    version_rolling: bool = True


@dataclass(slots=True)
class LinkFaults:
    """What a bad radio does to a device. Times are of the host."""

    loss: float = 0.0
    """Probability that a segment is lost: TCP sends it again ``retransmit_s`` later, and everything behind it waits;
    a log line is lost for good."""
    retransmit_s: float = 0.2
    duplicate: float = 0.0
    """Probability that a share is submitted twice."""
    silent: bool = False
    """The device hangs: connections stay open, and nothing comes any more."""
    unplugged: bool = False
    """Its cable is out: see :meth:`drivers.emulated_device.EmulatedDevice.pull_plug`."""

    @property
    def mute(self) -> bool:
        """Nothing leaves the device."""
        return self.silent or self.unplugged

    async def carry(self, rng: random.Random) -> bool:
        """Wait until a segment is through; False where its connection was gone by then."""
        cut = self.unplugged
        while self.mute or rng.random() < self.loss:
            cut = cut or self.unplugged
            await asyncio.sleep(0.02 if self.mute else self.retransmit_s)
        return not cut


@dataclass(slots=True)
class PoolWork:
    """A job as the client holds it."""

    work: Hashable
    difficulty: float
    """On the wire's scale."""
    clean: bool


@dataclass(slots=True, eq=False)
class PoolClient:
    """One connection after the other to one pool, until :meth:`stop`.

    Attributes:
        on_job: called with every new job.
        on_line: called with every line sent (True) and received (False), for the log.
    """

    host: str
    port: int
    user: str
    agent: str
    dialect: Dialect
    on_job: Callable[[PoolWork], None]
    on_line: Callable[[bool, str], None] = lambda sent, line: None
    source_host: str | None = None
    faults: LinkFaults = field(default_factory=LinkFaults)
    seed: int = 0
    lbry: bool = False
    suggested_difficulty: float = 1000.0
    accepted: int = 0
    rejected: int = 0
    submitted: int = 0
    lost: int = 0
    """Shares found without a connection, or not answered when theirs ended."""
    connected: bool = False
    job: PoolWork | None = None
    version_mask: int = 0
    extranonce2_size: int = 4
    _extranonce1: bytes = b""
    _difficulty: float = 1.0
    _writer: asyncio.StreamWriter | None = None
    _ids: dict[int, str] = field(default_factory=dict)
    _next_id: int = 1
    _task: asyncio.Task[None] | None = None
    _outbox: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    _counter: int = 0
    _cut: asyncio.Event = field(default_factory=asyncio.Event)
    _dead: list[asyncio.StreamWriter] = field(default_factory=list)
    """Connections of before the cable was pulled: half open, and never heard of again."""
    _rng: random.Random = field(default_factory=random.Random)

    def start(self) -> None:
        self._rng.seed(self.seed)
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Drop the connection without a word, as a restart does."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        for writer in self._dead:
            writer.transport.abort()
        self._dead.clear()

    def next_extranonce2(self) -> bytes:
        """A new search space of the present job."""
        self._counter += 1
        return extranonce2_of(self._counter, self.extranonce2_size)

    def submit(self, job_id: str, extranonce2: bytes, ntime: int, nonce: int, version_bits: int) -> None:
        """Send a share; lost where there is no connection, as on the device."""
        if not self.connected:
            self.lost += 1
            return
        bits = version_bits if self.version_mask and not self.lbry else None
        share = Submit(self.user, job_id, extranonce2, ntime, nonce, bits)
        self.submitted += 1
        self._ask("submit", share)
        if self._rng.random() < self.faults.duplicate:
            self._ask("submit", share)

    def cut(self, inside_frame: bool) -> None:
        """The cable goes; half a share may have been sent. The connection is left as it is: nobody tells the pool."""
        if self._writer is not None and inside_frame:
            self._writer.write(b'{"id":77,"method":"mining.submit","params":["x","0')
        self._cut.set()

    async def _run(self) -> None:
        while True:
            while self.faults.unplugged:
                await asyncio.sleep(0.02)
            self._cut.clear()
            try:
                local = None if self.source_host is None else (self.source_host, 0)
                reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=local, limit=1 << 20)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._writer, self._outbox = writer, asyncio.Queue()
            sender = asyncio.get_running_loop().create_task(self._send(writer, self._outbox))
            reading = asyncio.get_running_loop().create_task(self._read(reader))
            cutting = asyncio.get_running_loop().create_task(self._cut.wait())
            try:
                self._greet()
                await asyncio.wait([reading, cutting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.connected, self.job = False, None
                self.lost += sum(name == "submit" for name in self._ids.values())
                self._ids.clear()
                for task in (sender, reading, cutting):
                    task.cancel()
                if self._cut.is_set():
                    self._dead.append(writer)
                else:
                    writer.transport.abort()
            await asyncio.sleep(RETRY_S)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Until the connection ends."""
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                self._receive(line)

    async def _send(self, writer: asyncio.StreamWriter, outbox: asyncio.Queue[bytes]) -> None:
        while True:
            data = await outbox.get()
            await self.faults.carry(self._rng)
            writer.write(data)

    def _greet(self) -> None:
        self.version_mask = DEFAULT_VERSION_MASK if self.dialect.version_rolling and not self.lbry else 0
        messages: dict[str, Message] = {
            "configure": Configure(),
            "subscribe": Subscribe(self.agent),
            "authorize": Authorize(self.user, "x"),
            "suggest": SuggestDifficulty(self.suggested_difficulty),
        }
        self._next_id = 1
        for name in self.dialect.order:
            if name != "configure" or self.version_mask:
                self._ask(name, messages[name])

    def _ask(self, name: str, message: Message) -> None:
        self._ids[self._next_id] = name
        self._put(encode(self._next_id, message, spaced=self.dialect.spaced))
        self._next_id += 1

    def _put(self, data: bytes) -> None:
        self.on_line(True, data.decode().rstrip("\n"))
        self._outbox.put_nowait(data)

    def _receive(self, line: bytes) -> None:
        text = line.strip(b"\r\n\0 ")
        if not text:
            return
        self.on_line(False, text.decode(errors="replace"))
        try:
            decoded = decode_lbry(text) if self.lbry else decode(text)
            if isinstance(decoded, Answer):
                self._answered(decoded)
            else:
                self._pushed(*decoded)
        except DataError:
            return  # the firmware ignores what it does not understand

    def _answered(self, answer: Answer) -> None:
        name = self._ids.pop(answer.id, "") if isinstance(answer.id, int) else ""
        if name == "submit":
            if answer.accepted:
                self.accepted += 1
            else:
                self.rejected += 1
        elif name == "subscribe":
            subscription = subscription_of(answer.result)
            self._extranonce1, self.extranonce2_size = subscription.extranonce1, subscription.extranonce2_size
        elif name == "configure":
            configuration = configuration_of(answer.result)
            self.version_mask = configuration.mask if configuration.version_rolling else 0
        elif name == "authorize":
            self.connected = answer.accepted

    def _pushed(self, message_id: int | str | None, message: Message | LbryNotify) -> None:
        match message:
            case SetDifficulty(difficulty):
                self._difficulty = difficulty
            case SetVersionMask(mask):
                self.version_mask = mask
            case SetExtranonce(extranonce1, size):
                self._extranonce1, self.extranonce2_size = extranonce1, size
            case Ping():
                self._put(encode_answer(Answer(message_id, "pong"), spaced=self.dialect.spaced))
            case GetVersion():
                self._put(encode_answer(Answer(message_id, self.agent), spaced=self.dialect.spaced))
            case Reconnect():
                if self._writer is not None:
                    self._writer.transport.abort()
            case Notify():
                self._take(Sha256dWork(message, self._extranonce1), message.clean)
            case LbryNotify():
                self._take(LbryWork(message, self._extranonce1), message.notify.clean)
            case _:
                pass

    def _take(self, work: Hashable, clean: bool) -> None:
        if self.job is not None and self.job.work.job_id == work.job_id:
            return  # a repeated job id is ignored (ESP-Miner)
        self.job = PoolWork(work, self._difficulty, clean)
        self.on_job(self.job)
