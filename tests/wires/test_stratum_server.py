"""Our Stratum server against plain clients on real sockets: greetings, attribution, faults."""

import json
import socket
import time

import pytest
from kernel_stamps import wait_for_stamps

from asic_reservoir.board import TimestampSource
from asic_reservoir.errors import BusyError, TimeoutExpiredError
from firmware_bridge.stratum.jobs import JobMaker
from firmware_bridge.stratum.lines import decode
from firmware_bridge.stratum.messages import Notify
from firmware_bridge.stratum.server import ShareEvent, StratumServer
from firmware_bridge.stratum.shares import Verdict
from firmware_bridge.stratum.work import Sha256dWork

EASY = 2.0**-28  # sixteen hashes a share


class Miner:
    """A miner that speaks plain JSON, written without the codec under test for what it sends."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
        self.file = self.socket.makefile("rb")
        self.extranonce1 = ""
        self.job: list[object] = []
        self.number = 0

    def ask(self, method: str, *params: object) -> dict[str, object]:
        """Send a request; its answer. Pushes on the way are kept."""
        self.number += 1
        self.socket.sendall(json.dumps({"id": self.number, "method": method, "params": params}).encode() + b"\n")
        while True:
            answer = self.hear()
            if answer.get("id") == self.number and "method" not in answer:
                return answer

    def hear(self) -> dict[str, object]:
        message: dict[str, object] = json.loads(self.file.readline())
        if message.get("method") == "mining.notify":
            self.job = message["params"]  # type: ignore[assignment]
        return message

    def greet(self) -> None:
        answer = self.ask("mining.configure", ["version-rolling"], {"version-rolling.mask": "ffffffff"})
        assert answer["result"] == {"version-rolling": True, "version-rolling.mask": "1fffe000"}
        result = self.ask("mining.subscribe", "test/1")["result"]
        assert isinstance(result, list)
        self.extranonce1 = result[1]
        assert self.ask("mining.authorize", "w", "x")["result"] is True
        assert self.ask("mining.suggest_difficulty", 1000)["result"] is True

    def wait_job(self, number: int) -> None:
        while not self.job or MAKER.number_of(str(self.job[0])) != number:
            self.hear()

    def share(self, extranonce2: str = "01000000") -> tuple[object, ...]:
        """Parameters of a share of the job at hand that meets the easy difficulty."""
        nonce = next(n for n in range(100_000) if self.meets(extranonce2, n))
        return ("w", self.job[0], extranonce2, self.job[7], f"{nonce:08x}", "00000000")

    def meets(self, extranonce2: str, nonce: int) -> bool:
        """Whether a nonce of the job at hand meets the easy difficulty under this connection's extranonce1."""
        decoded = decode(json.dumps({"id": None, "method": "mining.notify", "params": self.job}))
        assert isinstance(decoded, tuple)
        assert isinstance(decoded[1], Notify)
        work = Sha256dWork(decoded[1], bytes.fromhex(self.extranonce1))
        value = work.hash_value(bytes.fromhex(extranonce2), decoded[1].ntime, nonce, 0)
        return value <= (0xFFFF << 208) / EASY


@pytest.fixture
def server():
    events: list[ShareEvent] = []
    made = StratumServer(events.append, host="127.0.0.1")
    wait_for_stamps()
    made.events = events  # type: ignore[attr-defined]
    yield made
    made.close()


def issue(server: StratumServer, number: int, clean: bool = False) -> None:
    server.issue(number, MAKER.make(number, ntime=1_700_000_000, clean=clean), difficulty=EASY, clean=clean)


MAKER = JobMaker(run=bytes(32))


