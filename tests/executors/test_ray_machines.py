"""Ray over several machines, each with network, processes and files of its own; one dies in the middle."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import netlab
import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.service, pytest.mark.timeout(900)]
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--num-cpus=1"]
LIGHT = ["--object-store-memory=100000000", "--disable-usage-stats", "--include-log-monitor=false"]
SERIES = "input,target\n" + "".join(f"{t * 0.37 % 1:.4f},{t * t * 0.11 % 1:.4f}\n" for t in range(800))
PORT = 6379


class Cluster:
    """Two machines with a core each, and one that is none of the cluster."""

    def __init__(self, lab: netlab.Lab) -> None:
        self.head, self.other, self.stranger = lab.machine(), lab.machine(), lab.machine()
        self.address = f"{self.head.address}:{PORT}"
        self._token = {"RAY_AUTH_TOKEN": "5a" * 32}
        environment = self._environment() | {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        for machine, words in (
            (self.head, ["--head", f"--port={PORT}", "--include-dashboard=false"]),
            (self.other, [f"--address={self.address}"]),
        ):
            command = [*machine.enter, *RAY, f"--node-ip-address={machine.address}", *LIGHT, *words]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | self._token

    def start(self, machine: netlab.Machine, *words: str) -> subprocess.Popen[str]:
        """``asic-reservoir run`` there, in a folder of its own."""
        inside = ["sh", "-c", 'mkdir -p /tmp/user && cd /tmp/user && exec "$@"', "sh"]
        words = ("run", *words, "--no-controls", "--no-curve", "--board", "twin://bm1366?seed=1")
        command = [*machine.enter, *inside, *netlab.PROGRAM, *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment(), stdout=pipe, stderr=pipe, text=True)

    def run(self, machine: netlab.Machine, *words: str) -> tuple[int, str, str]:
        """The same to its end: exit code and what it wrote."""
        with self.start(machine, *words) as process:
            out, error = process.communicate(timeout=600)
        return process.returncode, out, error

    def shell(self, machine: netlab.Machine, line: str, text: str = "") -> str:
        done = subprocess.run(
            [*machine.enter, "sh", "-c", line], input=text, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Skips where such machines cannot be made, as nobody can install that right."""
    if importlib.util.find_spec("ray") is None:
        reason: str | None = "Ray is not installed: pip install 'asic-reservoir[ray]'"
    else:
        reason = netlab.hosts_missing(netlab.Lab.machine)
    if reason is not None:
        if os.environ.get("REQUIRE_SERVICES") == "1" and "install" in reason:
            pytest.fail(reason)
        pytest.skip(reason)
    with netlab.Lab(tmp_path_factory.mktemp("machines")) as lab:
        yield Cluster(lab)


def jobs_on(machine: netlab.Machine) -> list[psutil.Process]:
    """Processes of Ray there that are computing a draw."""
    found = []
    for process in machine.processes():
        try:
            if process.cmdline()[:1] == ["ray::do"]:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def computed(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report, and its provenance apart."""
    report: dict[str, Any] = json.loads(text)
    return report, report.pop("provenance")


def until(condition: Callable[[], Any], process: subprocess.Popen[str], what: str) -> None:
    """Wait for a condition, as long as the run goes on."""
    end = time.monotonic() + 500
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"{what}: not seen\n{process.communicate()}")
        time.sleep(0.05)


def test_what_does_not_belong_is_named_in_one_line(cluster: Cluster) -> None:
    """A machine that is none of the cluster, and one of it whose files are others, as after a forgotten update."""
    import asic_reservoir.inspection as module

    path = str(module.__file__)
    words = ("narma10", "--seeds", "3", "--steps", "800", "--executor", "ray", "--ray-address", cluster.address, "-q")
    cluster.shell(cluster.other, f"cat > /tmp/other.py && mount --bind /tmp/other.py {path}", "# another\n")
    try:
        with cluster.start(cluster.stranger, *words) as stranger:
            code, out, error = cluster.run(cluster.head, *words)
            _, refused = stranger.communicate(timeout=600)
    finally:
        cluster.shell(cluster.other, f"umount {path}")
    assert (code, out) == (7, ""), error
    assert error.startswith(f"error: ray: host {cluster.other.address} has code of asic-reservoir sha256 ")
    assert error.count("\n") == 1
    assert stranger.returncode == 7, refused
    assert refused.startswith(f"error: ray at {cluster.address}: ")
    assert "this machine must be one of the cluster" in refused
    assert refused.count("\n") == 1


def test_a_machine_dies_and_its_draws_are_done_again(cluster: Cluster) -> None:
    """With the bits of a run without Ray, and with its records, where the run was started."""
    cluster.shell(cluster.head, "mkdir -p /tmp/user && cat > /tmp/user/mine.csv", SERIES)
    draws = ("mine.csv", "--seeds", "3", "--json", "-")
    code, out, error = cluster.run(cluster.head, *draws, "--out", "local", "--workers", "1")
    assert code == 0, error
    expected, alone = computed(out)
    ray = ("--executor", "ray", "--ray-address", cluster.address)
    with cluster.start(cluster.head, *draws, *ray, "--out", "there") as process:
        until(lambda: jobs_on(cluster.other), process, "a draw on the other machine")
        cluster.other.kill()
        out, error = process.communicate(timeout=600)
    assert process.returncode == 0, error
    report, provenance = computed(out)
    assert report == expected
    assert "was lost" in error
    assert alone["elsewhere"] == []
    assert [(one["hosts"], one["jobs"]) for one in provenance["elsewhere"]] == [(1, 3)]
    assert not cluster.shell(cluster.head, "cd /tmp/user && diff -r local/records there/records")


def test_ctrl_c_leaves_nothing_running_and_what_was_recorded(cluster: Cluster) -> None:
    words = ("--seeds", "3", "--steps", "20000", "--executor", "ray", "--ray-address", cluster.address)
    here = "/tmp/stopped"
    with cluster.start(cluster.head, "narma10", *words, "--out", here) as process:
        parts = f"ls {here}/records/*/*.npz 2>/dev/null || true"  # not there yet: an answer like another
        until(lambda: cluster.shell(cluster.head, parts), process, "a part of the journal")
        (program,) = psutil.Process(process.pid).children()
        program.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
    assert process.returncode == 130, error
    assert "go on with --resume" in error
    netlab.wait_for(lambda: not jobs_on(cluster.head), "nothing of it runs any more")
