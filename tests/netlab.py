"""Several hosts on one machine: network namespaces on a bridge, a database and a service in one, workers in others."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import own_postgres
import psutil

NETWORK = "10.213.7"
PROGRAM = [sys.executable, "-c", "from asic_reservoir.cli import main; main()"]


def missing() -> str | None:
    """Why there can be no such hosts here, with a database in one; None where there can."""
    if not (own_postgres.BIN / "initdb").exists():
        return f"PostgreSQL: {own_postgres.BIN} is absent (apt-get install postgresql)"
    return hosts_missing(Lab.host)


def hosts_missing(make: Callable[[Lab], Host]) -> str | None:
    """Why there can be no hosts of a kind here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces: need the right to make them"
    if shutil.which("ip") is None:
        return "network namespaces: ip is absent (apt-get install iproute2)"
    try:
        with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)) as lab:
            host = make(lab)
            subprocess.run([*host.enter, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        return f"network namespaces: not allowed here ({said or error})"
    return None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)


class Host:
    """A namespace with an address on the bridge."""

    def __init__(self, lab: Lab, number: int) -> None:
        self.name, self.address = f"{lab.name}-{number}", f"{NETWORK}.{number}"
        self._lab, self._cable = lab, f"{lab.name[-6:]}v{number}"
        self.enter = ["ip", "netns", "exec", self.name]

    def connect(self) -> None:
        """Make it."""
        lab = self._lab
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("link", "add", "eth0", "netns", self.name, "type", "veth", "peer", "name", self._cable, "netns", lab.bridge)
        _ip("-n", lab.bridge, "link", "set", self._cable, "master", "br0", "up")
        _ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def run(self, log: str, *words: str) -> subprocess.Popen[str]:
        """Start one of our commands here."""
        with (self._lab.folder / f"{self.name}-{log}.log").open("a") as file:
            return subprocess.Popen([*self.enter, *PROGRAM, *words], stdout=subprocess.PIPE, stderr=file, text=True)

    def cable(self, plugged: bool) -> None:
        """Pull the cable, or plug it in again."""
        _ip("-n", self._lab.bridge, "link", "set", self._cable, "up" if plugged else "down")

    def kill(self) -> None:
        """Everything that runs on it, at once."""
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        for word in done.stdout.split():
            try:
                os.kill(int(word), signal.SIGKILL)
            except ProcessLookupError:
                continue


class Machine(Host):
    """A host that also has processes, ``/tmp`` and shared memory of its own; what dies with it dies at once.

    Files below ``/tmp`` are the machine's: commands find the installed software, and nothing else that is ours.
    """

    def connect(self) -> None:
        super().connect()
        private = ["mount --rbind /tmp /mnt", "mount -t tmpfs none /tmp", "mount -t tmpfs none /dev/shm"]
        for path in _installed_below("/tmp"):
            private += [f"mkdir -p '{path}'", f"mount --rbind '/mnt/{path.relative_to('/tmp')}' '{path}'"]
        private += ["umount --lazy /mnt", "echo ready", "exec sleep infinity"]
        script = " && ".join(private)
        words = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]
        self._root = subprocess.Popen([*self.enter, *words], stdout=subprocess.PIPE, text=True)
        assert self._root.stdout is not None
        if self._root.stdout.readline() != "ready\n":
            raise OSError(f"{self.name}: no processes and mounts of its own")
        (first,) = psutil.Process(self._root.pid).children()
        self.enter = ["nsenter", f"--target={first.pid}", "--net", "--pid", "--mount", "--"]

    def processes(self) -> list[psutil.Process]:
        """What runs on it."""
        return psutil.Process(self._root.pid).children(recursive=True)

    def kill(self) -> None:
        self._root.kill()  # its first process goes with it, and with that one all the others
        self._root.wait(60)
        super().kill()


def _installed_below(folder: str) -> list[Path]:
    """Where the program and its Python lie, as far as that is below ``folder``: a checkout may be anywhere."""
    places = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, Path(__file__).parents[1])}
    below = sorted(place for place in places if place.is_relative_to(folder))
    return [place for place in below if not any(place != other and place.is_relative_to(other) for other in below)]


