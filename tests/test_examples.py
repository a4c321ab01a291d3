"""The example in every docstring runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("asic_reservoir", "firmware_bridge", "drivers", "api")
NOT_IMPORTED = ("migrations", "__main__")
"""Scripts of Alembic run inside its environment only."""


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        root = importlib.import_module(package)
        names.append(package)
        names += [
            found.name
            for found in pkgutil.walk_packages(root.__path__, f"{package}.")
            if not any(part in found.name for part in NOT_IMPORTED)
        ]
    return names


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
