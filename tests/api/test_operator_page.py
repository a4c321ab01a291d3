"""The page in a real browser: from an empty shelf of tasks to a result, and the emergency stop."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from door import Door
from fault_rig import Program

from api.app import create_app
from api.keys import create_key
from api.queue import Draft, submit_all
from api.settings import ServiceSettings
from api.shelf import change_board, put_on_shelf
from asic_reservoir.client import Client
from asic_reservoir.store.player import open_run

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]
CHROMIUM = os.environ.get("ASIC_RESERVOIR_CHROMIUM", "/usr/bin/chromium")
SHOTS = os.environ.get("ASIC_RESERVOIR_SCREENSHOTS")
"""Folder to keep screenshots in; nowhere where it is not set."""
NARROW = {"width": 400, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if shutil.which(CHROMIUM) is None:
        reason = f"a browser: {CHROMIUM} is absent (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[str, Any]]:
    folder = tmp_path_factory.mktemp("page")
    app = create_app(ServiceSettings(f"sqlite:///{folder}/facts.db", folder))
    put_on_shelf(app.state.service.writer, "s9", "twin://s9?seed=1")
    put_on_shelf(app.state.service.writer, "lv06", "twin://lv06?seed=1")
    put_on_shelf(app.state.service.writer, "paced", "twin://s9?seed=2&pace=1")
    with serve(app) as url:
        yield url, app


class Visit:
    """A page, and what went wrong on it.

    Waiting is by selector only: a function to wait for is evaluated in the page again and again, which the page's own
    policy (no eval) forbids from the second time on, so that such a wait passes or fails by chance.
    """

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(90_000)
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.goto(url)

    def leave(self) -> None:
        self.page.unroute_all(behavior="ignoreErrors")
        self.context.close()

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


def box_of(page: Any, selector: str) -> dict[str, float]:
    """Where an element is now. Found and measured in one go: a table may be drawn anew between the two."""
    page.wait_for_selector(selector)
    box: dict[str, float] = page.evaluate("s => document.querySelector(s).getBoundingClientRect().toJSON()", selector)
    return box


@pytest.fixture
def go(browser: Any, service: tuple[str, Any]) -> Iterator[Callable[..., Visit]]:
    """Opens the page; who came leaves with the test, and asks the service for nothing any more."""
    visits: list[Visit] = []

    def open_page(**options: Any) -> Visit:
        visits.append(Visit(browser, service[0], **options))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.leave()


class Held:
    """The next answer that the page asks for, kept back."""

    def __init__(self, page: Any, pattern: str) -> None:
        self._page = page
        self._routes: list[Any] = []
        self._over: list[Any] = []
        page.on("requestfinished", lambda request: self._over.append(request))
        page.on("requestfailed", lambda request: self._over.append(request))
        page.route(pattern, self._take)

    def _take(self, route: Any) -> None:
        if self._routes:
            route.continue_()
        else:
            self._routes.append(route)

    def asked(self) -> None:
        """Wait until the page has asked."""
        while not self._routes:
            self._page.wait_for_timeout(20)

    def give(self, **answer: Any) -> None:
        """Give the answer, unless the page has given up; and the page the time to do something with it."""
        (route,) = self._routes
        if route.request not in self._over:
            route.fulfill(**answer) if answer else route.continue_()
        while route.request not in self._over:
            self._page.wait_for_timeout(20)
        self._page.wait_for_timeout(200)


def test_from_an_empty_queue_to_a_result(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    url, _ = service
    visit = go()
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
    page.wait_for_selector("#task-state:text-is('succeeded')")
    page.wait_for_selector("#task-facts dd:text-is('simulated')")
    page.wait_for_selector("#tasks .state.succeeded")
    visit.shoot("2-result")
    visit.accessible()
    page.fill("#params", '{"n_steps": 0}')
    page.click("#submit")
    page.wait_for_selector("#news:has-text('/params/n_steps')")
    assert visit.hosts == {url.split("/")[2]}
    # the refused request is the only thing that the console has to say
    assert all("422" in line for line in visit.wrong), visit.wrong


def test_a_benchmark_task_shows_its_figures(go: Callable[..., Visit]) -> None:
    visit = go()
    page = visit.page
    page.wait_for_selector('tr[data-board="lv06"][data-state="idle"]')
    page.select_option("#kind", "experiment")
    page.select_option("#board", "lv06")
    settings = '{"task": "narma10", "seeds": 1, "steps": 400, "curve": false, "controls": false}'
    page.fill("#params", settings)
    page.click("#submit")
    page.wait_for_selector("#task-facts dd", timeout=240_000)
    page.wait_for_selector("#task-plots .u-over")
    page.wait_for_selector("#task-files a:has-text('report.html')")
    page.wait_for_selector('#models th:has-text("narma10-lv06")')
    visit.shoot("3-experiment")
    link = page.locator('#models a[data-fetch="narma10-lv06-1.npz"]')
    with page.expect_download() as download:
        link.press("Enter")
    with np.load(download.value.path(), allow_pickle=False) as file:
        assert file["weights"].ndim == 1
    assert visit.wrong == []


def test_a_recording_is_made_and_taken_along(go: Callable[..., Visit]) -> None:
    visit = go()
    page = visit.page
    page.wait_for_selector('tr[data-board="lv06"][data-state="idle"]')
    page.select_option("#kind", "record")
    page.select_option("#board", "lv06")
    page.fill("#params", '{"seconds": 20}')
    page.click("#submit")
    page.wait_for_selector('#task-facts dt:text-is("recording")', timeout=240_000)
    page.wait_for_selector('tr[data-recording][data-state="finished"]')
    visit.shoot("3-recording")
    assert page.locator("tr[data-recording] .origin.simulated").count() == 1
    with page.expect_download() as download:
        page.locator("tr[data-recording] a[data-fetch]").press("Enter")
    with open_run(download.value.path()) as replay:
        assert len(list(replay.play())) == 20
    assert visit.wrong == []


def test_calibration_claims_and_a_stream_are_seen(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    url, _ = service
    visit = go()
    page = visit.page
    page.wait_for_selector('tr[data-claim="diffusion"][data-standing="not tested"]')
    page.wait_for_selector('tr[data-board="lv06"][data-state="idle"] td:text-is("never")')
    with Client(url) as client:
        client.wait(client.submit("calibrate", "lv06", sections=["mask"]).id)
        client.wait(client.submit("heartbeat", "s9", seconds=20.0).id)
        page.wait_for_selector("#calibration-lv06")
        page.wait_for_selector('tr[data-claim="heartbeat"]:not([data-standing="not tested"])')
        page.wait_for_selector('tr[data-claim="heartbeat"] .origin.simulated')
        session = client.open_session("lv06", 300)
        task = client.submit("stream", "lv06", drive={"lags": 2}, idle_seconds=600.0)
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
    page.wait_for_selector("#task-files a:has-text('report.html')")
    visit.shoot("8-claims")
    visit.accessible()
    assert visit.wrong == []


def test_emergency_stop_by_keyboard(go: Callable[..., Visit]) -> None:
    visit = go()
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
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop-dialog[open] #stop-confirm:focus")
    page.keyboard.type("s8")
    page.keyboard.press("Enter")
    page.wait_for_selector("#news.bad:has-text('s9 is NOT stopped')")
    page.wait_for_selector("#stop-s9:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop-dialog[open] #stop-confirm:focus")
    page.keyboard.type("s9")
    page.keyboard.press("Tab")
    page.wait_for_selector("#stop-reason:focus")
    page.keyboard.type("smoke")
    page.keyboard.press("Enter")
    page.wait_for_selector('tr[data-board="s9"][data-state="stopped"] #release-s9:focus')
    visit.shoot("5-stopped")
    visit.accessible()
    page.keyboard.press("Enter")
    page.wait_for_selector('tr[data-board="s9"]:not([data-state="stopped"]) #stop-s9:focus')


def test_an_overtaken_answer_is_not_drawn(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    """Nor is any drawn under a pressed button."""
    page = go().page
    page.wait_for_selector("#board option", state="attached")
    held = Held(page, "**/page/shelf")
    held.asked()
    box = box_of(page, "#stop-lv06")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    with page.expect_event("requestfinished", lambda request: request.url.endswith("/page/shelf")):
        service[1].state.service.writer.run(lambda c: change_board(c, "s9", None, reason="new words"))
    page.wait_for_timeout(300)
    page.mouse.up()  # a click, though the table had changed meanwhile
    page.wait_for_selector("#stop-dialog[open]")
    page.fill("#stop-confirm", "lv06")
    page.click("#stop-do")
    page.wait_for_selector("#release-lv06:focus")
    held.give(content_type="text/html", body="<p id=late>as it was before the stop</p>")
    assert page.locator("#late").count() == 0
    assert page.locator("#release-lv06:focus").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop-lv06:focus")


def test_the_task_that_is_chosen_is_the_one_that_is_shown(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    """However late the answers of the one before come."""
    page = go().page
    with Client(service[0]) as client:
        first, second = (client.submit("observe", "lv06", n_steps=n) for n in (2, 3))
        for task in (first, second):
            client.wait(task.id)
    held = Held(page, f"**/api/v1/tasks/{first.id}/result")
    page.goto(f"{service[0]}/#task={first.id}")
    held.asked()
    page.goto(f"{service[0]}/#task={second.id}")
    page.wait_for_selector("#task-facts dd:text-is('3.0 s')")
    held.give()
    assert second.id[-8:] in page.inner_text("#task-title")
    assert page.locator("#task-facts dd:text-is('3.0 s')").count() == 1
    assert page.locator("#task-plots figure:has-text('Nonces a step')").count() == 1


def test_the_key_that_came_last_is_the_one_that_is_named(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    _, app = service
    secrets = [app.state.service.writer.run(lambda c, n=n: create_key(c, n, ["read"]))[1] for n in ("early", "late")]
    page = go().page
    page.wait_for_selector("#who:has-text('somebody on this machine')")
    held = Held(page, "**/api/v1/me")
    for secret in secrets:
        page.fill("#key", secret)
        page.keyboard.press("Enter")
        held.asked()
    page.wait_for_selector("#who:text-is('late: read')")
    held.give()
    assert page.inner_text("#who") == "late: read"


def test_without_the_right_nothing_is_stopped(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    _, secret = service[1].state.service.writer.run(lambda c: create_key(c, "onlooker", ["read"]))
    page = go().page
    page.fill("#key", secret)
    page.keyboard.press("Enter")
    page.wait_for_selector("#who:text-is('onlooker: read')")
    page.click("#stop-lv06")
    page.fill("#stop-confirm", "lv06")
    page.click("#stop-do")
    page.wait_for_selector("#news.bad:has-text(\"lacks the scope 'operate'\")")
    assert page.get_attribute('tr[data-board="lv06"]', "data-state") != "stopped"


def test_without_script_the_shelf_is_still_there(go: Callable[..., Visit]) -> None:
    visit = go(java_script_enabled=False)
    assert visit.page.locator('tr[data-board="s9"]').count() == 1
    visit.shoot("6-no-script")


def test_a_running_task_shows_what_its_board_says(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    """Nonces and states as they come, in the light and in the dark, wide and narrow."""
    with Client(service[0]) as client:
        task = client.submit("observe", "paced", n_steps=3000, raster=True)
        for name, options in (("9-live", {}), ("10-live-dark-narrow", {"color_scheme": "dark", "viewport": NARROW})):
            visit = go(**options)
            page = visit.page
            page.goto(f"{service[0]}/#task={task.id}")
            page.wait_for_selector("#task-live canvas[aria-label^='States as they come: 2 steps, 189 chips']")
            page.wait_for_selector("#task-live canvas[aria-label^='Nonces of the last step: 120 nonces']")
            page.wait_for_selector("#task-live .u-over")
            page.wait_for_selector("#task-live-text:has-text('Board simulated')")
            visit.shoot(name)
            visit.accessible()
            assert visit.wrong == []
        page.focus("#task-cancel")
        page.keyboard.press("Enter")
        page.wait_for_selector("#task-state:has-text('cancelled')")
    button = box_of(page, "#stop-paced")
    assert button["x"] >= 0
    assert button["x"] + button["width"] <= NARROW["width"], "a stop has to be looked for at the side"


def test_a_long_queue_is_paged(go: Callable[..., Visit], service: tuple[str, Any]) -> None:
    """Those that wait stand in the order of their turn, and another key's turn is not lost on a later page."""
    writer = service[1].state.service.writer
    board = put_on_shelf(writer, "full", "twin://bm1366?seed=9")
    writer.run(lambda c: change_board(c, "full", None, enabled=False, reason="kept for a person"))
    draft = {"kind": "observe", "request": {"params": {"n_steps": 2}}, "board_id": board}
    # one of more weight came last, and is the first
    waiting = writer.run(lambda c: submit_all(c, [*[Draft(**draft)] * 9_999, Draft(**draft, priority=5)]))
    ahead = [waiting[-1], *sorted(waiting[:-1])]
    visit = go()
    page = visit.page
    page.wait_for_selector("#tasks-waiting:has-text('10,000 waiting')")
    page.select_option("#tasks-show", "waiting")
    for number, press in enumerate(("#tasks-more", "#tasks-more", "#tasks-back", "#tasks-back")):
        first = ahead[20 * (0, 1, 2, 1)[number]]
        page.wait_for_selector(f'#tasks tbody tr:first-child[data-task="{first}"]')
        assert page.locator("#tasks tbody tr").count() == 20
        page.focus(press)
        page.keyboard.press("Enter")
    page.wait_for_selector(f'#tasks tbody tr:first-child[data-task="{ahead[0]}"]')
    page.wait_for_selector('#tasks-back[aria-disabled="true"]')
    visit.shoot("11-queue")
    visit.accessible()
    page.select_option("#tasks-show", "newest")
    page.wait_for_selector(f'#tasks tbody tr:first-child[data-task="{max(waiting)}"]')
    with Client(service[0]) as client:
        client.cancel(ahead[0])
    page.select_option("#tasks-show", "failed")
    page.wait_for_selector(f'#tasks tbody tr[data-task="{ahead[0]}"] .state.cancelled')
    assert visit.wrong == []


