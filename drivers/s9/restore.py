"""``python -m drivers.s9.restore``: give an S9 with Braiins firmware its configuration back.

The guard starts it when a driver has died; what to do comes as JSON on standard input. The miner process is started
anew only where its configuration is another.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from asic_reservoir.errors import AsicReservoirError
from drivers.s9.shell import Address, BraiinsShell


def order(address: Address, text: str) -> str:
    """What :func:`main` reads."""
    fields = {name: getattr(address, name) for name in ("host", "port", "user", "password")}
    return json.dumps({**fields, "known_hosts": str(address.known_hosts), "text": text})


def main() -> int:
    """Exit code of the error tree; its message on standard error."""
    given = json.load(sys.stdin)
    text = given.pop("text")
    shell = BraiinsShell(Address(**{**given, "known_hosts": Path(given["known_hosts"])}))
    try:
        if shell.read_config() != text:
            shell.write_config(text)
    except AsicReservoirError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
