"""Where the seeds and settings of a run on twins are computed: processes of this machine, or a Ray cluster.

An executor is anything with ``run``; whoever writes another one (Dask, a batch system) hands it to
:func:`asic_reservoir.experiment.run_experiment`. The results are the same bit by bit, whichever it is: every job has
its seeds from its plan, and one BLAS thread.
"""

from asic_reservoir.executors.processes import Processes
from asic_reservoir.executors.protocol import Executor, Job
from asic_reservoir.executors.ray_cluster import RayCluster

__all__ = ["Executor", "Job", "Processes", "RayCluster"]
