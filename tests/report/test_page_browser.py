"""The page in a real browser: nothing is fetched, it fits a phone, and an accessibility checker finds nothing."""

import os
import shutil

import pytest
from test_model import a_report

from asic_reservoir.inspection import inspect, watch
from asic_reservoir.registry import open_board
from asic_reservoir.report.inspection_page import render_inspection
from asic_reservoir.report.page import render_html

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("no Chromium on the path, and REQUIRE_SERVICES=1")
        pytest.skip("no Chromium on the path")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    with open_board("replay://s9-shares") as board:
        found = inspect(watch(board, 60))
    (folder / "report.html").write_text(render_html(a_report()))
    (folder / "inspection.html").write_text(render_inspection(found))
    return folder


@pytest.mark.parametrize("name", ["report", "inspection"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_page(browser, pages, name, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(90_000)
    fetched, messages = [], []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto((pages / f"{name}.html").as_uri())
    assert [url for url in fetched if not url.startswith("data:")] == [(pages / f"{name}.html").as_uri()]
    assert messages == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    context.close()
