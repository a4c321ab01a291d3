"""Stratum V1 on the wire: lines of JSON, in both directions.

Requests carry an ``id``, pushes of the pool ``"id":null``. Numbers are big-endian hex; ``prevhash`` has the bytes of
every 4-byte word reversed; everything else is header order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from asic_reservoir.errors import DataError
from asic_reservoir.headers import swap_words
from firmware_bridge.fields import (
    as_flag,
    as_hex,
    as_integer,
    as_list,
    as_number,
    as_object,
    as_text,
    as_u32,
    load_object,
    shown,
)
from firmware_bridge.stratum.messages import (
    MAX_EXTRANONCE2_SIZE,
    Answer,
    Authorize,
    Configuration,
    Configure,
    ErrorCode,
    ExtranonceSubscribe,
    GetVersion,
    Message,
    MessageId,
    Notify,
    Ping,
    Reconnect,
    SetDifficulty,
    SetExtranonce,
    SetVersionMask,
    ShowMessage,
    StratumError,
    Submit,
    Subscribe,
    Subscription,
    SuggestDifficulty,
    UnknownMethod,
)

# ------------------------------------------------------------------------------------------------------ decoding


def decode(line: bytes | str) -> tuple[MessageId, Message] | Answer:
    """One line of the wire, of either side: ``(id, message)``, or an :class:`Answer`.

    Raises:
        DataError: it is not a Stratum message; the text names the field.

    >>> decode('{"id":null,"method":"mining.set_difficulty","params":[512]}')
    (None, SetDifficulty(difficulty=512.0))
    >>> decode('{"id":9,"result":null,"error":[21,"Job not found",null]}').error
    StratumError(code=21, message='Job not found')
    """
    fields = load_object(line, "stratum line")
    message_id = _message_id(fields.get("id"))
    if fields.get("method") is None:
        if "result" not in fields and "error" not in fields:
            raise DataError(f"stratum line: {shown(fields)}, must have a method, a result or an error")
        return Answer(message_id, fields.get("result"), _error(fields.get("error")))
    method = as_text(fields["method"], "stratum method")
    params = fields.get("params")
    reader = _READERS.get(method)
    if reader is None:
        return message_id, UnknownMethod(method)
    return message_id, reader([] if params is None else as_list(params, f"{method} params"))


def _message_id(value: object) -> MessageId:
    if value is None or isinstance(value, str):
        return None if value is None else as_text(value, "stratum id")
    return as_integer(value, "stratum id", -(2**63), 2**63 - 1)


def _error(value: object) -> StratumError | None:
    if value is None or value is False:
        return None
    if isinstance(value, list) and value:
        code, message = value[0], value[1] if len(value) > 1 else ""
    elif isinstance(value, dict):
        code, message = value.get("code", ErrorCode.OTHER), value.get("message", "")
    else:
        code, message = ErrorCode.OTHER, value
    return StratumError(
        as_integer(code, "stratum error code", -(2**31), 2**31 - 1),
        as_text(message if isinstance(message, str) else str(message), "stratum error message"),
    )


def _mask(value: object, what: str) -> int:
    """Some miners leave leading zeros out of a mask."""
    text = as_text(value, what)
    if not 1 <= len(text) <= 8 or not all(digit in "0123456789abcdefABCDEF" for digit in text):
        raise DataError(f"{what}: {shown(value)}, must be 1 to 8 hex digits")
    return int(text, 16)


def _configure(params: list[object]) -> Configure:
    names = as_list(params[0] if params else None, "configure extensions")
    options = as_object(params[1] if len(params) > 1 else {}, "configure options")
    if "version-rolling" not in names:
        return Configure(False, 0)
    return Configure(
        True,
        _mask(options.get("version-rolling.mask", "ffffffff"), "configure version-rolling.mask"),
        as_integer(options.get("version-rolling.min-bit-count", 0), "configure min-bit-count", 0, 32),
    )


def _subscribe(params: list[object]) -> Subscribe:
    agent = as_text(params[0], "subscribe agent") if params and params[0] is not None else ""
    resume = as_text(params[1], "subscribe resume") if len(params) > 1 and params[1] is not None else None
    return Subscribe(agent, resume)


def _authorize(params: list[object]) -> Authorize:
    as_list(params, "authorize params", 1)
    password = as_text(params[1], "authorize password") if len(params) > 1 and params[1] is not None else ""
    return Authorize(as_text(params[0], "authorize user"), password)


def _difficulty(params: list[object], what: str) -> float:
    as_list(params, f"{what} params", 1)
    difficulty = as_number(params[0], f"{what} difficulty", 0.0)
    if difficulty == 0.0:
        raise DataError(f"{what} difficulty: 0, must be above 0")
    return difficulty


def _submit(params: list[object]) -> Submit:
    as_list(params, "submit params", 5)
    extranonce2 = as_hex(params[2], "submit extranonce2")
    if len(extranonce2) > MAX_EXTRANONCE2_SIZE:
        raise DataError(f"submit extranonce2: {len(extranonce2)} bytes, must be at most {MAX_EXTRANONCE2_SIZE}")
    return Submit(
        as_text(params[0], "submit user"),
        as_text(params[1], "submit job_id"),
        extranonce2,
        as_u32(params[3], "submit ntime"),
        as_u32(params[4], "submit nonce"),
        as_u32(params[5], "submit version_bits") if len(params) > 5 and params[5] is not None else None,
    )


def read_notify(params: list[object]) -> Notify:
    """Eight parameters or more; the last is ``clean`` (ESP-Miner's reading), absent with exactly eight."""
    as_list(params, "notify params", 8)
    return Notify(
        job_id=as_text(params[0], "notify job_id"),
        prev_hash=swap_words(as_hex(params[1], "notify prevhash", 32)),
        coinbase1=as_hex(params[2], "notify coinbase1"),
        coinbase2=as_hex(params[3], "notify coinbase2"),
        branches=tuple(as_hex(item, "notify branch", 32) for item in as_list(params[4], "notify branches")),
        version=as_u32(params[5], "notify version"),
        nbits=as_u32(params[6], "notify nbits"),
        ntime=as_u32(params[7], "notify ntime"),
        clean=as_flag(params[-1], "notify clean_jobs") if len(params) > 8 else False,
    )


def _extranonce(params: list[object], what: str) -> tuple[bytes, int]:
    as_list(params, f"{what} params", 2)
    size = as_integer(params[1], f"{what} extranonce2_size", 0, MAX_EXTRANONCE2_SIZE)
    return as_hex(params[0], f"{what} extranonce1"), size


def _set_version_mask(params: list[object]) -> SetVersionMask:
    return SetVersionMask(_mask(as_list(params, "set_version_mask params", 1)[0], "set_version_mask mask"))


def _reconnect(params: list[object]) -> Reconnect:
    host = as_text(params[0], "reconnect host") if params and params[0] is not None else None
    port: int | None = None
    if len(params) > 1 and params[1] is not None:
        text = params[1]
        number = int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 6 else text
        port = as_integer(number, "reconnect port", 1, 65535)
    wait_s = as_number(params[2], "reconnect wait", 0.0) if len(params) > 2 and params[2] is not None else 0.0
    return Reconnect(host, port, wait_s)


_READERS: dict[str, Callable[[list[object]], Message]] = {
    "mining.configure": _configure,
    "mining.subscribe": _subscribe,
    "mining.authorize": _authorize,
    "mining.suggest_difficulty": lambda params: SuggestDifficulty(_difficulty(params, "suggest_difficulty")),
    "mining.extranonce.subscribe": lambda _: ExtranonceSubscribe(),
    "mining.submit": _submit,
    "mining.set_difficulty": lambda params: SetDifficulty(_difficulty(params, "set_difficulty")),
    "mining.notify": read_notify,
    "mining.set_version_mask": _set_version_mask,
    "mining.set_extranonce": lambda params: SetExtranonce(*_extranonce(params, "set_extranonce")),
    "mining.ping": lambda _: Ping(),
    "client.get_version": lambda _: GetVersion(),
    "client.reconnect": _reconnect,
    "client.show_message": lambda params: ShowMessage(
        as_text(as_list(params, "show_message params", 1)[0], "show_message text")
    ),
}

# ------------------------------------------------------------------------------------------------------ encoding


_DENSE, _SPACED = json.JSONEncoder(separators=(",", ":")), json.JSONEncoder(separators=(", ", ": "))


def encode(message_id: MessageId, message: Message, *, spaced: bool = False) -> bytes:
    """A request or push as one line, newline included. ``spaced`` puts blanks after ``:`` and ``,`` as v2.1.8 does.

    >>> encode(None, SetDifficulty(512))
    b'{"id":null,"method":"mining.set_difficulty","params":[512]}\\n'
    """
    method, params = method_and_params(message)
    return _line({"id": message_id, "method": method, "params": params}, spaced)


def encode_answer(answer: Answer, *, spaced: bool = False) -> bytes:
    """An answer as one line, newline included.

    >>> encode_answer(Answer(9, error=StratumError(21, "Job not found")))
    b'{"id":9,"result":null,"error":[21,"Job not found",null]}\\n'
    """
    if answer.error is None and answer.result is True and type(answer.id) is int and not spaced:
        return b'{"id":%d,"result":true,"error":null}\n' % answer.id  # what every good share gets
    error = None if answer.error is None else [answer.error.code, answer.error.message, None]
    return _line({"id": answer.id, "result": answer.result, "error": error}, spaced)


def _line(fields: dict[str, object], spaced: bool) -> bytes:
    return (_SPACED if spaced else _DENSE).encode(fields).encode() + b"\n"


def method_and_params(message: Message) -> tuple[str, list[object]]:
    """Method name and parameters of a message as they stand on the wire."""
    match message:
        case Configure(rolling, mask, bits):
            if not rolling:
                return "mining.configure", [[], {}]
            options: dict[str, object] = {"version-rolling.mask": f"{mask:08x}"}
            if bits:
                options["version-rolling.min-bit-count"] = bits
            return "mining.configure", [["version-rolling"], options]
        case Subscribe(agent, resume):
            return "mining.subscribe", [agent] if resume is None else [agent, resume]
        case Authorize(user, password):
            return "mining.authorize", [user, password]
        case SuggestDifficulty(difficulty):
            return "mining.suggest_difficulty", [_plain(difficulty)]
        case ExtranonceSubscribe():
            return "mining.extranonce.subscribe", []
        case Submit():
            return "mining.submit", submit_params(message)
        case UnknownMethod(method):
            return method, []
        case SetDifficulty(difficulty):
            return "mining.set_difficulty", [_plain(difficulty)]
        case Notify():
            return "mining.notify", notify_params(message)
        case SetVersionMask(mask):
            return "mining.set_version_mask", [f"{mask:08x}"]
        case SetExtranonce(extranonce1, size):
            return "mining.set_extranonce", [extranonce1.hex(), size]
        case Ping():
            return "mining.ping", []
        case GetVersion():
            return "client.get_version", []
        case Reconnect(host, port, wait_s):
            return "client.reconnect", [] if host is None else [host, port, _plain(wait_s)]
        case ShowMessage(text):
            return "client.show_message", [text]


def submit_params(submit: Submit) -> list[object]:
    """Five parameters, six with version bits."""
    params: list[object] = [
        submit.user,
        submit.job_id,
        submit.extranonce2.hex(),
        f"{submit.ntime:08x}",
        f"{submit.nonce:08x}",
    ]
    return params if submit.version_bits is None else [*params, f"{submit.version_bits:08x}"]


def notify_params(job: Notify) -> list[object]:
    """The nine parameters."""
    return [
        job.job_id,
        swap_words(job.prev_hash).hex(),
        job.coinbase1.hex(),
        job.coinbase2.hex(),
        [branch.hex() for branch in job.branches],
        f"{job.version:08x}",
        f"{job.nbits:08x}",
        f"{job.ntime:08x}",
        job.clean,
    ]


def _plain(number: float) -> float | int:
    """Whole numbers without a decimal point: v2.1.8 reads difficulties as integers."""
    return int(number) if math.isfinite(number) and number == int(number) else number


# ------------------------------------------------------------------------------------------------------- results


def subscription_result(subscription: Subscription) -> list[object]:
    """The nested form ``[[[method, id], ...], extranonce1, size]``."""
    names = [["mining.set_difficulty", "d1"], ["mining.notify", "n1"]]
    return [names, subscription.extranonce1.hex(), subscription.extranonce2_size]


def subscription_of(result: object) -> Subscription:
    """Reads the result of ``mining.subscribe``. Raises DataError for a flat or malformed one.

    >>> subscription_of([[["mining.notify", "n1"]], "41424344", 4])
    Subscription(extranonce1=b'ABCD', extranonce2_size=4)
    """
    items = as_list(result, "subscribe result", 3)
    as_list(items[0], "subscribe result[0]")
    return Subscription(*_extranonce(items[1:3], "subscribe"))


def configuration_result(configuration: Configuration) -> dict[str, object]:
    if not configuration.version_rolling:
        return {"version-rolling": False}
    return {"version-rolling": True, "version-rolling.mask": f"{configuration.mask:08x}"}


def configuration_of(result: object) -> Configuration:
    """Reads the result of ``mining.configure``. Raises DataError for a malformed one."""
    fields = as_object(result, "configure result")
    if not as_flag(fields.get("version-rolling", False), "configure result version-rolling"):
        return Configuration(False)
    return Configuration(True, _mask(fields.get("version-rolling.mask", "1fffe000"), "configure result mask"))
