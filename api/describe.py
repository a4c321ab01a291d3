"""What boards are, asked in a process of its own: ``python -m api.describe URI…``, a JSON document a line.

To open a board takes libraries (a compiler for twins, drivers) that a service does not need for the rest of its life:
130 MB of memory and a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asic_reservoir import errors
from asic_reservoir.errors import AsicReservoirError, DataError
from asic_reservoir.registry import open_board
from asic_reservoir.store.documents import board_document


@dataclass(frozen=True, slots=True)
class Description:
    """What the shelf keeps of a board."""

    uri: str
    """Of the device, without what is only for this opening."""
    family: str
    model: str
    origin: str
    document: dict[str, Any]


def describe(uri: str, identity: str | None = None) -> Description:
    """Open a board once, here; with another URI as its own where ``identity`` gives one.

    Raises what :func:`asic_reservoir.registry.open_board` raises.
    """
    with open_board(uri) as board:
        info = board.info if identity is None else replace(board.info, uri=identity)
    return Description(info.uri, info.family, info.model, info.origin.value, board_document(info))


def describe_each(uris: Sequence[str]) -> list[Description | AsicReservoirError]:
    """The same for several, in a process that ends; for what cannot be opened, why, as it said.

    Raises:
        DataError: the process ended before it had said something of each.
    """
    words = [sys.executable, "-m", "api.describe", *uris]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    found: list[Description | AsicReservoirError] = []
    for line in done.stdout.splitlines():
        content = json.loads(line)
        if "error" in content:
            kind: type[AsicReservoirError] = getattr(errors, content["error"], AsicReservoirError)
            found.append(kind(content["message"]))
        else:
            found.append(Description(**content))
    if len(found) != len(uris):
        raise DataError(f"board {uris[len(found)]}: the process that opened it ended ({done.returncode})")
    return found


def main(uris: Sequence[str]) -> int:
    """Print a line for each: what it is, or why it cannot be opened."""
    for uri in uris:
        try:
            seen = describe(uri)
        except AsicReservoirError as error:
            print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
        else:
            print(json.dumps({name: getattr(seen, name) for name in Description.__dataclass_fields__}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
