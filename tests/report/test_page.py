"""The page: self-contained, escaped, the same bytes for the same data, the origin on every figure and table."""

import base64
import hashlib
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_model import a_report

from asic_reservoir.board import Origin
from asic_reservoir.report import Check, Verdict
from asic_reservoir.report.page import render_html
from asic_reservoir.report.plots import draw, draw_ladder
from asic_reservoir.report.words import ROW_TITLES, ROW_WORDS


class Page(HTMLParser):
    """Tags of a page, and their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def whole():
    return render_html(a_report(origin="replayed"))


def test_nothing_is_loaded_from_anywhere(whole):
    text = whole
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    for image in page.all("img"):
        svg = base64.b64decode(image["src"].split(",", 1)[1]).decode()
        assert "<script" not in svg
        assert not re.search(r'href="(?!#|data:)', svg)


def test_every_figure_and_table_says_its_origin_and_every_picture_has_words(whole):
    page = Page(whole)
    pictures, tables = page.all("img"), page.all("table")
    assert len(pictures) == 5
    assert len(tables) == 2
    for part in re.findall(r"<(?:figure|table).*?</(?:figcaption|caption)>", whole, re.S):
        assert 'class="badge replayed"' in part
    assert all("(replayed)" in picture["alt"] and len(picture["alt"]) > 40 for picture in pictures)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_text_from_data_is_escaped():
    nasty = '<script>alert("x")</script>'
    report = a_report(
        figures=[],
        rows=[],
        board=nasty,
        task=nasty,
        notes=[nasty],
        settings={nasty: nasty},
        verdict=Verdict(label="undecided", sentence=nasty, checks=[Check(name=nasty, passed=False, sentence=nasty)]),
    )
    assert "<script" not in render_html(report)


def test_a_run_without_controls_says_so_first():
    text = render_html(a_report(controls=False, figures=[], rows=[]))
    assert text.index("Run without its controls") < text.index("The board adds something.")
    assert "Run without its controls" not in render_html(a_report(figures=[], rows=[]))


def test_a_report_with_nothing_but_a_verdict_renders():
    text = render_html(a_report(rows=[], figures=[], tables=[], notes=[], settings={}))
    assert "The ladder" not in text
    assert "Figures" not in text


def test_every_promised_row_has_words():
    assert set(ROW_WORDS) == set(ROW_TITLES)


PROGRAM = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_model import a_report
from asic_reservoir.report.page import render_html
print(hashlib.sha256(render_html(a_report(origin="replayed")).encode()).hexdigest())
"""


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(tmp_path, whole):
    # Another hash seed, another home with its own matplotlibrc: neither reaches the page.
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    environment = {**os.environ, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    program = PROGRAM.format(folder=str(Path(__file__).parent))
    other = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert other.stdout.strip() == hashlib.sha256(whole.encode()).hexdigest()


def test_pictures_are_plain_svg_without_a_date():
    report, origin = a_report(), Origin.MEASURED
    for svg in [draw_ladder(report.rows, origin), *(draw(figure, origin) for figure in report.figures)]:
        assert svg.startswith(b"<?xml")
        assert b"<dc:date>" not in svg
        assert b"matplotlib" not in svg.lower().replace(b"matplotlib.axis", b"")
