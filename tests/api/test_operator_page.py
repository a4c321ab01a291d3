"""The page in a real browser: from an empty shelf of tasks to a result, and the emergency stop."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.app import create_app
from api.keys import create_key
from api.settings import ServiceSettings
from api.shelf import put_on_shelf
from asic_reservoir.client import Client

pytestmark = [pytest.mark.service, pytest.mark.slow]
CHROMIUM = os.environ.get("ASIC_RESERVOIR_CHROMIUM", "/usr/bin/chromium")
SHOTS = os.environ.get("ASIC_RESERVOIR_SCREENSHOTS")
"""Folder to keep screenshots in; nowhere where it is not set."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if shutil.which(CHROMIUM) is None:
        reason = f"a browser: {CHROMIUM} is absent (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("page")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder))
    put_on_shelf(app.state.service.writer, "s9", "twin://s9?seed=1")
    put_on_shelf(app.state.service.writer, "lv06", "twin://lv06?seed=1")
    with serve(app) as url:
        yield url, app


class Visit:
    """A page, and what went wrong on it.

    Waiting is by selector only: a function to wait for is evaluated in the page again and again, which the page's own
    policy (no eval) forbids from the second time on, so that such a wait passes or fails by chance.
    """

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)

    def shoot(self, name: str) -> None:
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

    def accessible(self) -> None:
        from axe_playwright_python.sync_playwright import Axe

        # the page's own policy forbids foreign scripts; axe comes in through the debugger, beside it
        found = Axe().run(self.page).response["violations"]
        serious = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found]


def test_from_an_empty_queue_to_a_result(browser: Any, service: tuple[str, Any]) -> None:
    url, _ = service
    visit = Visit(browser, url)
    page = visit.page
    page.wait_for_selector('tr[data-board="s9"][data-state="idle"]')
    assert page.inner_text("#tasks") == "No task yet."
    visit.shoot("1-shelf")
    visit.accessible()
    page.select_option("#kind", "observe")
    page.select_option("#board", "s9")
    page.fill("#params", '{"n_steps": 40, "raster": true}')
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#task-facts dd")
    page.wait_for_selector("#task-plots .u-over")
    page.wait_for_selector("#task-plots canvas[role=img]")
    assert page.inner_text("#task-state") == "succeeded"
    assert "simulated" in page.inner_text("#task-facts")
    page.wait_for_selector("#tasks .state.succeeded")
    visit.shoot("2-result")
    visit.accessible()
    page.fill("#params", '{"n_steps": 0}')
    page.click("#submit")
    page.wait_for_selector("#news:has-text('/params/n_steps')")
    assert visit.hosts == {url.split("/")[2]}
    # the refused request is the only thing that the console has to say
    assert all("422" in line for line in visit.wrong), visit.wrong


def test_a_benchmark_task_shows_its_figures(browser: Any, service: tuple[str, Any]) -> None:
    url, _ = service
    visit = Visit(browser, url)
    page = visit.page
    page.wait_for_selector('tr[data-board="lv06"][data-state="idle"]')
    page.select_option("#kind", "experiment")
    page.select_option("#board", "lv06")
    settings = '{"task": "narma10", "seeds": 1, "steps": 400, "curve": false, "controls": false}'
    page.fill("#params", settings)
    page.click("#submit")
    page.wait_for_selector("#task-facts dd", timeout=90_000)
    page.wait_for_selector("#task-plots .u-over")
    assert "report.html" in page.inner_text("#task-files")
    page.wait_for_selector('#models th:has-text("narma10-lv06")')
    visit.shoot("3-experiment")
    link = page.locator('#models a[data-fetch="narma10-lv06-1.npz"]')
    with page.expect_download() as download:
        link.press("Enter")
    with np.load(download.value.path(), allow_pickle=False) as file:
        assert file["weights"].ndim == 1
    assert visit.wrong == []


