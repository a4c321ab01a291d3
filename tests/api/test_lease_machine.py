"""However contenders act and their clocks differ: one holder, growing tokens, nothing stale gets through.

Every step is taken by the proven machine of ``lean/`` (chapter Lease) too: what was granted or let through here, it
grants and lets through.
"""

from __future__ import annotations

import tempfile

import hypothesis.strategies as st
import sqlalchemy as sa
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.queue import Lease, LeaseWatch, StaleTokenError, free, hold, renew, take
from api.worker.fence import Fence
from asic_reservoir.lease_model import Acquire, Expire, LeaseModel, Release, Renew, Write
from asic_reservoir.store.facts import boards, open_engine, upgrade

TERM, MARGIN = 10.0, 1.0
NAMES = ("a", "b", "c")
WORKERS = st.sampled_from(NAMES)


class Worker:
    """A contender with a clock of its own: another zero, another pace."""

    def __init__(self, machine: LeaseMachine, name: str, zero: float, pace: float) -> None:
        self.name, self.clock = name, lambda: zero + machine.time * pace
        self.watch = LeaseWatch(self.clock, TERM, MARGIN)
        self.lease: Lease | None = None

    @property
    def drives(self) -> bool:
        """Whether its fence lets a command through now."""
        if self.lease is None:
            return False
        fence = Fence("board", self.lease.token, self.lease.valid_until, self.clock)
        return not fence.over


class LeaseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        # paces within 4 % of each other: a margin of a tenth of the term allows that
        self.workers = {
            name: Worker(self, name, zero, pace)
            for name, zero, pace in zip(NAMES, (0.0, 1e6, -5e5), (1.0, 0.98, 1.02), strict=True)
        }
        self.last_command = 0
        self.model = LeaseModel()
        self.newest = 0
        self.folder = tempfile.TemporaryDirectory()
        self.engine = open_engine(f"sqlite:///{self.folder.name}/facts.db", synchronous="NORMAL")
        upgrade(self.engine)
        self.engine = self.engine.execution_options(write=True)
        row = {"id": "board", "uri": "u", "family": "s9", "model": "", "origin": "simulated", "info": {}}
        with self.engine.begin() as connection:
            connection.execute(boards.insert(), row | {"created_utc_ns": 0})

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()

    @rule(seconds=st.floats(0.01, 30.0))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule(name=WORKERS)
    def contend(self, name: str) -> None:
        worker = self.workers[name]
        if worker.lease is not None:
            return
        others = [other for other in self.workers.values() if other.drives]
        with self.engine.begin() as connection:
            lease = take(connection, "board", name, name, worker.watch)
        holder = NAMES.index(name)
        if lease is None:
            assert not self.model.step(Acquire(holder)), "refused, though the board was free"
        else:
            if self.model.live is not None:
                assert self.model.step(Expire(self.model.live))  # its term ended: that is why it could be taken
            assert self.model.step(Acquire(holder))
            assert self.model.last == lease.token
            assert not others, f"{name} took what {others[0].name} still drives"
            assert lease.token > self.newest
            self.newest, worker.lease = lease.token, lease

    @rule(name=WORKERS, delay=st.floats(0.0, 12.0))
    def renew(self, name: str, delay: float) -> None:
        """The answer may come late: the term counts from the question."""
        worker = self.workers[name]
        if worker.lease is None:
            return
        began = worker.clock()
        self.time += delay
        try:
            with self.engine.begin() as connection:
                worker.lease = renew(connection, worker.lease, worker.watch, began)
            assert self.model.step(Renew(worker.lease.token))
        except StaleTokenError:
            assert not self.model.step(Renew(worker.lease.token))
            assert worker.lease.token < self.newest
            worker.lease = None

    @rule(name=WORKERS)
    def command(self, name: str) -> None:
        worker = self.workers[name]
        if worker.drives:
            assert worker.lease is not None
            assert worker.lease.token >= self.last_command, "a command of an older holder after one of a newer"
            self.last_command = worker.lease.token
            assert self.model.step(Write(worker.lease.token))

    @rule(name=WORKERS)
    def write_a_result(self, name: str) -> None:
        """The database lets through the newest token only, whatever the holder believes."""
        worker = self.workers[name]
        if worker.lease is None:
            return
        try:
            with self.engine.begin() as connection:
                hold(connection, worker.lease)
            assert worker.lease.token == self.newest
        except StaleTokenError:
            assert worker.lease.token < self.newest

    @precondition(lambda self: any(worker.lease for worker in self.workers.values()))
    @rule(name=WORKERS)
    def give_back(self, name: str) -> None:
        worker = self.workers[name]
        if worker.lease is not None:
            with self.engine.begin() as connection:
                assert free(connection, worker.lease) == self.model.step(Release(worker.lease.token))
            worker.lease = None

    @rule(name=WORKERS)
    def die_and_come_back(self, name: str) -> None:
        """Killed: remembers nothing, drives nothing."""
        worker = self.workers[name]
        worker.lease = None
        worker.watch = LeaseWatch(worker.clock, TERM, MARGIN)

    @invariant()
    def one_holder(self) -> None:
        assert sum(worker.drives for worker in self.workers.values()) <= 1

    @invariant()
    def one_row(self) -> None:
        with self.engine.connect() as connection:
            token = connection.execute(sa.text("SELECT coalesce(max(token), 0) FROM leases")).scalar_one()
        assert token == self.newest


TestLease = LeaseMachine.TestCase
TestLease.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)
