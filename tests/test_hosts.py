"""Which hosts are private: by address, by name, in every spelling that a resolver takes."""

from __future__ import annotations

import pytest

from git_lds.hosts import is_private


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "store.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "::1",
        "::ffff:127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "fe80::1%lo", "fd00::1", "0.0.0.0", "::",
        "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "2002:a00:1::1",
        "100.64.0.1",
    ],
)  # fmt: skip
def test_a_host_of_this_machine_or_of_a_private_network_is_private(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1", "no-such-host.invalid"]
)
def test_a_public_host_and_a_name_that_does_not_resolve_are_not_private(host: str) -> None:
    assert not is_private(host)
