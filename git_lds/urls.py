"""What is wrong in a URL, whoever names it."""

from __future__ import annotations

_CONTROLS = frozenset((*map(chr, range(0x20)), "\x7f"))
_ENCODED = tuple(f"%{ord(c):02x}" for c in sorted(_CONTROLS))


def has_control_character(url: str) -> bool:
    """Return whether `url` has a control character in it, as it is or percent-encoded.

    A line feed in a URL would become a line of its own in what git tells a credential helper; nothing needs one. What is
    not a URL but the path of a directory has no encoding.
    """
    if not _CONTROLS.isdisjoint(url):
        return True
    lower = url.lower() if "%" in url and "://" in url else ""
    return any(code in lower for code in _ENCODED)
