"""Tasks: each gives an input series and the target that belongs to every step of it."""

from asic_reservoir.tasks._file import FileTask, load_series
from asic_reservoir.tasks._registry import open_task, task_names
from asic_reservoir.tasks._task import Series, Task

__all__ = ["FileTask", "Series", "Task", "load_series", "open_task", "task_names"]
