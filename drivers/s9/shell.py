"""The shell of an S9 with Braiins firmware: its configuration file and its service, over SSH.

The miner is known by its host key: the first one seen is kept in a file of OpenSSH's format, and from then on no other
is talked to. The password goes to nobody else, and nobody else is told what to run.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from asic_reservoir.errors import SafetyError, ServerError, TimeoutExpiredError, UsageError

CONFIG_PATH = "/etc/bosminer.toml"
_LOGIN_S, _COMMAND_S = 10, 15


def default_known_hosts() -> Path:
    """``known_hosts`` of this user: of ASIC_RESERVOIR_KNOWN_HOSTS, or below the folder of settings."""
    named = os.environ.get("ASIC_RESERVOIR_KNOWN_HOSTS")
    if named:
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path.home() / ".config") / "asic-reservoir" / "known_hosts"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the shell is, and who we are there."""

    host: str
    port: int
    user: str
    password: str
    known_hosts: Path

    def __str__(self) -> str:
        return f"ssh {self.user}@{self.host}:{self.port}"


class _Acquaintance(asyncssh.SSHClient):
    """Remembers a host key that the file does not vouch for; takes it only on first contact."""

    def __init__(self, first: bool) -> None:
        self._first = first
        self.shown: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = key
        return self._first


class BraiinsShell:
    """Runs commands as root, each over a connection of its own."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def read_config(self) -> str:
        """The configuration file."""
        return self.run(f"cat {CONFIG_PATH}")

    def write_config(self, text: str) -> None:
        """Replace the configuration file as a whole, and start the miner process anew with it."""
        self.run(f"cat > {CONFIG_PATH}.new && mv {CONFIG_PATH}.new {CONFIG_PATH}", text)
        self.run("/etc/init.d/bosminer restart")

    def run(self, command: str, text: str | None = None) -> str:
        """What a command prints.

        Args:
            command: for the miner's shell.
            text: its standard input.

        Raises:
            SafetyError: another machine answers than the one whose key is kept, or one whose key was revoked.
            TimeoutExpiredError: nobody answers, or it does not let us in.
            ServerError: the command failed.
            UsageError: the file of known hosts cannot be read or written.
        """
        return asyncio.run(self._run(command, text))

    async def _run(self, command: str, text: str | None) -> str:
        address, kept = self.address, self._kept()
        client = _Acquaintance(first=not self._is_known(kept))
        try:
            connection = await asyncssh.connect(
                address.host,
                address.port,
                username=address.user,
                password=address.password,
                known_hosts=kept,
                client_factory=lambda: client,
                client_keys=None,
                config=None,
                login_timeout=_LOGIN_S,
            )
            async with connection:
                if client.shown is not None:
                    self._keep(client.shown)
                result = await asyncio.wait_for(connection.run(command, input=text, check=False), _COMMAND_S)
        except asyncssh.HostKeyNotVerifiable:
            shown = "none" if client.shown is None else client.shown.get_fingerprint()
            raise SafetyError(
                f"{address}: host key {shown}, must be the one kept in {str(address.known_hosts)!r}: another machine "
                "answers there, or the miner was installed anew (then remove its line)"
            ) from None
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise TimeoutExpiredError(f"{address}: {error or type(error).__name__}, must let us in") from None
        if result.exit_status != 0:
            raise ServerError(f"{address}: {command!r} gave status {result.exit_status}, must be 0")
        return str(result.stdout or "")

    def _kept(self) -> bytes:
        try:
            return self.address.known_hosts.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def _is_known(self, kept: bytes) -> bool:
        """Whether the file says anything about this host."""
        try:
            matches = asyncssh.match_known_hosts(kept, self.address.host, "", self.address.port)
        except ValueError as error:
            raise self._unusable(str(error)) from None
        return any(matches)

    def _keep(self, key: asyncssh.SSHKey) -> None:
        """One line more in the file, unless another process has just written it."""
        address, path = self.address, self.address.known_hosts
        name = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
        kind, data = key.export_public_key("openssh").split()[:2]
        line = b" ".join((name.encode(), kind, data)) + b"\n"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = file.read()
                if line not in before:
                    file.write((b"\n" if before and not before.endswith(b"\n") else b"") + line)
        except OSError as error:
            raise self._unusable(error.strerror) from None

    def _unusable(self, reason: str | None) -> UsageError:
        return UsageError(
            f"known_hosts {str(self.address.known_hosts)!r}: {reason}, must be a file of known hosts that can be read "
            "and written"
        )
