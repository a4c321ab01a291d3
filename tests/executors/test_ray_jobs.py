"""What jobs and their run tell each other, without a Ray."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from asic_reservoir.errors import ServerError, UsageError
from asic_reservoir.executors.ray_cluster import answers, split_address
from asic_reservoir.executors.ray_jobs import Desk, compare, keep, versions


def test_the_desk_hears_the_last_attempt_only() -> None:
    """A machine that was given up may live on behind a broken cable: what it says then is not counted."""
    desk = Desk()
    assert not desk.say(0, 0, 500, {"records/silicon-0/00000.npz": b"first"})
    assert not desk.say(1, 0, 20, {})
    assert not desk.say(0, 1, 0, {})
    assert desk.news() == (20, [(0, {"records/silicon-0/00000.npz": b"first"})])
    assert desk.say(0, 0, 800, {"records/silicon-0/00001.npz": b"late"})
    assert desk.news() == (20, [])
    desk.stop()
    assert desk.say(0, 1, 50, {})
    assert desk.news() == (70, [])


def test_the_first_difference_is_named() -> None:
    own = versions()
    compare(own, "10.0.0.7")
    with pytest.raises(ServerError, match=r"ray: host 10\.0\.0\.7 has numpy .*, must be 1\.0 as where the run was"):
        compare(own | {"numpy": "1.0"}, "10.0.0.7")
    with pytest.raises(ServerError, match=r"has jax none, must be 9"):
        compare(own | {"jax": "9"}, "10.0.0.7")


def test_parts_are_kept_as_they_came(tmp_path: Path) -> None:
    keep(tmp_path, {"records/silicon-0/00000.npz": b"a", "records/decoupled-0/00000.npz": b"b"})
    assert (tmp_path / "records/silicon-0/00000.npz").read_bytes() == b"a"
    assert (tmp_path / "records/decoupled-0/00000.npz").read_bytes() == b"b"


@pytest.mark.parametrize("address", ["rack-0:6379", "10.0.0.7:1", "[fe80::1]:65535"])
def test_an_address(address: str) -> None:
    host, port = split_address(address)
    assert address.replace("[", "").replace("]", "") == f"{host}:{port}"


@pytest.mark.parametrize(
    "address", ["", "rack-0", "rack-0:", ":6379", "rack-0:0", "rack-0:65536", "ray://rack-0:10001"]
)
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(UsageError, match=r"--ray-address: .* must be HOST:PORT"):
        split_address(address)


def test_nobody_listens() -> None:
    with socket.socket() as bound:  # bound, and not listening
        bound.bind(("127.0.0.1", 0))
        host, port = bound.getsockname()
        with pytest.raises(ServerError, match=f"ray at 127.0.0.1:{port}: Connection refused"):
            answers(host, port)
        bound.listen()
        answers(host, port)
