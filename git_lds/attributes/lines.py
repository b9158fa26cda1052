"""The one lexer of `.gitattributes`: a line is a pattern and attributes, as git itself reads it (attr.c, quote.c)."""

from __future__ import annotations

import re

from git_lds.fast_typing import NamedTuple

IMPORTED = b"# >>> git-lds: attributes of imported paths"
"""The beginning of the block in which imports keep the rules of their upstreams."""

MAX_LINE = 2048
"""git 2.39.1 and later ignore longer lines."""

BLANKS = b" \t\r\n"
"""The bytes that git takes for white space in an attributes file."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_WORD = re.compile(rb"[^ \t\r\n]+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\[abfnrtv\\"]|\\[0-3][0-7]{2})*)"')
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)
_SHORT = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class AttributesLine(NamedTuple):
    """A line of an attributes file: the pattern without its quotes, and the attributes as they are written."""

    pattern: bytes
    attributes: tuple[bytes, ...]


def parse(line: bytes) -> AttributesLine | None:
    """Return the pattern and the attributes of a line, or None for a blank line or a comment.

    A pattern in C quotes that are damaged is taken with its quotes, up to the first blank.
    """
    line = line.strip(BLANKS)
    if not line or line.startswith(b"#"):
        return None
    if (quoted := _QUOTED.match(line)) is not None:
        return AttributesLine(_ESCAPE.sub(_unescaped, quoted[1]), tuple(_WORD.findall(line, quoted.end())))
    pattern, *attributes = _WORD.findall(line)
    return AttributesLine(pattern, tuple(attributes))


def _unescaped(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _SHORT.get(code, code)
