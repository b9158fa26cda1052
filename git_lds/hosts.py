"""Distinguishes this machine and private networks from public hosts."""

from __future__ import annotations

import ipaddress
from functools import cache

_IPV4_INSIDE = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""Networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052) and IPv4-compatible addresses (RFC 4291)."""


@cache
def is_private(host: str) -> bool:
    """Return whether `host` (a name or an address, without a port) is this machine or on a private network.

    Private are all loopback, private, link-local and other addresses that are not globally routed. A name is private if it
    resolves to one such address; a name that does not resolve is not.
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    if (address := _address(host)) is not None:
        return not address.is_global
    import socket  # late: only commands that name a host need it

    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    addresses = (_address(str(entry[4][0])) for entry in entries)
    return any(address is not None and not address.is_global for address in addresses)


def is_loopback(host: str) -> bool:
    """Return whether `host` is "localhost" or a loopback address. No name is looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    is_ipv4 = any(address in network for network in _IPV4_INSIDE)
    if is_ipv4 and int(address) > 1:  # :: and ::1 are addresses of their own
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
