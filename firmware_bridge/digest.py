"""HTTP digest authentication (RFC 7616, MD5 with qop=auth), the side of the device."""

from __future__ import annotations

import re
import secrets
from hashlib import md5

_FIELD = re.compile(r'(\w{1,16})=(?:"([^"]{0,512})"|([^\s,"]{1,512}))')


class DigestGate:
    """Checks the ``Authorization`` header of requests.

    >>> gate = DigestGate("antMiner Configuration", "root", "root")
    >>> gate.allows("GET", "/", None)
    False
    """

    def __init__(self, realm: str, user: str, password: str) -> None:
        self._realm, self._user = realm, user
        self._secret = _hash(f"{user}:{realm}:{password}")
        self._nonce = secrets.token_hex(16)

    @property
    def challenge(self) -> str:
        """Value of ``WWW-Authenticate`` for an answer with status 401."""
        return f'Digest realm="{self._realm}", nonce="{self._nonce}", algorithm=MD5, qop="auth"'

    def allows(self, method: str, target: str, authorization: str | None) -> bool:
        """Whether the header proves the password for this request."""
        if authorization is None or not authorization.lower().startswith("digest "):
            return False
        keys = {name: quoted or plain for name, quoted, plain in _FIELD.findall(authorization)}
        if keys.get("username") != self._user or keys.get("nonce") != self._nonce or keys.get("uri") != target:
            return False
        expected = digest_response(
            self._secret, method, target, self._nonce, keys.get("nc", ""), keys.get("cnonce", ""), keys.get("qop", "")
        )
        return secrets.compare_digest(expected, keys.get("response", ""))


def digest_response(
    secret: str, method: str, target: str, nonce: str, count: str, client_nonce: str, quality: str
) -> str:
    """The response to a challenge, given the hash of user, realm and password."""
    request = _hash(f"{method}:{target}")
    if quality:
        return _hash(f"{secret}:{nonce}:{count}:{client_nonce}:{quality}:{request}")
    return _hash(f"{secret}:{nonce}:{request}")


def _hash(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
