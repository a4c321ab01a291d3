"""A client of the service, for programs and notebooks.

>>> from asic_reservoir.client import Client
>>> with Client("http://127.0.0.1:8337") as client:                                # doctest: +SKIP
...     task = client.submit("observe", board="s9", n_steps=30)
...     result = client.wait(task.id, progress=print)
>>> result.summary["rate_hz"]                                                      # doctest: +SKIP
3262.3
"""

from asic_reservoir.client._asynchronous import AsyncClient
from asic_reservoir.client._live import LiveStream, Output
from asic_reservoir.client._live_async import AsyncLiveStream
from asic_reservoir.client._synchronous import Client
from asic_reservoir.client._types import Event, Model, Result, Task, TaskFailedError

__all__ = [
    "AsyncClient",
    "AsyncLiveStream",
    "Client",
    "Event",
    "LiveStream",
    "Model",
    "Output",
    "Result",
    "Task",
    "TaskFailedError",
]
