"""``asic-reservoir store``: what is kept, whether it is sound, and what may go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from asic_reservoir.errors import DataError, NotFoundError, UsageError
from asic_reservoir.remote import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from asic_reservoir.board import Board
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.library import Library
    from asic_reservoir.store.recorder import Recorder

store = typer.Typer(
    name="store",
    no_args_is_help=True,
    help="Recorded runs: record, list, verify, compact, prune, export, import, recover.",
    pretty_exceptions_enable=False,
)

Root = Annotated[
    Path, typer.Option("--store", envvar="ASIC_RESERVOIR_STORE", metavar="FOLDER", help="Where the runs are kept.")
]
Database = Annotated[
    str | None,
    typer.Option("--db", envvar="ASIC_RESERVOIR_DB", metavar="URL", help="Facts; without it facts.db in the store."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Identifier, its beginning, or the path of a run folder.")]
_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("run", "left"), ("created (UTC)", "left"), ("origin", "left"), ("board", "left"), ("nonces", "right"),
    ("bytes", "right"), ("state", "left"),
)  # fmt: skip
DEFAULT_ROOT = Path("asic-reservoir-store")


def register(app: typer.Typer) -> None:
    app.add_typer(store, rich_help_panel=None)


@store.command("ls")
def list_runs(root: Root = DEFAULT_ROOT, db: Database = None, as_json: Json = False, server: Server = None) -> None:
    """List the runs of the store, the oldest first; with --server those of a service, the newest first."""
    from datetime import UTC, datetime

    if server is not None:
        from asic_reservoir.client import Client

        with Client(server) as client:
            runs = list(client.recordings())
        if as_json:
            _print_json(runs)
        for one in runs if not as_json else ():
            shelf = f"  plays as {one['shelf']}" if one["shelf"] else ""
            part = "  partial" if one["partial"] else ""
            state = f"{one['origin']:9}  {one['state']:9}  {one['nonces']:>12,}"
            typer.echo(f"{one['id']}  {one['created']}  {state}  {one['board']}{part}{shelf}")
        return
    with _library(root, db) as library:
        found = library.summaries()
    rows = [
        {
            "run": run.run_id,
            "created": datetime.fromtimestamp(run.created_utc_ns / 1e9, UTC).isoformat(timespec="seconds"),
            "origin": run.origin,
            "board": run.board,
            "nonces": run.rows,
            "bytes": run.bytes,
            "state": run.state,
        }
        for run in found
    ]
    if as_json:
        _print_json(rows)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table

    length = _telling([run.run_id for run in found])
    fixed = ("run", "created (UTC)")
    table = Table(
        *(Column(name, overflow="fold", no_wrap=name in fixed, justify=side) for name, side in _COLUMNS),
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for run, row in zip(found, rows, strict=True):
        shown = row | {"run": run.run_id[:length], "created": str(row["created"])[:16].replace("T", " ")}
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in shown.values()))
    console = Console()
    # a pipe has no width of its own
    Console(width=None if console.is_terminal else max(console.width, 120)).print(table)


@store.command("record")
def record_board(
    uri: Annotated[
        str,
        typer.Argument(metavar="URI", help="The board, as twin://s9?seed=1; with --server a name of its shelf."),
    ],
    seconds: Annotated[
        float | None, typer.Option(help="How long at a point, in the board's own time.  [default: 60]")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="So many steps at a point, instead of --seconds.")] = None,
    step_seconds: Annotated[float, typer.Option(help="Length of a step.")] = 1.0,
    frequency_mhz: Annotated[float | None, typer.Option(help="Clock; as the board has it if left out.")] = None,
    voltage_mv: Annotated[float | None, typer.Option(help="Supply; as the board has it if left out.")] = None,
    difficulty: Annotated[int | None, typer.Option(help="Share filter; as the board has it if left out.")] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="JSON", help="One of several points, as '{\"frequency_mhz\":600}'; may be given often."),
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Fail before more MB than this are written.")] = 1000.0,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
    server: Server = None,
) -> None:
    """Record every nonce and sample of a board as a new run. Interrupted, it keeps what there is."""
    import json
    from contextlib import ExitStack

    from asic_reservoir.kinds import TaskContext, task_kind

    kind = task_kind("record")
    points = []
    for text in point or ():
        try:
            points.append(json.loads(text))
        except ValueError as error:
            raise UsageError(f"--point {text[:60]!r}: {error}, must be a JSON object") from None
    params = {"seconds": seconds, "n_steps": steps, "step_seconds": step_seconds, "points": points, "max_mb": max_mb}
    params |= {"frequency_mhz": frequency_mhz, "voltage_mv": voltage_mv, "difficulty": difficulty}
    settings = kind.parse(params)
    if server is not None:
        from asic_reservoir.remote import board_name, only_here, run_remote

        only_here(server, store=(root, DEFAULT_ROOT), db=(db, None))
        run_remote(server, "record", board_name(uri, uri, ""), params)
        return
    with ExitStack() as stack:
        # made when there is a board to record: nonsense leaves no folder behind
        kept = _Kept(lambda: stack.enter_context(_library(root, db, create=True)))
        try:
            kind.run(settings, TaskContext(uri, root, recordings=kept))
        finally:
            if (recorder := kept.recorder) is not None:
                origin, path = recorder.record.origin.value, recorder.folder.path
                seconds_kept = recorder.observed_ns / 1e9
                typer.echo(f"{path}: {recorder.nonces:,} nonces in {seconds_kept:g} s ({origin})")


class _Kept:
    """A store that knows what was recorded into it last, to say so however that ended."""

    def __init__(self, make: Callable[[], Library]) -> None:
        self._make = make
        self._library: Library | None = None
        self.recorder: Recorder | None = None

    @property
    def library(self) -> Library:
        self._library = self._library or self._make()
        return self._library

    @property
    def root(self) -> Path:
        return self.library.root

    def record(self, board: Board, provenance: dict[str, Any] | None = None) -> Recorder:
        self.recorder = self.library.record(board, provenance)
        return self.recorder


@store.command("verify")
def verify_run(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; without it all of the store.")] = None,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
    as_json: Json = False,
) -> None:
    """Read everything and compare it with its checks. Ends with code 8 where something is damaged.

    Every damage is named with file, bytes and rows. Nothing is changed.
    """
    from asic_reservoir.store.events.verify import verify

    damaged = 0
    report = {}
    for folder in _folders(run, root, db):
        found = verify(folder)
        damaged += len(found.damages)
        report[str(folder.path)] = {
            "files": found.files,
            "bytes": found.bytes,
            "rows": found.rows,
            "damages": [str(damage) for damage in found.damages],
            "notes": found.notes,
        }
        if not as_json:
            typer.echo(f"{folder.path}: {found.files} files, {found.rows:,} rows, {found.bytes:,} bytes")
            for damage in found.damages:
                typer.echo(f"  DAMAGED {damage}")
            for note in found.notes:
                typer.echo(f"  {note}")
    if as_json:
        _print_json(report)
    if damaged:
        raise DataError(
            f"{damaged} damages were found; 'store recover' mends logs and catalogue, "
            "'store export --partial' saves what is sound"
        )


@store.command("recover")
def recover_run(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; without it all of the store.")] = None,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
) -> None:
    """Put in order what a crash left: seal logs, delete half-written files, mend the catalogue."""
    for folder in _folders(run, root, db):
        if _in_store(folder, root):
            with _library(root, db) as library:
                report = library.recover(folder)
        else:
            from asic_reservoir.store.events.recover import recover

            lock = folder.lock()
            try:
                report = recover(folder)
            finally:
                lock.release()
        typer.echo(f"{folder.path}: {'in order' if report.clean else 'put in order'}")
        for line in report.lines():
            typer.echo(f"  {line}")


@store.command("compact")
def compact_run(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="One run; without it all of the store.")] = None,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
) -> None:
    """Merge small segments into large ones, which read faster."""
    with _library(root, db) as library:
        for folder in _folders(run, root, db):
            report = library.compact(folder)
            typer.echo(f"{folder.path}: {len(report.merged)} merged")
            for names, made in report.merged:
                typer.echo(f"  {len(names)} -> {made}")
            for reason in report.skipped:
                typer.echo(f"  left alone: {reason}")


@store.command("prune")
def prune_runs(
    thin_after_days: Annotated[
        float | None, typer.Option(help="Nonces that are so old become counts a chip and minute.")
    ] = None,
    delete_after_days: Annotated[float | None, typer.Option(help="Everything that is so old goes.")] = None,
    max_gigabytes: Annotated[float | None, typer.Option(help="The oldest goes until the store is that small.")] = None,
    summary_seconds: Annotated[float, typer.Option(help="Interval of the counts that are left.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
) -> None:
    """Thin or delete what is old or too much; never what a kept result refers to."""
    import math

    from asic_reservoir.store.events.retention import RetentionPolicy

    asked = {"--thin-after-days": thin_after_days, "--delete-after-days": delete_after_days}
    asked |= {"--max-gigabytes": max_gigabytes}
    if all(value is None for value in asked.values()):
        raise UsageError(f"prune: no rule is given, must be at least one of {', '.join(asked)}")
    for name, value in (asked | {"--summary-seconds": summary_seconds}).items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name}: {value}, must be a positive number")
    day = 86_400.0
    policy = RetentionPolicy(
        None if thin_after_days is None else thin_after_days * day,
        None if delete_after_days is None else delete_after_days * day,
        None if max_gigabytes is None else round(max_gigabytes * 1e9),
        summary_seconds,
    )
    with _library(root, db) as library:
        report, busy = library.prune(policy, dry_run=dry_run)
    for action in report.actions:
        verb = {"thin": "thinned", "delete": "deleted"}[action.verb]
        typer.echo(f"{'would be ' if dry_run else ''}{verb}: {action.folder.path.name}/{action.segment.file}")
    for action in report.held:
        typer.echo(f"held by a kept result: {action.folder.path.name}/{action.segment.file}")
    for reason in report.failed:
        typer.echo(f"could not be thinned: {reason}")
    for reason in busy:
        typer.echo(f"left alone: {reason}")
    typer.echo(f"{'would free' if dry_run else 'freed'} {report.freed_bytes:,} bytes")
    if report.over_bytes:
        typer.echo(f"still {report.over_bytes:,} bytes too large: the rest is held or could not be thinned")


@store.command("export")
def export(
    run: Run,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, for instance run.zip.")],
    partial: Annotated[bool, typer.Option("--partial", help="Leave out what is damaged or pruned.")] = False,
    root: Root = DEFAULT_ROOT,
    db: Database = None,
    server: Server = None,
) -> None:
    """Write a run into one file: Parquet and a manifest, readable by any tool."""
    if server is not None:
        from asic_reservoir.client import Client
        from asic_reservoir.remote import only_here
        from asic_reservoir.report.files import check_folder

        only_here(server, partial=(partial, False))
        check_folder(target)
        with Client(server) as client:
            client.download_recording(run, target.parent).replace(target)
        typer.echo(f"{target}: {target.stat().st_size:,} bytes")
        return
    from asic_reservoir.store.transfer import export_run

    (folder,) = _folders(run, root, db)
    export_run(folder.path, target, partial=partial)
    typer.echo(f"{target}: {target.stat().st_size:,} bytes")


@store.command("import")
def take_in(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of 'store export', or a CSV of S9 shares.")],
    root: Root = DEFAULT_ROOT,
    db: Database = None,
    server: Server = None,
    board: Annotated[
        str | None, typer.Option(help="With --server: play it under this name, as a board of its shelf.")
    ] = None,
) -> None:
    """Take an exported run or a published CSV into the store. Everything in it is checked first."""
    if server is not None:
        from asic_reservoir.client import Client

        with Client(server) as client:
            typer.echo(client.upload_recording(source, board)["id"])
        return
    with _library(root, db, create=True) as library:
        typer.echo(library.take_in(source).path)


def _library(root: Path, db: str | None, *, create: bool = False) -> Library:
    from asic_reservoir.store.library import Library

    if not create and not root.exists():
        raise NotFoundError(f"store {str(root)!r}: no such folder, must be given with --store or ASIC_RESERVOIR_STORE")
    return Library(root, db)


def _folders(run: str | None, root: Path, db: str | None) -> list[RunFolder]:
    """The run that is meant, or all; a path to a run folder needs no store."""
    from asic_reservoir.store.events.folder import RECORD, RunFolder

    if run is not None and (Path(run) / RECORD).is_file():
        return [RunFolder.at(Path(run))]
    with _library(root, db) as library:
        if run is not None:
            return [library.find(run)]
        return [RunFolder(summary.folder) for summary in library.summaries()]


def _telling(names: list[str]) -> int:
    """How many letters tell the names apart; every command takes the beginning of a name."""
    return next((n for n in range(13, 64) if len({name[:n] for name in names}) == len(names)), 64)


def _in_store(folder: RunFolder, root: Path) -> bool:
    return folder.path.resolve().parent == (root / "runs").resolve()


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=1))
