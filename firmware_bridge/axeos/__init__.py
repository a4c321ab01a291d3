"""AxeOS, the HTTP interface and log stream of ESP-Miner boards, in its two generations."""

from firmware_bridge.axeos.generation import Generation

__all__ = ["Generation"]