def test_all_boards_are_stopped_at_once(go: Callable[..., Visit]) -> None:
    page = go().page
    page.wait_for_selector("#stop-s9")
    page.focus("#stop-all")
    for words, said in (("s9", "Nothing is stopped"), ("all boards", "s9 is stopped")):
        page.keyboard.press("Enter")
        page.wait_for_selector("#stop-dialog[open] #stop-confirm:focus")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#news:has-text('{said}')")
        page.wait_for_selector("#stop-all:focus")
    for name in ("s9", "lv06"):
        page.wait_for_selector(f'tr[data-board="{name}"][data-state="stopped"]')
        page.click(f"#release-{name}")
        page.wait_for_selector(f'tr[data-board="{name}"]:not([data-state="stopped"])')


def test_a_restart_of_the_service_is_survived(go: Callable[..., Visit], browser: Any, tmp_path: Path) -> None:
    """The page says what is not up to date, and goes on where it was."""
    words = ["serve", "--port", "0", "--data", str(tmp_path / "data"), "--board", "paced=twin://bm1366?seed=3&pace=1"]
    program, door = Program(tmp_path / "log", words), Door()
    program.start()
    visit = None
    try:
        door.behind = program.address()
        with Client(door.url) as client:
            task = client.submit("observe", "paced", n_steps=4)
        visit = Visit(browser, f"{door.url}/#task={task.id}")
        page = visit.page
        page.wait_for_selector("#task-title:has-text('observe on paced')")
        page.wait_for_selector("#stale", state="hidden")
        program.kill()
        page.wait_for_selector("#stale:has-text('Not up to date since')")
        visit.shoot("12-away")
        program.start()
        door.behind = program.address()
        page.wait_for_selector("#stale", state="hidden")
        page.wait_for_selector("#task-state:text-is('succeeded')")
        page.wait_for_selector("#task-facts dd:text-is('simulated')")
    finally:
        if visit is not None:
            visit.leave()
        program.end()
        door.close()
