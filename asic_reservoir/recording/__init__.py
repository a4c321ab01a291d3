"""Recordings of shares: read, rebuild every header, check, attribute to chip and core.

>>> recording = shipped()
>>> len(recording.nonces), int(recording.nonces.valid.sum())
(2588, 2588)
"""

from asic_reservoir.recording.addresses import chip_of, core_of
from asic_reservoir.recording.s9_csv import ShareRow, read_rows
from asic_reservoir.recording.shares import SHIPPED_NAME, ShareRecording, load, shipped

__all__ = ["SHIPPED_NAME", "ShareRecording", "ShareRow", "chip_of", "core_of", "load", "read_rows", "shipped"]
