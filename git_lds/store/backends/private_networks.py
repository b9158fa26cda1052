"""Keeps a public store from leading to this machine or a private network, by redirects or by name resolution.

Otherwise the owner of a store, or of a repository that names one, could send requests to where only the user has access.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from git_lds.errors import StoreUnreachable
from git_lds.hosts import is_private


class NetworkPolicy:
    """Where connections for the store `url` at `host` may lead. A store in a private network may lead anywhere."""

    def __init__(self, url: str, host: str) -> None:
        self._url = url
        self._host = host

    def check(self, host: str) -> None:
        """Raise StoreUnreachable for a redirect to an address that is not allowed, or to a name of this machine.

        No name is looked up. `allowed` checks what other names resolve to, unless a proxy makes the connection: only the proxy
        knows then.
        """
        if _is_spelled_out(host) and is_private(host) and not is_private(self._host):
            raise self._refusal(host)

    def allowed(self, host: str, addresses: Sequence[str]) -> Sequence[str]:
        """Return the allowed ones of the addresses of `host`. Raises StoreUnreachable if there are none."""
        if not any(map(is_private, addresses)) or is_private(self._host):
            return addresses
        public = [address for address in addresses if not is_private(address)]
        if not public:
            raise self._refusal(host)
        return public

    def _refusal(self, host: str) -> StoreUnreachable:
        return StoreUnreachable(
            f"{self._url} leads to {host}, which is this machine or in a private network, and is not followed",
            hint="if the store is meant to be there, use that URL",
        )


def _is_spelled_out(host: str) -> bool:
    """Return whether `host` is an address, in any spelling that a resolver accepts, or localhost."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        return False
