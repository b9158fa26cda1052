"""The users of a server: names with passwords, stored in plain text or as scrypt hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from git_lds.errors import UsageError

_SCRYPT = "scrypt:"
_LONGEST = 1024
"""Characters of the longest Authorization header that is read; a longer one is a wrong login."""


class Users:
    """The users of one server. Logins are compared by a digest under a key that lives as long as this object."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """`passwords` has a password, or the result of `scrypt_of`, for each name."""
        self._key = os.urandom(32)
        self._hashes = {name: entry for name, entry in passwords.items() if entry.startswith(_SCRYPT)}
        # hashed passwords are added by their first login: scrypt takes 50 ms and 16 MiB, too much for each request
        self._digests = {name: self._digest(name, word) for name, word in passwords.items() if name not in self._hashes}

    def has_verified(self, authorization: str | None) -> bool:
        """Return whether an Authorization header holds a login that is already verified. Quick."""
        login = _basic(authorization)
        return login is not None and hmac.compare_digest(self._digests.get(login[0], self._key), self._digest(*login))

    def verify(self, authorization: str | None) -> bool:
        """Return whether the header matches a scrypt hash; if so, remember the login as verified. Slow."""
        login = _basic(authorization)
        entry = self._hashes.get(login[0]) if login is not None else None
        if login is None or entry is None or not _matches(entry, login[1]):
            return False
        self._digests[login[0]] = self._digest(*login)
        return True

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")


def scrypt_of(password: str) -> str:
    """Return the entry that can replace `password` in a file of users."""
    salt = os.urandom(16)
    return f"{_SCRYPT}{salt.hex()}:{_scrypt(password, salt).hex()}"


def read_users(path: Path) -> dict[str, str]:
    """Return the users in a file of lines `name:password` or `name:scrypt:…`; a line that starts with # is a comment.

    Raises UsageError for a file that cannot be read, has a malformed line, or names no user.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read users from {path}: {error}") from None
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not name or not colon or not password:
            raise UsageError(f"{path}, line {number}: not of the form name:password")
        if name in users:
            raise UsageError(f"{path}, line {number}: this user already exists")
        users[name] = password
    if not users:
        raise UsageError(f"no users in {path}", hint="write one name:password per line")
    return users


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Return name and password of a Basic login, or None."""
    if authorization is None or len(authorization) > _LONGEST:
        return None
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _matches(entry: str, password: str) -> bool:
    try:
        salt, hashed = (bytes.fromhex(part) for part in entry[len(_SCRYPT) :].split(":"))
    except ValueError:
        return False
    return hmac.compare_digest(_scrypt(password, salt), hashed)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
