"""Events of a run: written to a framed log, sealed into Parquet, found by time, chip, core, job and validity.

>>> import tempfile
>>> from pathlib import Path
>>> from asic_reservoir.board import NonceBatch, Origin
>>> folder = tempfile.TemporaryDirectory()
>>> run = RunFolder.create(Path(folder.name) / "run", RunRecord.new(Origin.SIMULATED, {}))
>>> with EventLog(run) as log:
...     log.append(Kind.NONCES, NonceBatch.from_columns(time_ns=[10, 20, 30], chip=[0, 1, 0]))
0
>>> with RunReader(run.path) as reader:
...     reader.nonces(10, 30, Where(chip=0)).time_ns.tolist()
[10]
>>> folder.cleanup()
"""

from asic_reservoir.store.events.compact import compact
from asic_reservoir.store.events.folder import RunFolder, RunRecord
from asic_reservoir.store.events.kinds import Kind
from asic_reservoir.store.events.log import EventLog, LogOptions
from asic_reservoir.store.events.reader import RunReader, Where
from asic_reservoir.store.events.recover import Recovery, recover
from asic_reservoir.store.events.retention import RetentionPolicy, prune
from asic_reservoir.store.events.series import CountSeries, SensorSeries, count_series, sensor_series
from asic_reservoir.store.events.verify import Verification, verify

__all__ = [
    "CountSeries",
    "EventLog",
    "Kind",
    "LogOptions",
    "Recovery",
    "RetentionPolicy",
    "RunFolder",
    "RunReader",
    "RunRecord",
    "SensorSeries",
    "Verification",
    "Where",
    "compact",
    "count_series",
    "prune",
    "recover",
    "sensor_series",
    "verify",
]
