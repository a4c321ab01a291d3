"""Work over Stratum: jobs handed to one miner, the shares that come back, and what was lost on the way."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable

from asic_reservoir.board import BoardInfo, Work
from drivers.clock import BoardClock
from drivers.losses import LossBook, Losses
from drivers.stratum_rows import LOST_VERDICTS
from firmware_bridge.announcement import Announcement
from firmware_bridge.lbry.stratum import LbryNotify
from firmware_bridge.stratum.handshake import Exchange, HandshakeLedger
from firmware_bridge.stratum.jobs import JobMaker
from firmware_bridge.stratum.mask import MaskFinding, find_mask
from firmware_bridge.stratum.server import Job, ShareEvent, StratumServer
from firmware_bridge.stratum.shares import Verdict

_JOBS_KEPT = 1024


class StratumWork:
    """The half of a Stratum board that knows jobs and shares; :class:`drivers.stratum_board.StratumBoard` the steps.

    Args:
        info: What the board is.
        announcement: Of an emulated device; None for a real one.
        accept_from: Address of the device.
        listen: Address to listen on.
        port: 0 lets the system choose.
    """

    def __init__(
        self, info: BoardInfo, announcement: Announcement | None, *, accept_from: str, listen: str, port: int
    ) -> None:
        self._info = info
        self.clock = BoardClock(1.0 if announcement is None else announcement.speed)
        self._applied = info.nominal
        self._job = -1
        self._job_at_ns = 0
        self._open_jobs: set[int] = set()
        self._withdrawn_ns: OrderedDict[int, int] = OrderedDict()
        self._events: deque[ShareEvent] = deque()
        self._arrived = threading.Condition()
        self._good = 0
        self._difficulties: deque[float] = deque(maxlen=4096)
        self._maker = JobMaker()
        self._book = LossBook()
        self.handshake = HandshakeLedger()
        self.exchanges: deque[Exchange] = deque(maxlen=100_000)
        """Requests and answers of handshake steps, in board time."""
        self.between_steps = 0
        """Nonces that came between two steps and belong to none."""
        self.verdicts: Counter[str] = Counter()
        self.server = StratumServer(
            self._take,
            host=listen,
            port=port,
            accept_from=frozenset({accept_from}),
            scale=1.0 if announcement is None else announcement.scale,
        )

    @property
    def mask(self) -> MaskFinding:
        """What the shares so far say about the filter in the chip."""
        return find_mask(self._difficulties, float(self._applied.difficulty or 1))

    @property
    def losses(self) -> Losses:
        """What is known to be lost, and how often and how long the link was away."""
        tally = self.server.tally
        return self._book.with_link(
            broken=tally.malformed_lines + tally.overlong_lines + tally.cut_lines,
            outages=tally.outages,
            away_s=tally.away_ns * 1e-9,
            between_steps=self.between_steps,
        )

    def _issue(self, work: Work, clean: bool) -> int:
        """Send a new job; the time (CLOCK_MONOTONIC_RAW) when it went out."""
        self._job += 1
        self._job_at_ns = self.clock.now_ns()
        if clean:
            self._withdrawn_ns |= dict.fromkeys(self._open_jobs, self._job_at_ns)
            self._open_jobs.clear()
            while len(self._withdrawn_ns) > _JOBS_KEPT:
                self._withdrawn_ns.popitem(last=False)
        self._open_jobs.add(self._job)
        notify = self._maker.make(self._job, ntime=int(time.time()), word=work.extranonce2 or b"", clean=clean)
        job: Job = notify
        if self._info.algorithm == "lbry":
            job = LbryNotify(notify, self._maker.claim_trie())
        return self.server.issue(self._job, job, difficulty=float(self._applied.difficulty or 1), clean=clean)

    def _wait(self, until_ns: int, done: Callable[[], bool]) -> bool:
        """Wait for ``done`` until a board time; looks at the link now and then."""
        with self._arrived:
            while not done():
                left = self.clock.host_s(until_ns - self.clock.now_ns())
                if left <= 0:
                    return False
                self._arrived.wait(min(left, 0.5))
                if not self.server.connected:
                    return False
                self._check_alive()
            return True

    def _take(self, event: ShareEvent) -> None:
        """In the thread that reads the link."""
        with self._arrived:
            self.verdicts[event.share.verdict.value] += 1
            if event.share.verdict in LOST_VERDICTS:
                self._book.unattributed()
                return
            self._events.append(event)
            if event.share.verdict is Verdict.ACCEPTED:
                self._good += 1
                self._difficulties.append(event.difficulty)
                if self.handshake.in_flight is not None or self.handshake.exchanges:
                    exchange = self.handshake.answered(event.share.job, self.clock.of_raw(event.time_ns))
                    if exchange is not None:
                        self.exchanges.append(exchange)
            self._arrived.notify_all()

    def _events_before(self, end_ns: int) -> list[ShareEvent]:
        events = []
        with self._arrived:
            while self._events and self.clock.of_raw(self._events[0].time_ns) < end_ns:
                events.append(self._events.popleft())
        return events

    def _check_alive(self) -> None:
        """Raises TimeoutExpiredError where nothing has come from the device for too long."""
        raise NotImplementedError