def test_calibration_claims_and_a_stream_are_seen(browser: Any, service: tuple[str, Any]) -> None:
    url, _ = service
    visit = Visit(browser, url)
    page = visit.page
    page.wait_for_selector('tr[data-claim="diffusion"][data-standing="not tested"]')
    page.wait_for_selector('tr[data-board="lv06"][data-state="idle"] td:text-is("never")')
    with Client(url) as client:
        client.wait(client.submit("calibrate", "lv06", sections=["mask"]).id)
        client.wait(client.submit("inspect", "s9", seconds=5.0).id)
        page.wait_for_selector("#calibration-lv06")
        page.wait_for_selector('tr[data-claim="heartbeat"]:not([data-standing="not tested"])')
        assert "simulated" in page.inner_text('tr[data-claim="heartbeat"]')
        session = client.open_session("lv06", 300)
        task = client.submit("stream", "lv06", drive={"lags": 2})
        page.goto(f"{url}/#task={task.id}")
        page.wait_for_selector("#task-stream:has-text('nobody is connected')")
        with client.stream(task.id) as stream:
            stream.step(0.1)
            page.wait_for_selector("#task-stream:has-text('1 answered, a client is connected')")
            visit.shoot("7-stream")
            visit.accessible()
            stream.end()
        page.wait_for_selector("#task-stream:has-text('ended')")
        page.wait_for_selector("#task-facts dd:text-is('ended')")
        client.end_session(session["id"])
    page.locator('tr[data-claim="heartbeat"] a').press("Enter")
    page.wait_for_selector("#task-files a:has-text('inspection.html')")
    visit.shoot("8-claims")
    visit.accessible()
    assert visit.wrong == []


def test_emergency_stop_by_keyboard(browser: Any, service: tuple[str, Any]) -> None:
    url, _ = service
    visit = Visit(browser, url)
    page = visit.page
    page.wait_for_selector("#stop-s9")
    page.focus("#stop-s9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop-dialog[open] #stop-confirm:focus")
    visit.shoot("4-stop")
    visit.accessible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#stop-dialog:not([open])", state="attached")
    page.wait_for_selector("#stop-s9:focus")
    assert page.get_attribute('tr[data-board="s9"]', "data-state") != "stopped"
    page.focus("#stop-s9")
    page.keyboard.press("Enter")
    page.keyboard.type("s8")
    page.keyboard.press("Enter")
    page.wait_for_selector("#news.bad")
    assert "NOT stopped" in page.inner_text("#news")
    page.focus("#stop-s9")
    page.keyboard.press("Enter")
    page.keyboard.type("s9")
    page.keyboard.press("Tab")
    page.keyboard.type("smoke")
    page.keyboard.press("Enter")
    page.wait_for_selector('tr[data-board="s9"][data-state="stopped"] #release-s9:focus')
    visit.shoot("5-stopped")
    visit.accessible()
    page.keyboard.press("Enter")
    page.wait_for_selector('tr[data-board="s9"]:not([data-state="stopped"]) #stop-s9:focus')


def test_an_overtaken_answer_is_not_drawn(browser: Any, service: tuple[str, Any]) -> None:
    visit = Visit(browser, service[0])
    page = visit.page
    held: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.wait_for_selector("#board option", state="attached")
    page.route("**/page/shelf", hold_the_first)
    while not held:
        page.wait_for_timeout(20)
    page.click("#stop-lv06")
    page.fill("#stop-confirm", "lv06")
    page.click("#stop-do")
    page.wait_for_selector("#release-lv06:focus")
    late = held[0].request
    with page.expect_event("requestfinished", lambda request: request == late):
        held[0].fulfill(status=200, content_type="text/html", body="<p id=late>as it was before the stop</p>")
    page.wait_for_timeout(200)
    assert page.locator("#late").count() == 0
    assert page.locator("#release-lv06:focus").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop-lv06:focus")


def test_without_the_right_nothing_is_stopped(browser: Any, service: tuple[str, Any]) -> None:
    url, app = service
    _, secret = app.state.service.writer.run(lambda c: create_key(c, "onlooker", ["read"]))
    visit = Visit(browser, url)
    page = visit.page
    page.fill("#key", secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#who:text-is('onlooker: read')")
    page.click("#stop-lv06")
    page.fill("#stop-confirm", "lv06")
    page.click("#stop-do")
    page.wait_for_selector("#news.bad")
    assert "lacks the scope 'operate'" in page.inner_text("#news")
    assert page.get_attribute('tr[data-board="lv06"]', "data-state") != "stopped"


def test_without_script_the_shelf_is_still_there(browser: Any, service: tuple[str, Any]) -> None:
    visit = Visit(browser, service[0], java_script_enabled=False)
    assert visit.page.locator('tr[data-board="s9"]').count() == 1
    visit.shoot("6-no-script")
