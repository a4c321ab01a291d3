"""SSH of a Braiins S9: the miner is known by its host key, another machine gets neither password nor command."""

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asic_reservoir.errors import SafetyError, ServerError, TimeoutExpiredError, UsageError
from asic_reservoir.registry import open_board
from drivers.s9.emulated import EmulatedS9
from drivers.s9.shell import Address, BraiinsShell, default_known_hosts


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port that nobody else gets meanwhile: bound, and not listening."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def shell_of(device: EmulatedS9, known_hosts: Path, password: str = "root") -> BraiinsShell:
    return BraiinsShell(Address("127.0.0.1", device.ssh_port, "root", password, known_hosts))


def test_the_first_key_is_kept_and_no_other_is_talked_to(tmp_path: Path) -> None:
    known_hosts = tmp_path / "settings" / "known_hosts"
    with free_port() as port, EmulatedS9(firmware="braiins", speed=10, ssh_port=port) as device:
        shell = shell_of(device, known_hosts)
        assert shell.read_config() == device.toml
        assert known_hosts.stat().st_mode & 0o777 == 0o600
        kept = known_hosts.read_text()
        assert kept.startswith(f"[127.0.0.1]:{device.ssh_port} ssh-ed25519 ")
        assert shell.read_config() == device.toml
        assert known_hosts.read_text() == kept
        device.stop()
        impostor = EmulatedS9(firmware="braiins", speed=10, host_key=1, ssh_port=port).start()
        try:
            asked: list[str] = []
            impostor._shell._write = asked.append  # type: ignore[union-attr]
            shell = shell_of(impostor, known_hosts)
            for attempt in (shell.read_config, lambda: shell.write_config("mine")):
                with pytest.raises(SafetyError, match=r"host key SHA256:.* kept in '.*known_hosts'.*remove its line"):
                    attempt()
            uri = f"s9://127.0.0.1:{impostor.http_port}?api_port={impostor.api_port}&ssh_port={port}"
            with pytest.raises(SafetyError, match="must be the one kept") as refused:
                open_board(f"{uri}&known_hosts={known_hosts}")
            assert refused.value.exit_code == 5
            assert asked == []
            assert known_hosts.read_text() == kept
            known_hosts.write_text("# the miner was installed anew\n")
            assert shell.read_config() == impostor.toml
            assert known_hosts.read_text().count("\n") == 2
        finally:
            impostor.stop()


def test_a_wrong_password_and_a_failed_command_and_nobody_there(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    with EmulatedS9(firmware="braiins", speed=10) as device:
        with pytest.raises(TimeoutExpiredError, match=r"ssh root@127\.0\.0\.1:.*must let us in"):
            shell_of(device, known_hosts, "wrong").read_config()
        assert not known_hosts.exists()  # who does not let us in is not the miner that we mean
        with pytest.raises(ServerError, match="'reboot' gave status 127"):
            shell_of(device, known_hosts).run("reboot")
        gone = shell_of(device, known_hosts)
    with pytest.raises(TimeoutExpiredError, match="must let us in"):
        gone.read_config()


def test_a_file_of_known_hosts_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    address = Address("127.0.0.1", 1, "root", "root", tmp_path)
    with pytest.raises(UsageError, match=r"known_hosts '.*': Is a directory"):
        BraiinsShell(address).read_config()
    nonsense = tmp_path / "known_hosts"
    nonsense.write_bytes(b"[127.0.0.1]:1 ssh-ed25519 this-is-no-key\n\xff\xfe\n")
    with pytest.raises((UsageError, TimeoutExpiredError)):
        BraiinsShell(dataclasses.replace(address, known_hosts=nonsense)).read_config()


def test_where_keys_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ASIC_RESERVOIR_KNOWN_HOSTS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_known_hosts() == tmp_path / "asic-reservoir" / "known_hosts"
    monkeypatch.setenv("ASIC_RESERVOIR_KNOWN_HOSTS", str(tmp_path / "mine"))
    assert default_known_hosts() == tmp_path / "mine"
