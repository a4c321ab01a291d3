"""A driver and the device it is tested against share nothing above the codec: a common mistake would hide in both."""

import ast
from pathlib import Path

import drivers

ROOT = Path(drivers.__file__).parent


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def module_of(path: Path) -> str:
    return "drivers." + ".".join(path.relative_to(ROOT).with_suffix("").parts)


def emulated(module: str) -> bool:
    return ".emulat" in module


def test_network_drivers_know_no_emulation_and_emulated_devices_no_driver() -> None:
    families = ("lv06", "s9", "lb_box")
    paths = [path for family in families for path in (ROOT / family).glob("*.py")]
    paths += [ROOT / "stratum_board.py", ROOT / "emulated_device.py", ROOT / "emulated_pool_client.py"]
    assert len(paths) > 10
    for path in paths:
        ours = {name for name in imports_of(path) if name.startswith(("drivers", "asic_reservoir.twin"))}
        if emulated(module_of(path)):
            assert all(emulated(name) or name.startswith("asic_reservoir.twin") for name in ours), path
        else:
            assert not any(emulated(name) or name.startswith("asic_reservoir.twin") for name in ours), path