class Lab:
    """Hosts that come and go; everything is gone at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"asic-{secrets.token_hex(3)}"
        self.bridge = f"{self.name}-0"
        self.hosts: list[Host] = []
        self._processes: list[subprocess.Popen[str]] = []
        self._database: own_postgres.Server | None = None

    def __enter__(self) -> Lab:
        try:
            _ip("netns", "add", self.bridge)
            _ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
            _ip("-n", self.bridge, "link", "set", "br0", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for host in self.hosts:
            host.kill()
        for process in self._processes:
            process.wait(60)
        if self._database is not None:
            self._database.remove()
        for name in (*(host.name for host in self.hosts), self.bridge):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=30)

    def host(self) -> Host:
        """Raises CalledProcessError where this machine does not allow it."""
        made = Host(self, len(self.hosts) + 1)
        self.hosts.append(made)
        made.connect()
        return made

    def machine(self) -> Machine:
        """As :meth:`host`. Raises OSError too."""
        made = Machine(self, len(self.hosts) + 1)
        self.hosts.append(made)
        made.connect()
        return made

    def database(self, host: Host) -> str:
        """A PostgreSQL there; its URL from every host."""
        server = self._database = own_postgres.Server("*", host.enter)
        server.create()
        with (server.home / "data/pg_hba.conf").open("a") as file:
            file.write(f"host all all {NETWORK}.0/24 trust\n")
        server.start()
        return f"postgresql://tester@{host.address}/postgres?connect_timeout=3&tcp_user_timeout=3000"

    def service(self, host: Host, url: str, boards: list[str]) -> str:
        """A service there, without workers; its URL within that host."""
        options = [word for board in boards for word in ("--board", board)]
        data = str(self.folder / host.name)
        process = host.run("serve", "serve", "--no-workers", "--port", "0", "--db", url, "--data", data, *options)
        self._processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line, "the service does not start: see its log"
        return line.rstrip("/")

    def worker(self, host: Host, url: str, *boards: str) -> None:
        """A worker there, of these boards, or of all."""
        options = [word for board in boards for word in ("--board", board)]
        data = str(self.folder / host.name)
        self._processes.append(host.run("worker", "worker", "--db", url, "--data", data, *options))


class Requests:
    """Requests made on a host: its loopback is another one than ours."""

    def __init__(self, host: Host, url: str) -> None:
        self._handle = os.open(f"/var/run/netns/{host.name}", os.O_RDONLY)
        self._url = url

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of a good answer. Made in a thread of its own, which enters the namespace and ends."""
        from concurrent.futures import ThreadPoolExecutor

        def send() -> Any:
            _enter(self._handle)
            with httpx2.Client(base_url=self._url, trust_env=False, timeout=60.0) as client:
                answer = client.request(method, path, json=body)
                assert answer.is_success, (method, path, answer.status_code, answer.text)
                return answer.json()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(send).result()

    def close(self) -> None:
        os.close(self._handle)


def _enter(handle: int) -> None:
    """This thread, into a network namespace."""
    import ctypes

    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).setns(handle, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def wait_for(condition: Any, what: str, timeout_s: float = 240.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:g} s in vain until {what}"
        time.sleep(0.1)


class Shelf:
    """Eight paced boards on four hosts, a spare host for all of them, database and service on a fifth."""

    BOARDS = 8
    HOSTS = 4

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.centre = lab.host()
        self.url = lab.database(self.centre)
        names = [f"board-{number}" for number in range(self.BOARDS)]
        uris = [f"{name}=twin://bm1366?seed={number}&pace=1" for number, name in enumerate(names, start=1)]
        self.ask = Requests(self.centre, lab.service(self.centre, self.url, uris))
        self.names = names
        self.workers: list[Host] = []
        share = self.BOARDS // self.HOSTS
        for number in range(self.HOSTS):
            host = lab.host()
            lab.worker(host, self.url, *names[number * share : (number + 1) * share])
            self.workers.append(host)
        wait_for(lambda: all(self.holders().values()), "every board is held")
        self.spare = lab.host()
        lab.worker(self.spare, self.url)

    def holders(self) -> dict[str, str | None]:
        """Who has the lease of each board, by name."""
        return {
            board["name"]: (board["lease"] or {}).get("holder") for board in self.ask("GET", "/api/v1/boards")["items"]
        }

    def submit(self, board: str, n_steps: int, step_seconds: float = 0.2) -> str:
        params = {"n_steps": n_steps, "step_seconds": step_seconds}
        task = self.ask("POST", "/api/v1/tasks", {"kind": "observe", "board": board, "params": params})
        return str(task["id"])

    def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/api/v1/tasks/{task_id}")
        return found

    def finished(self, tasks: list[str], timeout_s: float = 300.0) -> None:
        """Wait until all of them have succeeded."""
        open_ = list(tasks)

        def over() -> bool:
            while open_ and (task := self.task(open_[0]))["state"] in ("succeeded", "failed", "set_aside", "cancelled"):
                assert task["state"] == "succeeded", task
                open_.pop(0)
            return not open_

        wait_for(over, "the tasks are finished", timeout_s)

    def throughput(self, boards: list[str], each: int, n_steps: int) -> float:
        """Tasks a second on these boards, so many tasks each."""
        began = time.monotonic()
        self.finished([self.submit(board, n_steps) for _ in range(each) for board in boards])
        return each * len(boards) / (time.monotonic() - began)
