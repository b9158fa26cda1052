"""Public stores cannot lead to private addresses, even if their names resolve to some."""

from __future__ import annotations

import pytest

from git_lds.errors import StoreUnreachable
from git_lds.store.backends.private_networks import NetworkPolicy

PUBLIC, PRIVATE = "8.8.8.8", "192.168.1.1"


def test_a_name_with_private_addresses_among_others_leads_to_the_others() -> None:
    assert NetworkPolicy("https://8.8.8.8/x", PUBLIC).allowed("a.example.org", [PRIVATE, PUBLIC, "::1"]) == [PUBLIC]


def test_a_name_with_private_addresses_alone_leads_nowhere() -> None:
    with pytest.raises(StoreUnreachable, match=r"https://8\.8\.8\.8/x leads to a\.example\.org"):
        NetworkPolicy("https://8.8.8.8/x", PUBLIC).allowed("a.example.org", [PRIVATE, "::1"])


def test_a_store_at_a_private_place_leads_anywhere() -> None:
    confined = NetworkPolicy("https://192.168.1.1/x", PRIVATE)
    confined.check("127.0.0.1")
    assert confined.allowed("a.example.org", [PRIVATE, PUBLIC]) == [PRIVATE, PUBLIC]
