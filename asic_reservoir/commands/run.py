"""``asic-reservoir run``, ``boards`` and ``demo``: the main job at the terminal."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from asic_reservoir.remote import Server

if TYPE_CHECKING:
    from asic_reservoir.calibration import Calibration
    from asic_reservoir.executors import Executor, RayCluster
    from asic_reservoir.report.model import ReportData
    from asic_reservoir.run_settings import RunSettings


class EdgeSource(TypedDict, total=False):
    """Where the edge of a board comes from."""

    calibration: Calibration | None
    edge_limit_s: float


DEMO_SEEDS = 5
"""As many draws as the rules of the verdict ask for; `run` takes ten."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(boards)
    app.command()(demo)


def run(
    task: Annotated[str, typer.Argument(help="A task by name (narma10, …), or a .csv, .npy or .parquet file.")],
    board: Annotated[str, typer.Option(help="URI of the board.")] = "twin://s9?seed=1",
    seeds: Annotated[int, typer.Option(help="Independent draws of input and mask.")] = 10,
    first_seed: Annotated[int, typer.Option(help="Seed of the first draw.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of a draw [default: 8200, or all rows of a file].")] = None,
    step_seconds: Annotated[float, typer.Option(help="Board time of one step in s.")] = 10.0,
    encoding: Annotated[
        str, typer.Option(help="chip-frequency, frequency, voltage, difficulty, work; auto takes what the board has.")
    ] = "auto",
    mode: Annotated[str, typer.Option(help="constant, monologue or dialogue.")] = "monologue",
    lags: Annotated[int, typer.Option(help="Past inputs that the encoding mixes; 1 sees u[t] only.")] = 20,
    slots: Annotated[int, typer.Option(help="Time slots of a step, each with a mask of its own.")] = 2,
    difficulty: Annotated[int | None, typer.Option(help="Share filter; the board's own if left out.")] = None,
    observables: Annotated[
        str, typer.Option(help="Comma-separated: counts, valid, board, thermal, response.")
    ] = "counts",
    preset: Annotated[str, typer.Option(help="published: the setting of the papers.")] = "",
    controls: Annotated[bool, typer.Option(help="Run the controls; without them the report is marked.")] = True,
    curve: Annotated[bool, typer.Option(help="Also measure the error against nonces a step.")] = True,
    calibration: Annotated[
        Path | None, typer.Option(help="Record of 'calibrate' for this board: its edge is not searched then.")
    ] = None,
    edge_minutes: Annotated[
        float,
        typer.Option(help="Board time that the search for the edge of a real board may take.", min=1, max=100_000),
    ] = 120.0,
    out: Annotated[Path | None, typer.Option(help="Folder for records and report.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that --out holds.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the report's JSON here ('-': print it).")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes for twins [default: one a core].")] = None,
    executor: Annotated[str, typer.Option(help="Where twins are computed: processes, or ray.")] = "processes",
    ray_address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A Ray cluster that is there [default: one on this machine]."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
    server: Server = None,
) -> None:
    """Run a task on a board with its controls, and say what the silicon contributed.

    Exit codes: 0 done, 2 usage, 3 not found, 5 safety, 6 time-out, 7 server, 8 data, 130 interrupted (what was
    recorded is kept in --out).
    """
    from asic_reservoir.errors import UsageError
    from asic_reservoir.remote import board_name, only_here, run_remote
    from asic_reservoir.report.files import check_folder

    if json_file is not None and str(json_file) != "-":
        check_folder(json_file)
    names = [name.strip() for name in observables.split(",") if name.strip()]
    if server is not None:
        here = {"resume": (resume, False), "workers": (workers, None), "executor": (executor, "processes")}
        only_here(server, **here, ray_address=(ray_address, None))
        only_here(server, calibration=(calibration, None), edge_minutes=(edge_minutes, 120.0))
        params = {
            "seeds": seeds, "first_seed": first_seed, "steps": steps, "step_seconds": step_seconds,
            "encoding": encoding, "mode": mode, "lags": lags, "slots": slots, "difficulty": difficulty,
            "observables": names, "preset": preset, "controls": controls, "curve": curve,
        }  # fmt: skip
        series = Path(task) if Path(task).suffix else None
        kind, named = ("series", {}) if series else ("experiment", {"task": task})
        place = board_name(board, "s9", "twin://s9?seed=1")
        run_remote(server, kind, place, params | named, out=out, json_file=json_file, series=series, quiet=quiet)
        return
    if resume and out is None:
        raise UsageError("--resume: needs --out with the folder of the run to go on with")
    if resume and out is not None and not (out / "run.json").exists():
        raise UsageError(f"--resume: folder {str(out)!r} holds no run, must be one that 'run --out' made")
    if out is not None and not resume and (out / "run.json").exists():
        raise UsageError(f"--out: folder {str(out)!r} holds a run already; add --resume to go on with it")
    settings = _settings(
        task=task,
        board=board,
        seeds=seeds,
        first_seed=first_seed,
        steps=steps if steps is not None else _default_steps(task),
        step_seconds=step_seconds,
        encoding=encoding,
        mode=mode,
        lags=lags,
        slots=slots,
        difficulty=difficulty,
        observables=tuple(names),
        preset=preset,
        controls=controls,
        curve=curve,
    )
    chosen = _executor(executor, ray_address, workers)
    edges = _edge_source(calibration, edge_minutes)
    with chosen or nullcontext():  # a cluster that is not there is named before anything is computed
        report = _execute(settings, out, workers, quiet or str(json_file) == "-", chosen, edges)
    _deliver(report, out, json_file, quiet)


def _edge_source(calibration: Path | None, edge_minutes: float) -> EdgeSource:
    """What an encoding is centred on."""
    from asic_reservoir.calibration import load_calibration

    return {
        "calibration": None if calibration is None else load_calibration(calibration),
        "edge_limit_s": 60.0 * edge_minutes,
    }


def _executor(name: str, ray_address: str | None, workers: int | None) -> RayCluster | None:
    """None: processes of this machine."""
    from asic_reservoir.errors import UsageError

    if name == "ray":
        from asic_reservoir.executors import RayCluster

        return RayCluster(ray_address, workers, lambda text: typer.echo(text, err=True))
    if name != "processes":
        raise UsageError(f"--executor: {name!r}, must be 'processes' or 'ray'")
    if ray_address is not None:
        raise UsageError("--ray-address: given without --executor ray")
    return None


def boards(
    json_output: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the board schemes that are installed, and the twins that are embedded."""
    import json

    from asic_reservoir.registry import schemes
    from asic_reservoir.twin.spec import SPECS

    twins = [
        {
            "uri": f"twin://{spec.family}?seed=1",
            "model": spec.model,
            "chips": f"{spec.n_chips} x {spec.chip.name}",
            "algorithm": spec.algorithm,
            "frequency_mhz": [spec.limits.frequency_mhz.low, spec.limits.frequency_mhz.high],
            "voltage_mv": [spec.limits.voltage_mv.low, spec.limits.voltage_mv.high],
            "ticket_mask": spec.ticket_mask,
            "origin": "simulated",
        }
        for spec in SPECS.values()
    ]
    if json_output:
        typer.echo(json.dumps({"schemes": sorted(schemes()), "twins": twins}, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Embedded twins (simulated)")
    for column in ("URI", "model", "chips", "MHz", "mV", "mask"):
        table.add_column(column)
    for twin in twins:
        low_high = [f"{twin[key][0]:g}-{twin[key][1]:g}" for key in ("frequency_mhz", "voltage_mv")]  # type: ignore[index]
        table.add_row(str(twin["uri"]), str(twin["model"]), str(twin["chips"]), *low_high, str(twin["ticket_mask"]))
    console = Console()
    console.print(table)
    console.print(f"Schemes: {', '.join(f'{name}://' for name in sorted(schemes()))}")


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("out/demo"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
) -> None:
    """NARMA-10 on the twin of an S9, and the recording of a real one; writes reports to open.

    Done again with the same folder it goes on from what is there.
    """
    from asic_reservoir.inspection import inspect, watch
    from asic_reservoir.registry import open_board
    from asic_reservoir.report.files import write_atomic
    from asic_reservoir.report.inspection_page import render_inspection
    from asic_reservoir.run_settings import RunSettings

    report = _execute(RunSettings(seeds=DEMO_SEEDS, curve=False), out, None, quiet)
    _deliver(report, out, None, quiet)
    with open_board("replay://s9-shares") as recording:
        page = render_inspection(inspect(watch(recording, 1e6)))
    write_atomic(out / "s9-recording.html", page.encode())
    if not quiet:
        typer.echo(f"Recording of a real S9: {out / 's9-recording.html'}")


def _default_steps(task: str) -> int:
    from asic_reservoir.tasks import FileTask, open_task

    found = open_task(task)
    return len(found.input) if isinstance(found, FileTask) else 8200


def _settings(**values: object) -> RunSettings:
    """Settings from options; a wrong one is named with its value and what is right."""
    from pydantic import ValidationError

    from asic_reservoir.errors import UsageError
    from asic_reservoir.run_settings import RunSettings

    try:
        return RunSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
        shown = "" if not first["loc"] else f"{first['input']!r}, "
        text = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {shown}{text[:1].lower()}{text[1:]}") from None


def _execute(
    settings: RunSettings,
    out: Path | None,
    workers: int | None,
    quiet: bool,
    executor: Executor | None = None,
    edges: EdgeSource | None = None,
) -> ReportData:
    """Run, with a line of progress on stderr; Ctrl-C ends it cleanly."""
    import signal
    from types import FrameType

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from asic_reservoir.drive import Interrupted
    from asic_reservoir.experiment import run_experiment

    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt  # asked twice: at once
        stopping = True
        if not quiet:
            typer.echo("stopping after this step; once more stops at once", err=True)

    before = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, stop)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
            line = bar.add_task("starting", total=None)

            def progress(done: int, total: int, text: str) -> None:
                bar.update(line, completed=done, total=total if done else None, description=text)

            return run_experiment(
                settings,
                folder=out,
                progress=progress,
                cancelled=lambda: stopping,
                workers=workers,
                executor=executor,
                **(edges or {}),
            )
    except Interrupted:
        if out is not None:
            typer.echo(f"stopped; what was recorded is in {out}, go on with --resume", err=True)
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _deliver(report: ReportData, out: Path | None, json_file: Path | None, quiet: bool) -> None:
    from asic_reservoir.report.files import write_atomic, write_report

    if out is not None:
        _, page = write_report(report, out)
    if json_file is not None:
        if str(json_file) == "-":
            typer.echo(report.to_json(), nl=False)
            return
        write_atomic(json_file, report.to_json().encode())
    if quiet:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report.task} on {report.board} ({report.origin.value})")
    for column in ("row", "NRMSE", "95 % interval", "seeds"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for row in report.rows:
        interval = f"[{row.nrmse.low:.4f}, {row.nrmse.high:.4f}]"
        table.add_row(
            row.name, f"{row.nrmse.mean:.4f}", interval, str(row.n_seeds), style="bold" * ("silicon" in row.name)
        )
    console = Console()
    console.print(table)
    if not report.controls:
        console.print("Run without its controls: no score here counts as evidence.", style="bold")
    console.print(report.verdict.sentence, soft_wrap=True, markup=False, highlight=False)
    if out is not None:
        console.print(f"Report: {page}", soft_wrap=True, markup=False, highlight=False)
