"""Connections with time limits that a slow server cannot stretch, and only to allowed addresses.

httpx limits the time of each read only, so a server that sends a byte now and then never runs into it. Here the whole head of
a response has a time limit, and so has each block of its body. (A TLS handshake has one: Python counts it in total.)
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from git_lds.store.backends.private_networks import NetworkPolicy


class TooSlow(httpcore.ReadTimeout):
    """Some data arrived in time, but not all that was due."""


class TimedStream(httpcore.NetworkStream):
    """A connection on which the next data must arrive within `seconds`."""

    def __init__(self, stream: httpcore.NetworkStream, seconds: float) -> None:
        self._stream = stream
        self._seconds = seconds
        self.expect()

    def expect(self) -> None:
        """Restart the time limit: data are due from now on."""
        self._until = time.monotonic() + self._seconds
        self._has_begun = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._until - time.monotonic()
        try:
            if left <= 0:
                raise httpcore.ReadTimeout
            data = self._stream.read(max_bytes, left)
        except httpcore.ReadTimeout:
            if self._has_begun:
                raise TooSlow from None
            raise
        self._has_begun = True
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)
        self.expect()  # a response is due once everything was sent

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._seconds)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class Network(httpcore.NetworkBackend):
    """Makes `TimedStream` connections to addresses that `policy` allows.

    Without a policy the connections are to a proxy, which may be anywhere and resolves names itself.
    """

    def __init__(self, seconds: float, policy: NetworkPolicy | None) -> None:
        self._seconds = seconds
        self._policy = policy
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Return a connection to the first address of `host` that accepts one.

        Raises StoreUnreachable if no address is allowed, httpcore.ConnectError if none accepts.
        """
        until = time.monotonic() + self._seconds
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
                return TimedStream(stream, self._seconds)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            if time.monotonic() > until:
                break
        raise failure

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of `host` to try.

        The checked addresses are the ones that are used: a name that resolves differently a second time gains nothing.
        """
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, OverflowError) as error:
            raise httpcore.ConnectError(str(error)) from None
        addresses = [str(entry[4][0]) for entry in entries]
        return addresses if self._policy is None else self._policy.allowed(host, addresses)
