"""Keys: 256 random bits, of which only a digest is kept.

A key looks like ``ar_<8 characters>_<43 characters>``. The first part finds the row; the digest of the whole is
compared in constant time. As the secret is random, a plain SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from asic_reservoir.errors import NotFoundError, UsageError
from asic_reservoir.store.facts import audit, keys, new_id, now_ns

SCOPES = ("read", "run", "operate", "admin")
"""``read``: see everything; ``run``: submit and cancel tasks, hold sessions; ``operate``: stop, release and change
boards; ``admin``: keys and the audit log. None includes another."""
_DUMMY = "0" * 64


class NameTakenError(UsageError):
    """Another key has this name."""


@dataclass(frozen=True, slots=True)
class Key:
    """Who asks."""

    id: str
    """Empty for somebody on this machine without a key."""
    name: str
    scopes: frozenset[str]
    limits: Mapping[str, int] = field(default_factory=dict)
    expires_utc_ns: int | None = None


def new_secret() -> str:
    """A fresh key, to be shown once."""
    prefix = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    return f"ar_{prefix}_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def create_key(
    connection: sa.Connection,
    name: str,
    scopes: Sequence[str],
    *,
    limits: Mapping[str, int] | None = None,
    expires_utc_ns: int | None = None,
    by: str = "",
) -> tuple[str, str]:
    """A new key: its identifier and the secret, which is not kept.

    Raises:
        UsageError: a scope that does not exist.
        NameTakenError: a name that another key has.
    """
    for scope in scopes:
        if scope not in SCOPES:
            raise UsageError(f"key scope: {scope!r}, must be one of {', '.join(SCOPES)}")
    if not scopes:
        raise UsageError(f"key scopes: none, must be one or more of {', '.join(SCOPES)}")
    if connection.execute(sa.select(keys.c.id).where(keys.c.name == name)).first() is not None:
        raise NameTakenError(f"key name: {name!r} is taken, must be new")
    secret, key_id = new_secret(), new_id()
    connection.execute(
        keys.insert(),
        {
            "id": key_id,
            "name": name,
            "hash": digest(secret),
            "prefix": secret[3:11],
            "scopes": sorted(set(scopes)),
            "limits": dict(limits or {}),
            "created_utc_ns": now_ns(),
            "expires_utc_ns": expires_utc_ns,
        },
    )
    note(connection, by, "key-created", key_id, {"name": name, "scopes": sorted(set(scopes))})
    return key_id, secret


def revoke_key(connection: sa.Connection, key_id: str, by: str = "") -> None:
    """End a key now. Raises NotFoundError where there is none."""
    revoked = connection.execute(
        keys.update().where(keys.c.id == key_id, keys.c.revoked_utc_ns.is_(None)).values(revoked_utc_ns=now_ns())
    )
    if revoked.rowcount:
        note(connection, by, "key-revoked", key_id, {})
    elif connection.execute(sa.select(keys.c.id).where(keys.c.id == key_id)).first() is None:
        raise NotFoundError(f"key {key_id}: unknown")


def find_key(connection: sa.Connection, secret: str) -> Key | None:
    """The key of that secret, if there is one that is neither revoked nor past its time."""
    parts = secret.split("_", 2)
    prefix = parts[1] if len(parts) == 3 and parts[0] == "ar" and len(parts[1]) == 8 and parts[1].isascii() else ""
    prefix = prefix if prefix.isalnum() else ""
    rows = connection.execute(sa.select(keys).where(keys.c.prefix == prefix)).all()
    wanted, found = digest(secret), None
    for row in rows:
        if hmac.compare_digest(row.hash, wanted):
            found = row
    if not rows:
        hmac.compare_digest(_DUMMY, wanted)  # as long as for a prefix that exists
    if found is None or found.revoked_utc_ns is not None:
        return None
    if found.expires_utc_ns is not None and found.expires_utc_ns <= now_ns():
        return None
    return Key(found.id, found.name, frozenset(found.scopes), found.limits or {}, found.expires_utc_ns)


def note(connection: sa.Connection, owner: str, action: str, target: str, detail: Mapping[str, Any]) -> None:
    """A line in the audit log."""
    connection.execute(
        audit.insert(),
        {
            "id": new_id(),
            "created_utc_ns": now_ns(),
            "owner": owner,
            "action": action,
            "target": target,
            "detail": dict(detail),
        },
    )
