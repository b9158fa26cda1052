"""A public store does not lead to this machine or into a private network, by redirects or by what its names resolve to.

Else whoever keeps a store, or may name one in a repository, could ask for things where only we are let in.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from git_lds.errors import StoreUnreachable
from git_lds.hosts import is_private


class NetworkPolicy:
    """Where connections for the store `url` at `host` may lead. A store that is itself at a private place may lead anywhere."""

    def __init__(self, url: str, host: str) -> None:
        self._url = url
        self._host = host

    def check(self, host: str) -> None:
        """Raise StoreUnreachable for a redirect to an address that must not be used, or to a name of this machine.

        Nothing is looked up for that. What other names resolve to is for `allowed`, and where a proxy makes the connection
        for nobody here: it alone knows.
        """
        if _is_spelled_out(host) and is_private(host) and not is_private(self._host):
            raise self._refusal(host)

    def allowed(self, host: str, addresses: Sequence[str]) -> Sequence[str]:
        """Return which of the addresses of `host` may be connected to. Raises StoreUnreachable when none may."""
        if not any(map(is_private, addresses)) or is_private(self._host):
            return addresses
        public = [address for address in addresses if not is_private(address)]
        if not public:
            raise self._refusal(host)
        return public

    def _refusal(self, host: str) -> StoreUnreachable:
        return StoreUnreachable(
            f"{self._url} leads to {host}, which is this machine or in a private network: that is not followed",
            hint="if the store is meant to be there, use that address",
        )


def _is_spelled_out(host: str) -> bool:
    """Return whether `host` is an address, in any spelling that a resolver takes, or localhost."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, UnicodeError):
        return False
