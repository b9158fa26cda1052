"""Which lines differ between two texts, by git's own diff."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from git_lds import sharing
from git_lds.git.run import Git

_BLOCK = 1 << 16


def differences(git: Git, directory: Path, before: bytes, after: bytes, *, limit: int) -> tuple[list[bytes], bool]:
    """Return the lines of a diff without its head, each with ` `, `+`, `-` or `@` before it; and whether that is all of them.

    At most about `limit` bytes are read. Scratch files are made in `directory`.
    """
    sharing.make_directory(directory)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        paths = [Path(scratch) / word for word in ("before", "after")]
        for path, data in zip(paths, (before, after), strict=True):
            path.write_bytes(data)
        # git exits with 1 where the files differ, so that what it wrote is read from a pipe
        options = ("--no-index", "--no-color", "--no-ext-diff", "--no-textconv", "--text", "-U3")
        running = git.start("diff", *options, "--", *map(str, paths))
        assert running.stdin is not None and running.stdout is not None
        running.stdin.close()
        data = b""
        with contextlib.closing(running.stdout) as stream:
            while len(data) <= limit and (block := stream.read(_BLOCK)):
                data += block
        is_whole = len(data) <= limit
        if not is_whole:
            running.kill()
        running.wait()
    return list(_lines(data)), is_whole


def _lines(data: bytes) -> Iterator[bytes]:
    is_head = True
    for line in data.split(b"\n"):
        if line.startswith(b"@@ "):
            is_head = False
        if is_head or not line or line.startswith(b"\\"):
            continue
        yield b"@" + line[2:].rpartition(b" @@")[0].strip() if line.startswith(b"@@ ") else line
