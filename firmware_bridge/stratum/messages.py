"""Stratum V1 messages as values.

A miner asks (:data:`Request`), a pool answers (:class:`Answer`) and pushes (:data:`Push`). Hashes are held in
header order, the order in which SHA-256 made them; the orders of the wire exist only in
:mod:`firmware_bridge.stratum.lines`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

MessageId = int | str | None

MAX_EXTRANONCE2_SIZE = 32
"""ESP-Miner keeps no more (``stratum_api.c``)."""


class ErrorCode(IntEnum):
    """Error codes of ``mining.submit`` by convention of the pools."""

    OTHER = 20
    JOB_NOT_FOUND = 21
    """Unknown or withdrawn job: the share is stale."""
    DUPLICATE = 22
    LOW_DIFFICULTY = 23
    UNAUTHORIZED = 24
    NOT_SUBSCRIBED = 25


# --------------------------------------------------------------------------------------------- what a miner asks


@dataclass(frozen=True, slots=True)
class Configure:
    """``mining.configure``: asks for version rolling."""

    version_rolling: bool = True
    mask: int = 0xFFFFFFFF
    """Version bits that the miner would roll."""
    min_bit_count: int = 0


@dataclass(frozen=True, slots=True)
class Subscribe:
    """``mining.subscribe``."""

    agent: str = ""
    """Name and version of the miner, such as ``bitaxe/BM1366/v2.10.0``."""
    resume: str | None = None
    """Extranonce1 that the miner had before the link broke."""


@dataclass(frozen=True, slots=True)
class Authorize:
    """``mining.authorize``."""

    user: str
    password: str = ""


@dataclass(frozen=True, slots=True)
class SuggestDifficulty:
    """``mining.suggest_difficulty``: to be answered with ``true`` whatever the pool makes of it."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class ExtranonceSubscribe:
    """``mining.extranonce.subscribe``: the miner understands :class:`SetExtranonce`."""


@dataclass(frozen=True, slots=True)
class Submit:
    """``mining.submit``: a share."""

    user: str
    job_id: str
    extranonce2: bytes
    ntime: int
    nonce: int
    """Bytes 76..79 of the header as a little-endian number."""
    version_bits: int | None = None
    """Rolled version xor base version; None where the miner sends five parameters."""


@dataclass(frozen=True, slots=True)
class UnknownMethod:
    """A request or push that this module does not know. A pool answers it with error 20."""

    method: str


Request = Configure | Subscribe | Authorize | SuggestDifficulty | ExtranonceSubscribe | Submit | UnknownMethod

# --------------------------------------------------------------------------------------------- what a pool pushes


@dataclass(frozen=True, slots=True)
class SetDifficulty:
    """``mining.set_difficulty``: holds for jobs from the next notify on."""

    difficulty: float


@dataclass(frozen=True, slots=True)
class Notify:
    """``mining.notify``: a job."""

    job_id: str
    prev_hash: bytes
    """32 bytes in header order."""
    coinbase1: bytes
    coinbase2: bytes
    branches: tuple[bytes, ...]
    """Merkle branches, 32 bytes each, in header order."""
    version: int
    nbits: int
    ntime: int
    clean: bool = False
    """Withdraws every job before."""


@dataclass(frozen=True, slots=True)
class SetVersionMask:
    """``mining.set_version_mask``."""

    mask: int


@dataclass(frozen=True, slots=True)
class SetExtranonce:
    """``mining.set_extranonce``: holds from the next notify on."""

    extranonce1: bytes
    extranonce2_size: int


@dataclass(frozen=True, slots=True)
class Ping:
    """``mining.ping``: to be answered with ``pong``; its round trip measures the path without the chip."""


@dataclass(frozen=True, slots=True)
class GetVersion:
    """``client.get_version``: to be answered with the name and version of the miner."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """``client.reconnect``."""

    host: str | None = None
    port: int | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ShowMessage:
    """``client.show_message``."""

    text: str


Push = SetDifficulty | Notify | SetVersionMask | SetExtranonce | Ping | GetVersion | Reconnect | ShowMessage
Message = Request | Push

# ------------------------------------------------------------------------------------------------------ answers


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request, of either side, matched by its id."""

    id: MessageId
    result: object = None
    error: StratumError | None = None

    @property
    def accepted(self) -> bool:
        return self.error is None and self.result is True


@dataclass(frozen=True, slots=True)
class StratumError:
    """``[code, message, data]`` of a refused request."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """Result of ``mining.subscribe``."""

    extranonce1: bytes
    extranonce2_size: int


@dataclass(frozen=True, slots=True)
class Configuration:
    """Result of ``mining.configure``."""

    version_rolling: bool
    mask: int = 0
