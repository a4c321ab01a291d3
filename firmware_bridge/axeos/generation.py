"""The two generations of AxeOS that differ in what a client must do."""

from __future__ import annotations

from enum import StrEnum


class Generation(StrEnum):
    """Which behaviour a board shows; the version string does not decide it (forks carry what they like)."""

    STOCK = "stock"
    """ESP-Miner v2.1.8 (June 2024) and the LV06's own firmware: settings are stored and hold after a restart;
    nothing is validated, unknown keys are ignored with status 200."""
    LIVE = "live"
    """ESP-Miner of 2025 and later, and the LVXX fork: settings hold at once, with a ramp; wrong ones get status 400."""
