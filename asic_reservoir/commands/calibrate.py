"""``asic-reservoir calibrate BOARD``: what a board really does, found by asking it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asic_reservoir.remote import Server

if TYPE_CHECKING:
    from rich.table import Table

    from asic_reservoir.calibration import Calibration, Effort


def register(app: typer.Typer) -> None:
    app.command("calibrate")(calibrate)


def calibrate(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="URI of the board: twin://lv06?seed=1, bm1366://usb")],
    out: Annotated[Path, typer.Option(help="File of the record.")] = Path("calibration.json"),
    sections: Annotated[
        str, typer.Option(help="Comma-separated: mask, rate, voltage, frequency, thermal, timestamps, edges.")
    ] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Keep the sections that --out already holds.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Touch nothing: print every write, as a twin of the board would have it.")
    ] = False,
    nonces: Annotated[int, typer.Option(help="Nonces at every point of an edge.", min=20, max=100_000)] = 250,
    thermal_seconds: Annotated[float, typer.Option(help="Length of warming and of cooling.", min=20, max=7200)] = 300.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No live table.")] = False,
    server: Server = None,
) -> None:
    """Find share filter, rate law, voltage reading, clock response, thermal time constant, time stamps and edges.

    Everything stays within the board's limits. Ctrl-C leaves the board safe and keeps what was found, every edge by
    itself; --resume goes on. A board that is in trouble (overheat fallback, a voltage that does not follow) has that
    named in the record.
    """
    from asic_reservoir.calibration import SECTIONS, Effort, load_calibration
    from asic_reservoir.errors import UsageError

    wanted = tuple(part.strip() for part in sections.split(",") if part.strip()) or SECTIONS
    for name in wanted:
        if name not in SECTIONS:
            raise UsageError(f"--sections: {name!r}, must be of {', '.join(SECTIONS)}")
    if server is not None:
        from asic_reservoir.remote import board_name, only_here, run_remote

        only_here(server, resume=(resume, False), dry_run=(dry_run, False))
        params = {"sections": list(wanted), "nonces": nonces, "thermal_seconds": thermal_seconds}
        run_remote(server, "calibrate", board_name(board, board, ""), params, json_file=out, quiet=quiet)
        return
    effort = Effort(edge_nonces=nonces, thermal_s=thermal_seconds)
    if dry_run:
        _dry_run(board, effort, wanted)
        return
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out: {str(out)!r}, its folder must exist")
    before = load_calibration(out) if resume else None
    _run(board, effort, wanted, before, out, quiet)


def _run(
    board: str, effort: Effort, wanted: tuple[str, ...], before: Calibration | None, out: Path, quiet: bool
) -> None:
    from rich.console import Console
    from rich.live import Live

    from asic_reservoir.calibration import Calibrator, save_calibration
    from asic_reservoir.calibration.procedure import blank_record, findings_of
    from asic_reservoir.errors import DataError, SafetyError
    from asic_reservoir.registry import open_board

    saved = before
    with _interrupted_once():
        try:
            opened = open_board(board)
        except SafetyError as error:
            if error.info is not None:  # what it was found in is a result
                record = before if before is not None and before.board == error.info.uri else blank_record(error.info)
                found = [finding for finding in findings_of(error) if finding not in record.findings]
                record = record.model_copy(update={"findings": [*record.findings, *found]})
                save_calibration(record, out)
                Console().print(_table(record, ""))
                typer.echo(f"record: {out}")
            raise
        with opened:
            if before is not None and before.board != opened.info.uri:
                raise DataError(f"--resume: the record is of {before.board!r}, must be of {opened.info.uri!r}")

            def keep() -> None:
                nonlocal saved
                if calibrator.record.sections() and calibrator.record != saved:
                    saved = calibrator.record
                    save_calibration(saved, out)

            def progress(section: str, line: str) -> None:
                keep()
                live.update(_table(calibrator.record, f"{section}: {line}"))

            calibrator = Calibrator(opened, effort, before, progress)
            with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
                if quiet:
                    live.stop()
                try:
                    for _ in calibrator.run(wanted):
                        keep()
                finally:
                    keep()
                    live.stop()
                    if saved is not None:
                        Console().print(_table(calibrator.record, ""))
                        typer.echo(f"record: {out}")


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Ctrl-C and SIGTERM interrupt once; from then on the board is being made safe, and a third goes at once."""
    import os
    import signal
    from types import FrameType

    times = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        if times == 1:
            raise KeyboardInterrupt
        if times == 2:
            typer.echo("the board is being made safe; once more leaves that to its guard", err=True)
        else:
            os._exit(130)

    before = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _dry_run(board: str, effort: Effort, wanted: tuple[str, ...]) -> None:
    """The same procedure on a twin of the board's path; every step printed, nothing touched."""
    from asic_reservoir.calibration import Calibrator
    from asic_reservoir.calibration.dry_run import DryBoard, dry_path

    path = dry_path(board)
    typer.echo(f"# what would be written to {board}; where the way depends on answers, those of a twin")
    if path.around:
        typer.echo(f"# beside the steps: {path.around}")
    with DryBoard(path, typer.echo) as dry:
        for name in Calibrator(dry, effort).run(wanted):
            typer.echo(f"# {name} done")


def _table(record: Calibration, now: str) -> Table:
    from rich.table import Table

    table = Table(title=f"{record.board} ({record.origin.value})", caption=now or None, title_justify="left")
    table.add_column("section")
    table.add_column("found")
    if record.mask:
        table.add_row("mask", f"{record.mask.measured} (asked for {record.mask.requested}; {record.mask.estimate:.3g})")
    if record.rate:
        table.add_row("rate law", f"{record.rate.overall:.3f} ± {record.rate.standard_error:.3f} of expected")
    if record.voltage and record.voltage.set_mv:
        table.add_row("voltage", f"read {record.voltage.slope:.3f} of set, over {len(record.voltage.set_mv)} settings")
    if record.frequency:
        part = record.frequency
        table.add_row("clock", f"{part.actual_mhz:.1f} MHz for {part.to_mhz:.1f}, settles in {part.settling_s:.2f} s")
    if record.thermal:
        table.add_row("thermal", f"τ = {record.thermal.time_constant_s:.1f} ± {record.thermal.standard_error_s:.1f} s")
    if record.timestamps:
        part_t = record.timestamps
        table.add_row(
            "time stamps", f"{part_t.source}, grain {part_t.grain_us:g} µs, p(exp) {part_t.exponential_p:.2g}"
        )
    for edge in record.edges or []:
        if edge.edge_mhz is None:
            text = f"above {edge.highest_tried_mhz:.1f} MHz ({100 * edge.error_at_highest:.1f} % wrong there)"
        else:
            beyond = ", extrapolated" if edge.extrapolated else ""
            text = f"{edge.edge_mhz:.1f} ± {edge.standard_error_mhz or 0.0:.1f} MHz{beyond}"
        table.add_row(f"edge at {edge.voltage_mv:.0f} mV", text)
    for quantity, reason in record.cannot.items():
        table.add_row("not from this path", f"{quantity}: {reason}")
    for finding in record.findings:
        table.add_row("FINDING", finding, style="bold")
    return table