def test_a_share_is_stamped_by_the_kernel_and_belongs_to_its_job(server) -> None:
    issue(server, 0)
    miner = Miner(server.port)
    miner.greet()
    server.wait_connected(60)
    miner.wait_job(0)
    issue(server, 1)
    old = miner.share()
    miner.wait_job(1)
    new = miner.share()
    assert miner.ask("mining.submit", *new)["result"] is True
    assert miner.ask("mining.submit", *old)["result"] is True  # not withdrawn: still its own job's
    issue(server, 2, clean=True)
    miner.wait_job(2)
    assert miner.ask("mining.submit", *new)["error"] == [22, "Duplicate share", None]
    miner.wait_job(2)
    stale = ("w", MAKER.job_id(1), "02000000", *miner.share()[3:])
    answer = miner.ask("mining.submit", *stale)
    assert answer["error"] is not None
    assert [(event.share.job, event.share.verdict) for event in server.events[:3]] == [
        (1, Verdict.ACCEPTED),
        (0, Verdict.ACCEPTED),
        (1, Verdict.DUPLICATE),
    ]
    assert {event.source for event in server.events} == {TimestampSource.KERNEL}


def test_a_good_share_of_a_withdrawn_job_is_stale_and_named_so(server) -> None:
    issue(server, 0)
    miner = Miner(server.port)
    miner.greet()
    miner.wait_job(0)
    share = miner.share()
    issue(server, 1, clean=True)
    miner.wait_job(1)
    assert miner.ask("mining.submit", *share)["error"] == [21, "Stale share", None]
    event = server.events[-1]
    assert (event.share.job, event.share.verdict, event.share.good_hash) == (0, Verdict.STALE, True)


def test_rubbish_is_counted_answered_and_survived(server) -> None:
    issue(server, 0)
    miner = Miner(server.port)
    miner.greet()
    miner.socket.sendall(b'{"id":77,"method":"mining.submit","params":["w"]}\n\xff\xfe\n' + b"x" * 70_000 + b"\n")
    miner.wait_job(0)
    assert miner.ask("mining.submit", *miner.share())["result"] is True
    assert miner.ask("mining.nonsense")["error"] == [20, "Method not found", None]
    assert server.tally.malformed_lines == 2
    miner.socket.close()
    miner.file.close()
    deadline = time.monotonic() + 60
    while server.tally.overlong_lines == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.tally.overlong_lines == 1


def test_two_clients_on_one_board_share_no_nonce(server) -> None:
    """The newer connection takes the board over; a share counts once, for the connection it was found on."""
    issue(server, 0)
    first, second = Miner(server.port), None
    first.greet()
    first.wait_job(0)
    found = first.share()
    assert first.ask("mining.submit", *found)["result"] is True
    second = Miner(server.port)
    second.greet()
    second.wait_job(0)
    assert first.extranonce1 != second.extranonce1
    assert second.ask("mining.submit", *found)["error"] == [21, "Job not found", None]
    # another extranonce1 is another header; the easy difficulty meets one in a few by chance, so take one that does not
    others = (first.share(f"{number:08x}") for number in range(2, 100))
    other = next(share for share in others if not second.meets(str(share[2]), int(str(share[4]), 16)))
    renamed = second.ask("mining.submit", other[0], second.job[0], *other[2:])
    assert renamed["error"] == [23, "Low difficulty share", None]
    assert second.ask("mining.submit", *second.share())["result"] is True
    assert [event.share.verdict for event in server.events].count(Verdict.ACCEPTED) == 2
    assert server.tally.replaced == 1
    first.file.read()  # ends: the older connection was closed


def test_strangers_are_refused_and_an_address_in_use_is_named() -> None:
    server = StratumServer(lambda event: None, host="127.0.0.1", accept_from=frozenset({"127.0.0.9"}))
    try:
        stranger = Miner(server.port)
        assert stranger.file.readline() == b""
        assert server.tally.refused == 1
        own = Miner(server.port, source="127.0.0.9")
        own.greet()
        server.wait_connected(60)
        with pytest.raises(BusyError, match="must be a free address"):
            StratumServer(lambda event: None, host="127.0.0.1", port=server.port)
    finally:
        server.close()


def test_no_miner_is_a_timeout(server) -> None:
    with pytest.raises(TimeoutExpiredError, match=r"must connect within 0\.05 s"):
        server.wait_connected(0.05)
    with pytest.raises(TimeoutExpiredError):
        server.ping()
