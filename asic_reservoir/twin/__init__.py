"""The physics twin of every board: chips, power, heat, arrivals, links, in virtual time.

What a twin must have in it and what it must not is written in the design: nothing here depends on the content of
the work, and nothing is tuned so that a benchmark comes out well. Constants whose value is not known are marked as
assumptions in :mod:`asic_reservoir.twin.spec`; calibration can fit them.
"""

from asic_reservoir.twin.board import TwinBoard
from asic_reservoir.twin.opening import open_twin
from asic_reservoir.twin.spec import SPECS, LinkSpec, TwinSpec

__all__ = ["SPECS", "LinkSpec", "TwinBoard", "TwinSpec", "open_twin"]
