"""Who may use a server: names with passwords, given plain or as what scrypt makes of them."""

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
"""Characters of a login that are looked at; a longer one is wrong."""


class Users:
    """The users of one server. What a login is compared with is a digest under a key that lives as long as we do."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        """`passwords` has a password, or what `scrypt_of` made of it, for each name."""
        self._key = os.urandom(32)
        self._scrypted = {name: entry for name, entry in passwords.items() if entry.startswith(_SCRYPT)}
        # the scrypted ones come in with their first login: scrypt takes 50 ms and 16 MiB, too much for each request
        self._known = {name: self._digest(name, word) for name, word in passwords.items() if name not in self._scrypted}

    def knows(self, authorization: str | None) -> bool:
        """Tell whether the Authorization header of a request is a login that is known to be right. Quick."""
        login = _basic(authorization)
        return login is not None and hmac.compare_digest(self._known.get(login[0], self._key), self._digest(*login))

    def learns(self, authorization: str | None) -> bool:
        """Tell whether the header is the login of a user that scrypt has to check, and know it from then on. Slow."""
        login = _basic(authorization)
        entry = self._scrypted.get(login[0]) if login is not None else None
        if login is None or entry is None or not _matches(entry, login[1]):
            return False
        self._known[login[0]] = self._digest(*login)
        return True

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), "sha256")


def scrypt_of(password: str) -> str:
    """Return what may stand in a file of users instead of `password`."""
    salt = os.urandom(16)
    return f"{_SCRYPT}{salt.hex()}:{_scrypt(password, salt).hex()}"


def read_users(path: Path) -> dict[str, str]:
    """Return the users in the file at `path`: lines `name:password` or `name:scrypt:…`; # starts a comment line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the users in {path} cannot be read: {error}") from None
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not name or not colon or not password or name in users:
            raise UsageError(f"{path}, line {number}: not one more name:password")
        users[name] = password
    if not users:
        raise UsageError(f"there are no users in {path}", hint="write one name:password a line")
    return users


def _basic(authorization: str | None) -> tuple[str, str] | None:
    """Return name and password of a Basic login."""
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
