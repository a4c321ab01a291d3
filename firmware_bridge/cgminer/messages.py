"""Requests and replies of the cgminer API: one request a connection, the reply ends with a NUL, then it closes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from asic_reservoir.errors import DataError, ServerError
from firmware_bridge.fields import as_integer, as_list, as_object, as_text, load_object, shown

PORT = 4028
MAX_REQUEST = 8192

Row = Mapping[str, object]


class Code(IntEnum):
    """Message codes (cgminer's API-README; 200 and above are Braiins' own)."""

    POOLS = 7
    DEVS = 9
    SUMMARY = 11
    INVALID_COMMAND = 14
    VERSION = 22
    INVALID_JSON = 23
    ACCESS_DENIED = 45
    DEVDETAILS = 69
    STATS = 70
    TEMPCTRL = 200
    TEMPS = 201
    FANS = 202


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One command, or several joined with ``+``."""

    commands: tuple[str, ...]
    parameter: str | None = None
    as_text: bool = False
    """It came as plain text, not as JSON. Both are answered with JSON by the miners of this package."""


@dataclass(frozen=True, slots=True)
class Status:
    """The verdict of the miner on a command."""

    letter: str
    """S success, I information, W warning, E error, F fatal."""
    code: int
    message: str
    description: str = ""
    when_s: int = 0
    """Seconds since 1970 by the miner's clock, which may be far off."""

    @property
    def failed(self) -> bool:
        return self.letter in ("E", "F")


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one command."""

    status: Status
    sections: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Such as ``SUMMARY`` or ``DEVS``, in the order of the wire."""

    def rows(self, section: str) -> Sequence[Row]:
        """The rows of a section.

        Raises:
            ServerError: the miner refused the command.
            DataError: the section is missing.
        """
        if self.status.failed:
            raise ServerError(f"miner: {self.status.message!r} (code {self.status.code})")
        if section not in self.sections:
            raise DataError(f"miner reply: no section {section!r}, has {', '.join(self.sections) or 'none'}")
        return self.sections[section]


# ------------------------------------------------------------------------------------------------------ requests


def encode_request(request: ApiRequest) -> bytes:
    """The bytes to send.

    >>> encode_request(ApiRequest(("summary", "pools")))
    b'{"command":"summary+pools"}'
    """
    command = "+".join(request.commands)
    if request.as_text:
        return (command if request.parameter is None else f"{command}|{request.parameter}").encode()
    keys = {"command": command}
    if request.parameter is not None:
        keys["parameter"] = request.parameter
    return json.dumps(keys, separators=(",", ":")).encode()


def decode_request(data: bytes) -> ApiRequest:
    """Read a request, JSON or plain text. Raises DataError naming what is wrong.

    >>> decode_request(b"summary|0")
    ApiRequest(commands=('summary',), parameter='0', as_text=True)
    """
    if len(data) > MAX_REQUEST:
        raise DataError(f"miner request: {len(data)} bytes, must be at most {MAX_REQUEST}")
    stripped = data.strip(b" \r\n\t\0")
    if stripped.startswith(b"{"):
        keys = load_object(stripped, "miner request")
        parameter = keys.get("parameter")
        if parameter is not None and not isinstance(parameter, str):
            parameter = str(as_integer(parameter, "miner request parameter", -(2**63), 2**63))
        return ApiRequest(_commands(as_text(keys.get("command"), "miner request command")), parameter)
    try:
        text = stripped.decode("ascii")
    except UnicodeDecodeError:
        raise DataError(f"miner request: {shown(data)}, must be JSON or ASCII text") from None
    command, bar, rest = text.partition("|")
    return ApiRequest(_commands(command), rest if bar else None, as_text=True)


def _commands(text: str) -> tuple[str, ...]:
    commands = tuple(text.split("+"))
    if not all(command.isascii() and command.isalnum() for command in commands):
        raise DataError(f"miner request command: {shown(text)}, must be names of letters and digits joined with '+'")
    return commands


# ------------------------------------------------------------------------------------------------------- replies


