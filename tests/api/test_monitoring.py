"""Dashboards and rules against a real Prometheus that scrapes the service: every expression finds something."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import own_nats
import promql_parser
import psutil
import pytest
from fault_rig import Program, until

from api.app import create_app
from api.bus import BusSettings
from api.settings import ServiceSettings
from api.shelf import put_on_shelf

DEPLOY = Path(__file__).parents[2] / "deploy"


def program(name: str) -> str:
    """Path of a program; skips where it is absent, fails where services are required."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name}: absent (apt-get install prometheus)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def dashboards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (DEPLOY / "grafana/dashboards").glob("*.json")}


def expressions() -> list[tuple[str, str]]:
    """(where, expression) of every panel, variables put in."""
    found = []
    for name, content in dashboards().items():
        for panel in content["panels"]:
            for target in panel["targets"]:
                text = target["expr"].replace("$board", "s9").replace("$__rate_interval", "1m")
                found.append((f"{name}: {panel['title']}", text))
    return found


def test_dashboards_are_what_the_code_writes() -> None:
    spec = importlib.util.spec_from_file_location("dashboards", DEPLOY / "grafana/dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.render() == {path.name: path.read_text() for path in (DEPLOY / "grafana/dashboards").glob("*.json")}


def test_panels_neither_overlap_nor_share_a_number() -> None:
    for name, content in dashboards().items():
        cells: set[tuple[int, int]] = set()
        for panel in content["panels"]:
            grid = panel["gridPos"]
            own = {(grid["x"] + i, grid["y"] + j) for i in range(grid["w"]) for j in range(grid["h"])}
            assert not own & cells, (name, panel["title"])
            assert max(x for x, _ in own) < 24
            cells |= own
        assert len({panel["id"] for panel in content["panels"]}) == len(content["panels"])


@pytest.mark.service
def test_promtool_accepts_and_tests_the_rules() -> None:
    tool = program("promtool")
    for words in ("check config prometheus.yml", "check rules rules.yml", "test rules rules_test.yml"):
        done = subprocess.run(
            [tool, *words.split()], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def service(tmp_path: Path, serve: Any) -> Iterator[str]:
    """Two twins that have done something, driven by a worker with metrics of its own, and a bus."""
    nats = own_nats.Nats(tmp_path / "nats")
    host, port = nats.start()
    bus, database = f"nats://{host}:{port}", f"sqlite:///{tmp_path}/facts.db"
    app = create_app(ServiceSettings(database, tmp_path, workers=False, bus=BusSettings(bus, "here")))
    for name, uri in (("s9", "twin://s9?seed=1"), ("lv06", "twin://lv06?seed=1")):
        put_on_shelf(app.state.service.writer, name, uri)
    words = ["worker", "--db", database, "--data", str(tmp_path / "worker"), "--metrics-port", "0", "--bus", bus]
    worker = Program(tmp_path / "worker.log", [*words, "--site", "there"])
    with serve(app) as url, ExitStack() as stack:
        stack.callback(nats.kill)
        stack.callback(worker.end)
        worker.start()
        with httpx2.Client(base_url=url, timeout=60.0) as client:
            made = []
            for name in ("s9", "lv06"):
                body = {"kind": "observe", "board": name, "params": {"n_steps": 3}}
                made.append(client.post("/api/v1/tasks", json=body).headers["Location"])

            def ended() -> bool:
                return all(client.get(location).json()["state"] == "succeeded" for location in made)

            until(ended, "both boards have done something", 180.0)
        yield url


@pytest.fixture
def prometheus(tmp_path: Path, service: str) -> Iterator[str]:
    """A Prometheus with our rules that scrapes the service every second."""
    binary = program("prometheus")
    config = (DEPLOY / "prometheus/prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("127.0.0.1:8337", service.removeprefix("http://"))
    (tmp_path / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "prometheus/rules.yml", tmp_path)
    words = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([binary, *words, "--web.listen-address=127.0.0.1:0"], stdout=log, stderr=log)
        try:
            until(lambda: bool(ports(process.pid)), "Prometheus listens")
            yield f"http://127.0.0.1:{ports(process.pid)[0]}"
        finally:
            process.terminate()
            process.wait(60)


def ports(pid: int) -> list[int]:
    """Where a process listens: the port that the kernel chose for it."""
    places = psutil.Process(pid).net_connections("tcp")
    return [place.laddr.port for place in places if place.status == psutil.CONN_LISTEN]


def ask(url: str, expression: str) -> list[Any]:
    answer = httpx2.get(f"{url}/api/v1/query", params={"query": expression}, trust_env=False, timeout=60.0).json()
    assert answer["status"] == "success", (expression, answer)
    return list(answer["data"]["result"])


def rule_expressions(groups: list[Any]) -> list[tuple[str, str]]:
    """(name, expression) of every rule; of an alert what it compares: one that is silent is an empty comparison."""
    found = []
    for group in groups:
        for rule in group["rules"]:
            parsed = promql_parser.parse(rule["query"])
            found.append((rule["name"], str(parsed.lhs if rule["type"] == "alerting" else parsed)))
    return found


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_expression_finds_something(prometheus: str, service: str) -> None:
    """Sooner or later: rates need some scrapes, and a scrape that a busy machine missed leaves a gap."""
    end = time.monotonic() + 300
    while True:
        missing: list[Any] = ["the rules"]
        try:
            httpx2.get(f"{service}/api/v1/boards", timeout=60.0)
            rules = httpx2.get(f"{prometheus}/api/v1/rules", trust_env=False, timeout=60.0).json()["data"]["groups"]
            states = {rule["name"]: rule["health"] for group in rules for rule in group["rules"]}
            assert "err" not in states.values(), rules
            missing = [name for name, health in states.items() if health != "ok"] if rules else missing
            wanted = expressions() + rule_expressions(rules)
            missing += [(where, expression) for where, expression in wanted if not ask(prometheus, expression)]
        except httpx2.TransportError as error:
            missing.append(error)
        if not missing:
            break
        assert time.monotonic() < end, missing
        time.sleep(0.5)
    assert len(wanted) > 30
