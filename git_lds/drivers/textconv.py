"""What git shows of a tracked file in a diff: text as it is, JSON by lines, of anything else what it is and how large.

git hands over a file with the contents, or with the pointer where they are large or not here. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from typing import BinaryIO

from git_lds import hashing, pointer
from git_lds.data.image.identify import described
from git_lds.data.json import strict
from git_lds.errors import LdsError
from git_lds.git import caller
from git_lds.pointer import Pointer

_MAX_TEXT = 8 << 20
"""Bytes of a text that are shown: 8 MB of differences are more than anybody reads, and git holds them in memory."""

_MAX_JSON = 8 << 20
"""Bytes of the largest JSON that is shown by lines where it has none of its own: that takes 0.2 s a side."""

_LONG_LINE = 2000
"""JSON whose lines are longer on average is written for programs, on one line or a few."""

_PROBE = 8000
"""Bytes in which git itself looks for a NUL before it takes a file for text."""

_BLOCK = 1 << 20


def convert(path: str) -> Iterator[bytes]:
    """Yield what is shown of the file at `path`, which git made or which stands in the working tree. Raises LdsError."""
    name = os.path.basename(path)
    with _opened(path) as stream:
        head = stream.read(pointer.MAX_LENGTH + 1)
        found = pointer.parse(head)
        stream.seek(0)
        if found is None:
            yield from _shown(stream, os.fstat(stream.fileno()).st_size, name, None)
            return
    # late: git hands over most files with their contents, and a third of the start is what reads objects
    from git_lds.repo import Repo

    try:
        repo = Repo.here()
    except LdsError:
        yield found.encode()  # an error would be the end of the whole diff
        return
    with repo:
        contents = repo.objects.open(found.oid)
        if contents is None:
            yield found.encode() + b"(not on this machine: git lds fetch)\n"
            return
        with contents:
            yield from _shown(contents, found.size, name, found)


def _opened(path: str) -> BinaryIO:
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise LdsError(f"{path}: {error.strerror}", "git calls this with a file of its own") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise LdsError(f"{path}: not a file", "git calls this with a file of its own")
    return stream


def _shown(stream: BinaryIO, size: int, name: str, found: Pointer | None) -> Iterator[bytes]:
    if _wants_contents():
        yield from iter(lambda: stream.read(_BLOCK), b"")
        return
    head = stream.read(_MAX_TEXT if size > _MAX_TEXT else size)
    if b"\0" in head[:_PROBE] or described(head, name) is not None:
        yield _of_binary(head, name, found, stream)
    elif _is_written_for_programs(head, name):
        yield (
            _by_lines(head, name) if size <= _MAX_JSON else _of_binary(head, name, found, stream, "JSON without lines")
        )
    else:
        yield head
        if size > len(head):
            oid = _pointer_of(stream, found).oid.hex().encode()
            yield b"\n(%d more bytes are not shown)\noid blake3:%s\n" % (size - len(head), oid)


def _wants_contents() -> bool:
    """Tell whether one version was asked for by name, as programs with a window do to show it beside another.

    `git show --textconv HEAD:a.json` and `git cat-file --textconv` are to give what the file is, not what a diff shows.
    """
    words = caller.words()
    verb = caller.verb(words)
    named = verb == b"cat-file" or any(b":" in word for word in words[2:] if not word.startswith(b"-"))
    return b"--textconv" in words and verb in (b"show", b"cat-file") and named


def _of_binary(head: bytes, name: str, found: Pointer | None, stream: BinaryIO, otherwise: str = "binary") -> bytes:
    """Return a line or two about a file that has no lines to show: what changes when it does is its oid."""
    known = _pointer_of(stream, found)
    kind = described(head, name) or otherwise
    return f"{kind}, {known.size} bytes\noid blake3:{known.oid.hex()}\n".encode()


def _pointer_of(stream: BinaryIO, found: Pointer | None) -> Pointer:
    """Return the pointer of what is shown; a file of the working tree is hashed, at 2 GB a second."""
    if found is None:
        stream.seek(0)
        found = Pointer(*hashing.of_stream(stream))
    return found


def _is_written_for_programs(text: bytes, name: str) -> bool:
    start = text[:_PROBE].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start not in (b"{", b"[") or name.endswith((".jsonl", ".ndjson")):
        return False
    return len(text) > _LONG_LINE * (text.count(b"\n") + 1) or (text.count(b"\n") <= 1 and len(text) > 80)


_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def _by_lines(text: bytes, name: str) -> bytes:
    """Return JSON with a line for each value, and numbers as they are written; as it is where it is none, or not one that can
    be relied on."""
    try:
        whole = strict.text(text, name)
        strict.value(whole, name)
    except LdsError:
        return text
    # token by token, since a number that was read is not written again as it was: 1e5, 1.50, 1e400
    out: list[str] = []
    depth, previous = 0, ""
    for token in _TOKEN.findall(whole):
        if token == ",":
            out.append(",\n" + " " * depth)
        elif token == ":":
            out.append(": ")
        elif token in ("[", "{"):
            depth += 1
            out += (token, "\n" + " " * depth)
        elif token in ("]", "}"):
            depth -= 1
            if previous in ("[", "{"):
                out[-1] = token
            else:
                out.append("\n" + " " * depth + token)
        else:
            out.append(json.dumps(json.loads(token), ensure_ascii=False) if "\\" in token else token)
        previous = token
    return "".join(out).encode("utf-8", "surrogatepass") + b"\n"
