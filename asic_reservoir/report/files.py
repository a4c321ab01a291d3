"""Reports on disk: whole or not at all.

A file is written beside its place, flushed to the disk, and renamed over it. Whoever reads finds the old file or the
new one; a full disk or a killed process leaves the old one.
"""

from __future__ import annotations

from pathlib import Path

from asic_reservoir.errors import DataError, NotFoundError
from asic_reservoir.report.model import ReportData
from asic_reservoir.store.events.files import replacing

JSON_NAME = "report.json"
HTML_NAME = "report.html"


def write_report(report: ReportData, folder: Path) -> tuple[Path, Path]:
    """Write ``report.json`` and ``report.html`` into a folder, which is made where it is missing.

    Both are rendered before anything is written.

    Raises:
        DataError: the folder cannot be made, or a file cannot be written (full disk, rights).

    Returns:
        Paths of the JSON and of the page.
    """
    from asic_reservoir.report.page import render_html

    text, page = report.to_json(), render_html(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"folder {str(folder)!r}: {error.strerror}, must be one that can be made") from None
    write_atomic(folder / JSON_NAME, text.encode())
    write_atomic(folder / HTML_NAME, page.encode())
    return folder / JSON_NAME, folder / HTML_NAME


def read_report(path: Path) -> ReportData:
    """Read a report's JSON again.

    Raises:
        NotFoundError: there is no such file.
        DataError: it cannot be read, or is not a report; names what is wrong.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"report {str(path)!r}: no such file") from None
    except OSError as error:
        raise DataError(f"report {str(path)!r}: {error.strerror}, must be a readable file") from None
    return ReportData.from_json(content, source=str(path))


def write_atomic(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, whole or not at all.

    Raises:
        NotFoundError: the folder does not exist.
        DataError: it cannot be written; the file that was there before is untouched.
    """
    check_folder(path)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_folder(path: Path) -> None:
    """Raises NotFoundError where the folder of ``path`` does not exist: asked before long work, not after it."""
    if not path.parent.is_dir():
        raise NotFoundError(f"file {str(path)!r}: no folder {str(path.parent)!r}, must exist")
