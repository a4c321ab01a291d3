"""Login: a token that is the same on all units. It keeps nobody out; the box belongs on a network of its own."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, quote

from Crypto.Cipher import AES

from asic_reservoir.errors import DataError
from firmware_bridge.fields import as_text, load_object, shown

DEFAULT_USER = "admin"
DEFAULT_PASSWORD = "123456789"
_KEY = b"!" * 16
_IV = bytes(16)
_TOKEN = "JWT Token"


def encrypt_password(password: str) -> str:
    """AES-128-CBC with a key of sixteen ``!``, a zero IV and zero padding, as hex.

    >>> encrypt_password("123456789")
    'bbad7537f4c8b6ea31eea0b3d760e257'
    """
    data = password.encode()
    padded = data + bytes(-len(data) % 16)
    return AES.new(_KEY, AES.MODE_CBC, _IV).encrypt(padded).hex()


def decrypt_password(text: str) -> str:
    """The password in what :func:`encrypt_password` gives. Raises DataError.

    >>> decrypt_password("bbad7537f4c8b6ea31eea0b3d760e257")
    '123456789'
    """
    try:
        data = bytes.fromhex(text)
        plain = AES.new(_KEY, AES.MODE_CBC, _IV).decrypt(data)
        return plain.rstrip(b"\0").decode()
    except ValueError:
        raise DataError(f"Goldshell password: {shown(text)}, must be hex of whole AES blocks") from None


def login_path(user: str = DEFAULT_USER, password: str = DEFAULT_PASSWORD, *, cipher: bool = True) -> str:
    """Path and query of the login request.

    >>> login_path(cipher=False)
    '/user/login?username=admin&password=123456789&cipher=false'
    """
    secret = encrypt_password(password) if cipher else quote(password, safe="")
    return f"/user/login?username={quote(user, safe='')}&password={secret}&cipher={str(cipher).lower()}"


def read_login(query: str) -> tuple[str, str]:
    """User and password of a login query, decrypted where it says so. Raises DataError naming the field."""
    try:
        keys = parse_qs(query, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError as error:
        raise DataError(f"Goldshell login: {shown(query)}, must be a query ({error})") from None
    for name in ("username", "password"):
        if name not in keys:
            raise DataError(f"Goldshell login {name}: missing")
    password = keys["password"][0]
    if keys.get("cipher", ["false"])[0] == "true":
        password = decrypt_password(password)
    return keys["username"][0], password


def encode_token(token: str) -> bytes:
    """The answer to a login."""
    return json.dumps({_TOKEN: token}, separators=(",", ":")).encode()


def parse_token(body: bytes | str) -> str:
    """The token of a login answer. Raises DataError where it is missing.

    >>> parse_token('{"JWT Token":"abc"}')
    'abc'
    """
    token = as_text(load_object(body, "Goldshell login").get(_TOKEN), f"Goldshell login {_TOKEN!r}")
    if not token or not token.isascii() or not token.isprintable():
        raise DataError(f"Goldshell token: {shown(token)}, must be printable ASCII")
    return token
