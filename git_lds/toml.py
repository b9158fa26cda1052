"""Reads untrusted TOML: bounded in size and time, with one clear line for every error."""

from __future__ import annotations

from git_lds.errors import LdsError

MAX_SIZE = 256 << 10
"""The largest settings file that is read, in bytes: an `.ldsdeps` with some 700 dependencies."""

_MAX_DOTS = 256
"""Dots in one line at most. tomllib needs 8 s for a key of 20,000 dotted parts, as it copies all parts for each."""


_SIDES_AFTER: dict[bytes, tuple[int, ...]] = {b"<<<<<<<": (0,), b"|||||||": (), b"=======": (1,), b">>>>>>>": (0, 1)}
"""To which sides the lines after a marker belong."""


def is_in_conflict(data: bytes) -> bool:
    """Return whether the text has conflict markers of git."""
    return any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in data.splitlines())


def sides(data: bytes) -> list[bytes]:
    """Return both sides of a text with conflict markers, ours first; without markers, the text alone."""
    if not is_in_conflict(data):
        return [data]
    lines_of: list[list[bytes]] = [[], []]
    chosen: tuple[int, ...] = (0, 1)
    for line in data.splitlines(keepends=True):
        marker = line.rstrip(b"\r\n").partition(b" ")[0]
        if marker in _SIDES_AFTER:
            chosen = _SIDES_AFTER[marker]
            continue
        for side in chosen:
            lines_of[side].append(line)
    return [b"".join(lines) for lines in lines_of]


def read(data: bytes, name: str) -> dict[str, object]:
    """Return the tables in the contents `data` of the file `name`. Raises LdsError if they are not valid."""
    import tomllib  # late: 6 ms, and few calls of the filter need it

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