def encode_reply(reply: Reply, *, malformed: bool = False) -> bytes:
    """The reply to a single command, with its NUL. ``malformed`` leaves out commas as bmminer does."""
    text = json.dumps(_reply_keys(reply), separators=(",", ":"))
    return (_break_commas(text) if malformed else text).encode() + b"\0"


def encode_replies(replies: Mapping[str, Reply], *, malformed: bool = False) -> bytes:
    """The reply to commands joined with ``+``: one object keyed by command, each value a list of one."""
    keys: dict[str, object] = {name: [_reply_keys(reply)] for name, reply in replies.items()}
    text = json.dumps({**keys, "id": 1}, separators=(",", ":"))
    return (_break_commas(text) if malformed else text).encode() + b"\0"


def _reply_keys(reply: Reply) -> dict[str, object]:
    status = reply.status
    head = {
        "STATUS": status.letter,
        "When": status.when_s,
        "Code": int(status.code),
        "Msg": status.message,
        "Description": status.description,
    }
    return {"STATUS": [head], **{name: [dict(row) for row in rows] for name, rows in reply.sections.items()}, "id": 1}


def _break_commas(text: str) -> str:
    return text.replace("},{", "}{")


def decode_reply(data: bytes) -> Reply:
    """The reply to a single command. Raises DataError naming what is wrong."""
    return _reply(load_reply(data))


def decode_replies(data: bytes) -> dict[str, Reply]:
    """The reply to joined commands, by command. Raises DataError naming what is wrong."""
    replies = {}
    for name, value in load_reply(data).items():
        if name == "id":
            continue
        parts = as_list(value, f"miner reply {name}", 1)
        replies[name] = _reply(as_object(parts[0], f"miner reply {name}"))
    return replies


def load_reply(data: bytes) -> dict[str, object]:
    """The JSON object of a reply, NUL taken off and bmminer's faults repaired.

    Known faults: no comma between ``}{``, a comma after ``[`` in ``[,{``, a comma before ``}``. A repair is tried only
    on what does not parse as it is, and outside of strings.

    >>> load_reply(b'{"STATS":[,{"a":1}{"b":"}{"}],"id":1,}\\0')
    {'STATS': [{'a': 1}, {'b': '}{'}], 'id': 1}
    """
    text = data.rstrip(b"\0\r\n ").decode("utf-8", errors="replace")
    try:
        return load_object(text, "miner reply")
    except DataError:
        return load_object(repair(text), "miner reply")


_FAULTS = re.compile(
    r'"(?:[^"\\]|\\.?)*(?:"|\Z)|(?P<pair>\}\s*\{)|(?P<lead>\[\s*,)|(?P<trail>,\s*(?=[}\]]))', re.DOTALL
)


def repair(text: str) -> str:
    """The text with the commas that bmminer forgets put in, and those that it has too many taken out."""

    def fix(match: re.Match[str]) -> str:
        if match["pair"]:
            return "},{"
        if match["lead"]:
            return "["
        return "" if match["trail"] else match[0]

    return _FAULTS.sub(fix, text)


def _reply(keys: Mapping[str, object]) -> Reply:
    head = as_object(as_list(keys.get("STATUS"), "miner reply STATUS", 1)[0], "miner reply STATUS")
    letter = as_text(head.get("STATUS"), "miner reply STATUS letter")
    if letter not in ("S", "I", "W", "E", "F"):
        raise DataError(f"miner reply STATUS letter: {shown(letter)}, must be S, I, W, E or F")
    status = Status(
        letter,
        as_integer(head.get("Code", 0), "miner reply Code", 0, 2**31),
        as_text(head.get("Msg", ""), "miner reply Msg"),
        as_text(head.get("Description", ""), "miner reply Description"),
        as_integer(head.get("When", 0), "miner reply When", 0, 2**63),
    )
    sections: dict[str, Sequence[Row]] = {}
    for name, value in keys.items():
        if name not in ("STATUS", "id"):
            rows = as_list(value, f"miner reply {name}")
            sections[name] = tuple(as_object(row, f"miner reply {name}") for row in rows)
    return Reply(status, sections)
