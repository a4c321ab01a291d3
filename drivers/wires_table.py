"""The table of all wires as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from drivers.wires_row import WireRow

COMFORTABLE = 120
"""Characters that the table needs; a terminal of fewer folds its words."""


def render(rows: Sequence[WireRow]) -> Group:
    """A few lines a board; the origin stands with the board's name, the reasons of failures below the table."""
    table = Table(
        title="NARMA-10 through every driver; intervals of 95 %",
        caption="Rates at the set point before the run; what was lost or came wrong is counted over all steps.",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 1, 0),
    )
    for heading, fixed in (
        ("board", True),
        ("path", False),
        ("stamps", True),
        ("nonces/s\nexpected", True),
        ("nonces/s\nseen", True),
        ("NRMSE", True),
        ("NRMSE of\nhost alone", True),
        ("verdict", False),
        ("counted", True),
    ):
        table.add_column(heading, no_wrap=fixed, overflow="fold")
    for row in rows:
        rate, counted = row.rate, row.counted
        table.add_row(
            f"{row.name}\n{row.origin}",
            row.path or row.board,
            row.timestamps,
            "" if rate is None else f"{rate.expected_hz:.4g}",
            "" if rate is None else f"{rate.seen_hz:.4g}\n{rate.low_hz:.4g} … {rate.high_hz:.4g}",
            _score(row.nrmse),
            _score(row.host_nrmse),
            "failed" if row.error else row.verdict,
            ""
            if counted is None
            else (
                f"{counted.lost} lost\n{counted.duplicate} duplicate\n{counted.stale} stale\n{counted.invalid} invalid"
            ),
            style="red" if row.error else None,
        )
    reasons = [Text(f"{row.name} failed: {row.error}", style="red") for row in rows if row.error]
    return Group(table, *reasons)


def _score(interval: tuple[float, float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f}\n{interval[1]:.3f} … {interval[2]:.3f}"
