"""An independent client: pyasic finds and reads the emulated S9 and AxeOS boards on the ports of real ones."""

import asyncio
import socket
import warnings

import pytest

from asic_reservoir.errors import UsageError
from drivers.lv06.emulated import EmulatedLv06
from drivers.s9.emulated import EmulatedS9
from drivers.scan import scan_network
from firmware_bridge.axeos import Generation

pytest.importorskip("pyasic", reason="the extra 'scan' is not installed")


LOOKS = 5
"""So often at most: a machine that is late answers later than pyasic waits."""


def need_low_ports() -> None:
    """pyasic knows no other ports than 80 and 4028."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a moment ago are in nobody's way
        try:
            probe.bind(("127.0.0.21", 80))
        except OSError as error:
            pytest.skip(f"port 80 of 127.0.0.21: {error.strerror}")


def read(host: str, *wanted: str):
    """``get_miner`` and ``get_data``; again where it has not all that is wanted: it waits a few seconds for answers."""
    import pyasic

    async def both():
        miner = await pyasic.get_miner(host)
        return miner, None if miner is None else await miner.get_data()

    for _ in range(LOOKS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own
            miner, data = asyncio.run(both())
        if miner is not None and all(getattr(data, name) is not None for name in wanted):
            break
    return miner, data


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pyasic_reads_an_emulated_s9() -> None:
    need_low_ports()
    with EmulatedS9(host="127.0.0.21", http_port=80, api_port=4028, speed=5):
        miner, data = read("127.0.0.21", "api_ver", "uptime")
    assert type(miner).__name__ == "BMMinerS9"
    assert (data.make, data.model) == ("AntMiner", "S9")
    assert [board.chips for board in data.hashboards] == [63, 63, 63]
    assert data.api_ver == "3.1"
    assert all(30 < board.temp < 110 and 30 < board.chip_temp < 110 for board in data.hashboards)
    assert data.uptime is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_pyasic_reads_emulated_axeos_boards_of_both_generations() -> None:
    need_low_ports()
    with EmulatedLv06(host="127.0.0.22", port=80, speed=5):
        miner, data = read("127.0.0.22", "hostname", "fw_ver", "wattage")
    assert type(miner).__name__ == "BitAxeUltra"
    assert data.hostname == "bitaxe"
    assert data.fw_ver == "v2.10.0"
    assert data.hashboards[0].chips == 1
    assert data.wattage > 0
    with EmulatedLv06(host="127.0.0.23", port=80, generation=Generation.STOCK, speed=5):
        miner, data = read("127.0.0.23", "fw_ver", "uptime")
    assert type(miner).__name__ == "LuckyMiner"  # its generic handler: it has no class for the LV06
    assert data.fw_ver == "v2.1.8"
    assert data.uptime is not None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_scan_finds_boards_and_tells_the_emulated_ones() -> None:
    need_low_ports()
    with (
        EmulatedS9(host="127.0.0.25", http_port=80, api_port=4028, firmware="braiins", speed=5),
        EmulatedLv06(host="127.0.0.26", port=80, speed=5),
    ):
        for _ in range(LOOKS):
            found = {board.where: board for board in scan_network("127.0.0.24/30")}
            if len(found) == 2 and all(board.uri and board.simulated for board in found.values()):
                break
    assert {where: board.uri for where, board in found.items()} == {
        "127.0.0.25": "s9://127.0.0.25",
        "127.0.0.26": "lv06://127.0.0.26",
    }
    assert all(board.simulated for board in found.values())


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match=r"network: '192\.168\.1', must look like"):
        scan_network("192.168.1")
    with pytest.raises(UsageError, match="must be at most 65536"):
        scan_network("10.0.0.0/8")
