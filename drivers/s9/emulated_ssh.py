"""The shell of an emulated S9 with Braiins firmware: the few commands that configure bosminer, over real SSH."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256

import asyncssh
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

TOML_PATH = "/etc/bosminer.toml"


def _key(number: int) -> asyncssh.SSHKey:
    """Key of that number, the same every time."""
    secret = Ed25519PrivateKey.from_private_bytes(sha256(b"emulated miner %d" % number).digest())
    pem = secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return asyncssh.import_private_key(pem)


class EmulatedShell:
    """An SSH server with password login for ``root``.

    Args:
        password: Of root.
        host_key: Which key it shows. Emulated miners show the same from start to start, as real ones do; anybody can
            compute it, and nothing is protected by it.
        carry: Waits until the device's link carries; False where the cable was pulled meanwhile.
        read, write: The configuration file.
        service: ``/etc/init.d/bosminer ACTION``; whether it worked.
    """

    def __init__(
        self,
        password: str,
        host_key: int,
        carry: Callable[[], Awaitable[bool]],
        read: Callable[[], str],
        write: Callable[[str], None],
        service: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._key = _key(host_key)
        self._carry = carry
        self._password, self._read, self._write, self._service = password, read, write, service
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; the port."""
        password, connections = self._password, self._connections

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                connections.add(conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password_given: str) -> bool:
                return username == "root" and password_given == password

        self._server = await asyncssh.create_server(
            Login,
            host,
            port,
            server_host_keys=[self._key],
            process_factory=self._run,
        )
        return int(self._server.get_port())

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for connection in self._connections:  # also those that are just being let in
            connection.abort()
            await connection.wait_closed()
        self._connections.clear()

    async def _run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        command = (process.command or "").strip()
        status = 0
        if not await self._carry():
            process.channel.abort()
            return
        if command == f"cat {TOML_PATH}":
            process.stdout.write(self._read())
        elif command.startswith(f"cat > {TOML_PATH}"):
            self._write(await process.stdin.read())
        elif command.startswith("/etc/init.d/bosminer "):
            status = 0 if await self._service(command.rpartition(" ")[2]) else 1
        else:
            process.stderr.write(f"-ash: {command}: not found\n")
            status = 127
        process.exit(status)
