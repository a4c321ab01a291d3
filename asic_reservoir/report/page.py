"""The page: one self-contained HTML file, readable on a phone, on paper and by a screen reader.

Nothing is loaded from anywhere: pictures are SVG in data URIs, styles are inline, and the page's own content policy
forbids the rest. Everything that comes from data is escaped.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from asic_reservoir.board import Origin
from asic_reservoir.report.alt_text import describe, describe_ladder
from asic_reservoir.report.model import Figure, ReportData
from asic_reservoir.report.plots import draw, draw_ladder
from asic_reservoir.report.words import ORIGIN_WORDS, title_of

OWN_ROWS = ("silicon", "silicon_present_only", "host_silicon", "difference")
"""Rows that the table sets off: what the board took part in."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as the page shows it."""

    id: str
    title: str
    caption: str
    alt: str
    src: str
    """Data URI of the SVG."""


def render_html(report: ReportData) -> str:
    """The report as one HTML page. Equal reports give equal bytes.

    >>> from asic_reservoir.report.model import Row, Verdict
    >>> page = render_html(ReportData(origin="simulated", board="twin://s9", task="narma10",
    ...     rows=[Row.of("silicon", [0.3, 0.31])], verdict=Verdict(label="undecided", sentence="<b>Two seeds.</b>")))
    >>> "&lt;b&gt;Two seeds." in page, "http" in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    (True, False)
    """
    ladder = Picture(
        id="ladder",
        title="Ladder of errors",
        caption="Dots: mean over seeds. Bars: 95 % interval. Ticks: single seeds.",
        alt=describe_ladder(report.rows, report.origin),
        src=data_uri(draw_ladder(report.rows, report.origin)) if report.rows else "",
    )
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            title=report.title or f"{report.task} on {report.board}",
            board=report.board,
            origin=report.origin.value,
            origin_words=ORIGIN_WORDS[report.origin.value],
            provenance=report.provenance,
            rule=report.NRMSE_RULE,
            ladder=ladder,
            figures=[picture(figure, report.origin) for figure in report.figures],
            own=OWN_ROWS,
            settings_shown=bool(report.settings),
        )
    )


def picture(figure: Figure, origin: Origin) -> Picture:
    """A figure drawn and described."""
    return Picture(figure.id, figure.title, figure.caption, describe(figure, origin), data_uri(draw(figure, origin)))


def data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates of the pages, autoescaping always on."""
    made = Environment(
        loader=PackageLoader("asic_reservoir.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["cell"] = cell
    made.filters["words"] = lambda name: str(name).replace("_", " ")
    made.filters["row_title"] = title_of
    made.filters["score"] = lambda value: f"{value:.4f}".replace("-", "−")
    return made


def cell(value: object) -> str:
    """A value as a table shows it: numbers with four significant digits, a gap as a dash.

    >>> cell(0.123456), cell(12345), cell(None), cell(True), cell("text")
    ('0.1235', '12,345', '–', 'yes', 'text')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
