"""Checks that hold for every URL."""

from __future__ import annotations

_CONTROLS = frozenset((*map(chr, range(0x20)), "\x7f"))
_ENCODED = tuple(f"%{ord(c):02x}" for c in sorted(_CONTROLS))


def has_control_character(url: str) -> bool:
    """Return whether `url` contains a control character, literally or percent-encoded.

    git would pass a line feed in a URL to a credential helper as a line of its own, and no URL needs one. The path of a
    directory is not encoded.
    """
    if not _CONTROLS.isdisjoint(url):
        return True
    lower = url.lower() if "%" in url and "://" in url else ""
    return any(code in lower for code in _ENCODED)
