"""Reads TOML that anyone may have written: bounded in size and time, and every fault a clear line."""

from __future__ import annotations

from git_lds.errors import LdsError

MAX_SIZE = 256 << 10
"""Bytes of the largest settings file that is read: an `.ldsdeps` with some 700 dependencies."""

_MAX_DOTS = 256
"""Dots in one line. A key of 20,000 dotted parts takes tomllib 8 s, as it copies all parts for each."""


_CHOOSING: dict[bytes, tuple[int, ...]] = {b"<<<<<<<": (0,), b"|||||||": (), b"=======": (1,), b">>>>>>>": (0, 1)}
"""For which sides the lines after a marker are."""


def is_in_conflict(data: bytes) -> bool:
    """Tell whether the text has the lines in it by which git marks a conflict."""
    return any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in data.splitlines())


def sides(data: bytes) -> list[bytes]:
    """Return what both sides of a conflict have, ours first, where git marked one in the text; else the text alone."""
    if not is_in_conflict(data):
        return [data]
    found: list[list[bytes]] = [[], []]
    chosen: tuple[int, ...] = (0, 1)
    for line in data.splitlines(keepends=True):
        marker = line.rstrip(b"\r\n").partition(b" ")[0]
        if marker in _CHOOSING:
            chosen = _CHOOSING[marker]
            continue
        for side in chosen:
            found[side].append(line)
    return [b"".join(lines) for lines in found]


def read(data: bytes, name: str) -> dict[str, object]:
    """Return the tables of the file `name` that holds `data`. Raises LdsError that says what is wrong in it."""
    import tomllib  # late: 6 ms that most calls of the filter need not pay

    hint = f"correct {name}, or restore it: git checkout -- {name}"
    if len(data) > MAX_SIZE:
        raise LdsError(f"{name} is larger than {MAX_SIZE} bytes", hint)
    if any(line.count(b".") > _MAX_DOTS for line in data.splitlines()):
        raise LdsError(f"{name} holds a line with more than {_MAX_DOTS} dots", hint)
    if is_in_conflict(data):
        raise LdsError(f"{name} holds unresolved conflicts", f"resolve them, then: git add {name}")
    try:
        # RecursionError: brackets nested too deep; ValueError: also numbers with too many digits
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        said = "".join(c if c.isprintable() else " " for c in str(error)[:200])
        raise LdsError(f"{name} is not valid TOML: {said}", hint) from None
