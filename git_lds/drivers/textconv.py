"""What git shows of a tracked file in a diff: text as it is, JSON by lines, of other files their kind and size.

git passes a file with the contents, or with the pointer if they are large or not on this machine. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from typing import BinaryIO

from git_lds import hashing, pointer
from git_lds.data import registry
from git_lds.data.image.identify import described
from git_lds.data.json import strict
from git_lds.errors import LdsError
from git_lds.git import attributes, caller
from git_lds.git.run import Git, GitFailed
from git_lds.pointer import Pointer

_MAX_TEXT = 8 << 20
"""Bytes of a text that are shown. 8 MB of differences are more than anybody reads, and git holds them in memory."""

_MAX_JSON = 8 << 20
"""Bytes of the largest JSON on one line that is shown by lines, which takes 0.2 s a side."""

_LONG_LINE = 2000
"""Bytes of a line, on average, from which JSON counts as written for programs."""

_PROBE = 8000
"""Bytes that are looked at for how a file begins."""

_BLOCK = 1 << 20


def convert(path: str) -> Iterator[bytes]:
    """Yield what is shown of the file at `path`, in the working tree or a temporary file of git. Raises LdsError."""
    with _opened(path) as stream:
        head = stream.read(pointer.MAX_LENGTH + 1)
        found = pointer.parse(head)
        stream.seek(0)
        if found is None:
            yield from _shown(stream, os.fstat(stream.fileno()).st_size, path, None)
            return
    # late: git passes most files with their contents, and what reads objects is a third of the start
    from git_lds.repo import Repo

    try:
        repo = Repo.here()
    except LdsError:
        yield found.encode()  # an error would end the whole diff
        return
    with repo:
        contents = repo.objects.open(found.oid)
        if contents is None:
            yield found.encode() + b"(not on this machine: git lds fetch)\n"
            return
        with contents:
            yield from _shown(contents, found.size, path, found)


def _opened(path: str) -> BinaryIO:
    try:
        stream = open(path, "rb")
    except OSError as error:
        raise LdsError(f"{path}: {error.strerror}", "git calls this with a file of its own") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise LdsError(f"{path}: not a file", "git calls this with a file of its own")
    return stream


def _shown(stream: BinaryIO, size: int, path: str, known: Pointer | None) -> Iterator[bytes]:
    if _wants_contents():
        yield from iter(lambda: stream.read(_BLOCK), b"")
        return
    head = stream.read(_MAX_TEXT if size > _MAX_TEXT else size)
    if not registry.is_text(head):
        yield _of_binary(head, known, stream)
    elif not _is_laid_out(head, path):
        yield head
        if size > len(head):
            oid = _pointer_of(stream, known).oid.hex().encode()
            yield b"\n(%d more bytes are not shown)\noid blake3:%s\n" % (size - len(head), oid)
    elif size <= _MAX_JSON:
        yield _by_lines(head, os.path.basename(path))
    else:
        yield _of_binary(head, known, stream, "JSON without lines")


def _wants_contents() -> bool:
    """Return whether git shows one version that the user named, as graphical diff tools do.

    `git show --textconv HEAD:a.json` and `git cat-file --textconv` give the contents, not what a diff shows.
    """
    words = caller.words()
    verb = caller.verb(words)
    named = verb == b"cat-file" or any(b":" in word for word in words[2:] if not word.startswith(b"-"))
    return b"--textconv" in words and verb in (b"show", b"cat-file") and named


def _of_binary(head: bytes, known: Pointer | None, stream: BinaryIO, otherwise: str = "binary") -> bytes:
    """Return the kind, the size and the oid of a file without lines; the oid is what changes when the file does."""
    found = _pointer_of(stream, known)
    return f"{described(head) or otherwise}, {found.size} bytes\noid blake3:{found.oid.hex()}\n".encode()


def _pointer_of(stream: BinaryIO, known: Pointer | None) -> Pointer:
    """Return the pointer of the contents; a file of the working tree is hashed, at 2 GB a second."""
    if known is not None:
        return known
    stream.seek(0)
    return Pointer(*hashing.of_stream(stream))


def _is_laid_out(text: bytes, path: str) -> bool:
    """Return whether a text is shown with a line for each value: JSON written for programs, on one line or a few."""
    start = text[:_PROBE].removeprefix(strict.MARK).lstrip()[:1]
    lines = text.count(b"\n")
    if start not in (b"{", b"[") or not (len(text) > _LONG_LINE * (lines + 1) or (lines <= 1 and len(text) > 80)):
        return False
    # git is asked only here: for most files the start of one more process would be all that it changes
    kind = registry.declared(_attributes(path))
    return kind in (registry.JSON, registry.COCO) if kind else registry.by_name(os.fsencode(path)) is not registry.JSONL


def _attributes(path: str) -> dict[str, bytes]:
    """Return the attributes that decide the kind of a file.

    git does not say which path a version from a commit has, only its last name. So attributes that depend on the directory
    count for files of the working tree alone.
    """
    name = os.fsencode(os.path.basename(path) if os.path.isabs(path) else path)
    try:
        return attributes.check(Git(), registry.ATTRIBUTES, (name,))[name]
    except GitFailed:
        return {}  # outside a repository


_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def _by_lines(text: bytes, name: str) -> bytes:
    """Return JSON with a line for each value and numbers as they are written; other text, and JSON that `strict` refuses,
    unchanged."""
    try:
        whole = strict.text(text, name)
        strict.value(whole, name)
    except LdsError:
        return text
    # token by token, since Python would write some numbers differently: 1e5, 1.50, 1e400
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
