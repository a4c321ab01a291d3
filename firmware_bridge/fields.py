"""JSON that a device or a pool sent, read with typed errors that name the field.

Every text protocol of this package reads through these functions: any bytes in, a value or a
:class:`~asic_reservoir.errors.DataError` out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NoReturn

from asic_reservoir.errors import DataError


def shown(value: object, limit: int = 60) -> str:
    """``value`` for one line of an error message, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: ``json.loads`` with an option makes one for every text."""


def load_json(data: bytes | str, what: str) -> object:
    """Decode JSON (UTF-8); NaN and infinities are refused.

    Raises:
        DataError: it is not JSON. ``what`` says whose message it was.

    >>> load_json(b'{"id": 1}', "submit")
    {'id': 1}
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        value: object = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{what}: {shown(data)}, must be JSON ({reason})") from None
    return value


def load_object(data: bytes | str, what: str) -> dict[str, object]:
    """Decode JSON that must be an object. Raises DataError otherwise."""
    value = load_json(data, what)
    if not isinstance(value, dict):
        raise DataError(f"{what}: {shown(value)}, must be a JSON object")
    return value


def as_text(value: object, what: str) -> str:
    """A string without unpaired surrogates, which no wire can carry. Raises DataError otherwise."""
    if not isinstance(value, str):
        raise DataError(f"{what}: {shown(value)}, must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{what}: {shown(value)}, must be text that UTF-8 can carry") from None
    return value


def as_integer(value: object, what: str, low: int, high: int) -> int:
    """A whole number in [low, high]; 5.0 is taken as 5, booleans are refused. Raises DataError otherwise."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{what}: {shown(value)}, must be an integer from {low} to {high}")
    return value


def as_number(value: object, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number in [low, high]; booleans are refused. Raises DataError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{what}: {shown(value)}, must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        raise DataError(f"{what}: {shown(value)}, must be a number from {low:g} to {high:g}")
    return number


def as_flag(value: object, what: str) -> bool:
    """A boolean, or 0 or 1 as AxeOS writes them. Raises DataError otherwise."""
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise DataError(f"{what}: {shown(value)}, must be true, false, 0 or 1")


def as_hex(value: object, what: str, size: int | None = None) -> bytes:
    """The bytes of a hex string, ``size`` of them if given. Raises DataError otherwise."""
    if isinstance(value, str) and (size is None or len(value) == 2 * size):
        try:
            data = bytes.fromhex(value)
        except ValueError:
            pass
        else:
            if 2 * len(data) == len(value):  # fromhex also takes blanks
                return data
    wanted = "an even number of hex digits" if size is None else f"{2 * size} hex digits"
    raise DataError(f"{what}: {shown(value)}, must be {wanted}")


def as_u32(value: object, what: str) -> int:
    """An unsigned 32-bit number written as 8 hex digits, most significant first. Raises DataError otherwise."""
    return int.from_bytes(as_hex(value, what, 4))


def as_list(value: object, what: str, at_least: int = 0) -> list[object]:
    """A list of ``at_least`` items. Raises DataError otherwise."""
    if not isinstance(value, list) or len(value) < at_least:
        wanted = f" of at least {at_least} items" if at_least else ""
        raise DataError(f"{what}: {shown(value)}, must be a list{wanted}")
    return value


def as_object(value: object, what: str) -> Mapping[str, object]:
    """A JSON object. Raises DataError otherwise."""
    if not isinstance(value, dict):
        raise DataError(f"{what}: {shown(value)}, must be a JSON object")
    return value
