"""Files that a task left in its folder, read to be kept with its result."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path

from api.queue.work import FileContent

LARGEST = 16 << 20
"""Bytes of one file that are kept with a result; larger ones stay in the folder of the worker."""
ALL = 64 << 20
"""Bytes of all files of a task."""
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


def collect_files(folder: Path) -> tuple[list[FileContent], list[str]]:
    """Regular files directly in ``folder``, and the names of what is not taken: too large, a folder, an odd name."""
    taken, left_out, total = [], [], 0
    for path in sorted(folder.iterdir()):
        size = path.stat(follow_symlinks=False).st_size
        fits = size <= LARGEST and total + size <= ALL
        if path.is_symlink() or not path.is_file() or not NAME.fullmatch(path.name) or not fits:
            left_out.append(path.name)
            continue
        content = path.read_bytes()
        total += len(content)
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        taken.append(FileContent(path.name, media_type, hashlib.sha256(content).hexdigest(), content))
    return taken, left_out
