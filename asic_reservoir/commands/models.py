"""``asic-reservoir models``: trained readouts, of a service or of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

HERE = "http://127.0.0.1:8337"
Server = Annotated[
    str,
    typer.Option(metavar="URL", envvar="ASIC_RESERVOIR_SERVER", help="The service; its key in ASIC_RESERVOIR_KEY."),
]
ModelId = Annotated[str, typer.Argument(metavar="MODEL", help="Identifier of the model.")]


def register(app: typer.Typer) -> None:
    models = typer.Typer(help="Trained readouts: of a service, or of a file.", no_args_is_help=True)
    models.command("ls")(list_models)
    models.command("show")(show)
    models.command("get")(get)
    models.command("predict")(predict)
    app.add_typer(models, name="models")


def list_models(
    name: Annotated[str | None, typer.Option(help="Only of this name.")] = None, server: Server = HERE
) -> None:
    """List the models of a service, newest first."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        for model in client.models(name):
            typer.echo(f"{model.id}  {model.name:24}  version {model.version:<4}  {model.origin}  {model.created}")


def show(model: ModelId, server: Server = HERE) -> None:
    """Print what a model was trained on, and how its states are made, as JSON."""
    from asic_reservoir.client import Client

    with Client(server) as client:
        typer.echo(json.dumps(client.model(model), indent=1))


def get(
    model: ModelId,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to save it.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--as-json", help="JSON instead of NPZ.")] = False,
    server: Server = HERE,
) -> None:
    """Save a model: an NPZ that numpy.load reads, y = states @ weights + intercept."""
    from asic_reservoir.client import Client

    out.mkdir(parents=True, exist_ok=True)
    with Client(server) as client:
        typer.echo(str(client.download_model(model, out, "json" if as_json else "npz")))


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A file (.npz, .json), or an identifier of a service.")],
    states: Annotated[Path, typer.Argument(metavar="STATES", help="CSV without a header, or NPY: a row a step.")],
    server: Server = HERE,
) -> None:
    """Print y, one a line, for states; a model in a file needs no service."""
    from asic_reservoir.client import Client
    from asic_reservoir.trained import load_readout

    rows = _states(states)
    if Path(model).suffix in (".npz", ".json"):
        outputs = load_readout(model).predict(rows).tolist()  # type: ignore[arg-type]
    else:
        with Client(server) as client:
            outputs = client.predict(model, rows)
    for output in outputs:
        typer.echo(repr(output))


def _states(path: Path) -> object:
    """States as an array of shape (n_steps, n_states). Raises DataError, NotFoundError."""
    import numpy as np

    from asic_reservoir.errors import DataError, NotFoundError

    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
        else:
            array = np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:160]}, must be rows of numbers") from None
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise DataError(f"{path}: shape {array.shape} of {array.dtype}, must be (n_steps, n_states) of numbers")
    return array.astype(np.float64)
