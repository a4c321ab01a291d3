"""What the service keeps besides tasks: calls that both clients make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asic_reservoir.client._requests import Call

SUFFIX_TYPES = {
    ".csv": "text/csv", ".npy": "application/x-npy", ".parquet": "application/vnd.apache.parquet",
    ".zip": "application/zip",
}  # fmt: skip
"""Media types of what can be uploaded, by suffix."""


def page_of(what: str, **filters: Any) -> Call:
    """A page of a list."""
    params = {name: value for name, value in filters.items() if value is not None}
    return Call("GET", f"/api/v1/{what}", params=params)


def model(model_id: str) -> Call:
    return Call("GET", f"/api/v1/models/{model_id}")


def model_content(model_id: str, form: str) -> Call:
    return Call("GET", f"/api/v1/models/{model_id}/content", params={"format": form})


def predict(model_id: str, states: Any) -> Call:
    """States as anything that has rows: lists, or an array."""
    rows = states.tolist() if hasattr(states, "tolist") else [list(map(float, row)) for row in states]
    return Call("POST", f"/api/v1/models/{model_id}/predict", {"states": rows}, again=True)


def claims() -> Call:
    return Call("GET", "/api/v1/claims")


def recording(recording_id: str) -> Call:
    return Call("GET", f"/api/v1/recordings/{recording_id}")


def open_session(board: str, seconds: float, purpose: str) -> Call:
    return Call("POST", "/api/v1/sessions", {"board": board, "seconds": seconds, "purpose": purpose})


def end_session(session_id: str) -> Call:
    return Call("DELETE", f"/api/v1/sessions/{session_id}")


def upload(what: str, path: Path, **params: Any) -> Call:
    """A file, read from the disk while it is sent.

    Raises:
        UsageError: a suffix that the service does not take.
        NotFoundError: no such file.
    """
    from asic_reservoir.errors import NotFoundError, UsageError

    media_type = SUFFIX_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise UsageError(f"{path}: suffix {path.suffix!r}, must be one of {', '.join(SUFFIX_TYPES)}")
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file")
    given = {name: value for name, value in {"name": path.name, **params}.items() if value is not None}
    return Call("POST", f"/api/v1/{what}", params=given, headers={"Content-Type": media_type}, file=path)
