"""``asic-reservoir store``: what is kept, whether it is sound, and what may go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asic_reservoir.errors import DataError, NotFoundError

if TYPE_CHECKING:
    from asic_reservoir.store.events.folder import RunFolder
    from asic_reservoir.store.library import Library

store = typer.Typer(
    name="store",
    no_args_is_help=True,
    help="Recorded runs: list, verify, compact, prune, export, import, recover.",
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
DEFAULT_ROOT = Path("asic-reservoir-store")


def register(app: typer.Typer) -> None:
    app.add_typer(store, rich_help_panel=None)


@store.command("ls")
def list_runs(root: Root = DEFAULT_ROOT, db: Database = None, as_json: Json = False) -> None:
    """List the runs of the store, the oldest first."""
    from datetime import UTC, datetime

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
    from rich.console import Console
    from rich.table import Column, Table

    names = ("run", "created", "origin", "board", "nonces", "bytes", "state")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()))
    Console().print(table)


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
        raise DataError(f"{damaged} damages were found; 'store recover' repairs what can be repaired")


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
    from asic_reservoir.store.events.retention import RetentionPolicy

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
    for reason in (*report.failed, *busy):
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
) -> None:
    """Write a run into one file: Parquet and a manifest, readable by any tool."""
    from asic_reservoir.store.transfer import export_run

    (folder,) = _folders(run, root, db)
    export_run(folder.path, target, partial=partial)
    typer.echo(f"{target}: {target.stat().st_size:,} bytes")


@store.command("import")
def take_in(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of 'store export', or a CSV of S9 shares.")],
    root: Root = DEFAULT_ROOT,
    db: Database = None,
) -> None:
    """Take an exported run or a published CSV into the store. Everything in it is checked first."""
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


def _in_store(folder: RunFolder, root: Path) -> bool:
    return folder.path.resolve().parent == (root / "runs").resolve()


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=1))
