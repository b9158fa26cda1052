"""Tells hosts of this machine and of private networks from hosts that everybody can reach."""

from __future__ import annotations

import ipaddress
from functools import cache

_IPV4_INSIDE = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""Networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052), and IPv4-compatible addresses (RFC 4291)."""


@cache
def is_private(host: str) -> bool:
    """Return whether `host` (a name or an address, without a port) is this machine or on a private network.

    That is every loopback, private, link-local or otherwise not globally routed address. A name counts as private if it
    resolves to one such address; a name that does not resolve does not count.
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if (address := _address(host)) is not None:
        return not address.is_global
    import socket  # late: commands that name no host do without it

    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    addresses = (_address(str(entry[4][0])) for entry in found)
    return any(address is not None and not address.is_global for address in addresses)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if (
        any(address in network for network in _IPV4_INSIDE) and int(address) > 1
    ):  # :: and ::1 are addresses of their own
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
