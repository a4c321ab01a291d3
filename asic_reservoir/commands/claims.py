"""``asic-reservoir claims``: the published claims, what tasks of a service found of them, or all of them tried here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

HERE = "http://127.0.0.1:8337"


def register(app: typer.Typer) -> None:
    app.command("claims")(claims)


def claims(
    board: Annotated[
        str | None, typer.Option(metavar="URI", help="Try them on this board, here, without a service.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CLAIM", help="With --board: only this one; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="With --board: for the ledger and a report a claim.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    server: Annotated[
        str,
        typer.Option(metavar="URL", envvar="ASIC_RESERVOIR_SERVER", help="The service; its key in ASIC_RESERVOIR_KEY."),
    ] = HERE,
) -> None:
    """List the published claims, with what tasks of a service found of each; or try them on a board.

    On a twin the whole list takes minutes, most of them for the two runs of NARMA-10 and the rounds of SHA-256. On a
    real board the sweep of voltage, clock and difficulty alone takes hours.
    """
    from asic_reservoir.errors import UsageError

    if board is None:
        if only or out is not None:
            raise UsageError("claims: --only and --out, must come with --board")
        _list(as_json, server)
    else:
        _try(board, only or [], out, as_json)


def _list(as_json: bool, server: str) -> None:
    from asic_reservoir.client import Client

    with Client(server) as client:
        found = client.claims()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for claim in found:
        origin = f" ({claim['origin']})" if claim["origin"] else ""
        typer.echo(f"{claim['id']}: {claim['standing']}{origin}\n  {claim['title']}\n  published: {claim['published']}")
        for result in claim["results"]:
            task = f" (task {result['task']})" if result["task"] else ""
            typer.echo(f"  {result['board']}, {result['origin']}: {result['measured']['sentence']}{task}")
        if claim["missing"] is not None:
            typer.echo(f"  cannot be tried: {claim['missing']}")
        elif not claim["results"] and claim["test"] is not None:
            settings = "".join(f" --set {name}={value}" for name, value in claim["test"]["params"].items())
            typer.echo(f"  try it: asic-reservoir task submit {claim['test']['kind']} --board NAME{settings}")


def _try(board: str, only: list[str], out: Path | None, as_json: bool) -> None:
    import sys
    import tempfile

    from asic_reservoir.claim_ledger import try_claims
    from asic_reservoir.claims import claim_of
    from asic_reservoir.errors import UsageError
    from asic_reservoir.report.files import write_atomic

    if "://" not in board:
        raise UsageError(f"board {board!r}: must be a URI; on a board of a service submit its tasks, see 'claims'")
    for name in only:
        claim_of(name)  # before anything runs

    def told(claim: str, done: int, total: int, text: str) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{claim}: {done} of {total} {text}\033[K", nl=False, err=True)

    with tempfile.TemporaryDirectory() as scratch:
        entries = try_claims(board, out or Path(scratch), only, told)
    if sys.stderr.isatty():
        typer.echo("", err=True)
    document = json.dumps({"board": board, "claims": [entry.to_dict() for entry in entries]}, indent=1, allow_nan=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "ledger.json", document.encode())
    if as_json:
        typer.echo(document)
        return
    for entry in entries:
        origin = f" ({entry.origin})" if entry.origin else ""
        typer.echo(
            f"{entry.claim.id}: {entry.standing}{origin}\n  published: {entry.claim.published}\n  {entry.sentence}"
        )
