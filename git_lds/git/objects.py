"""Objects of git: read many in one process, written, measured, and looked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from git_lds.fast_typing import TYPE_CHECKING
from git_lds.git.run import Git, GitFailed

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO


_FEW = 1000
"""Up to this many objects are asked of the open reader, which needs no process of its own."""


class BlobReader:
    """A running `git cat-file --batch -z`. Names are what git takes: an object id, `HEAD:path`, `:path`."""

    def __init__(self, git: Git) -> None:
        self._process = git.start("cat-file", "--batch", "-z")

    def read(self, name: bytes) -> bytes | None:
        """Return the contents of the blob `name`, or None when there is none."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(name + b"\0")
            stdin.flush()
        except BrokenPipeError:
            return None
        # "<oid> <type> <size>\n<contents>\n", or "<name> missing\n" where the name may hold newlines of its own
        header = stdout.readline()
        for _ in range(name.count(b"\n")):
            if header.endswith((b" missing\n", b" ambiguous\n")) or _is_header(header):
                break
            header += stdout.readline()
        if not _is_header(header):
            return None
        _, kind, size = header.split(b" ")
        data = stdout.read(int(size))
        stdout.read(1)
        return data if kind == b"blob" else None

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_header(line: bytes) -> bool:
    words = line.rstrip(b"\n").split(b" ")
    return len(words) == 3 and len(words[0]) in (40, 64) and words[2].isdigit()


def small_blobs(git: Git, ids: Iterable[bytes], *, limit: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (object id in hex, contents) of those `ids` that are blobs of 1 to `limit` bytes.

    Two passes, sizes first, so that no big blob is read; neither fetches what a partial clone left out.
    """
    return ((blob, text) for blob, _, text in measured(git, ids, limit=limit) if text is not None)


def measured(git: Git, ids: Iterable[bytes], *, limit: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Yield (object id in hex, size, contents) of those `ids` that are blobs; contents only of those of 1 to `limit` bytes."""
    wanted = list(ids)
    if len(wanted) <= _FEW:
        yield from _measured_by_reader(git, wanted, limit)
        return
    asked = b"".join(b"%s\n" % i for i in wanted)
    answers = git.bytes("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer", stdin=asked)
    sizes = []
    for line in answers.splitlines():
        words = line.split(b" ")
        if len(words) == 3 and words[1] == b"blob" and words[2].isdigit():
            sizes.append((words[0], int(words[2])))
    small = [blob for blob, size in sizes if 0 < size <= limit]
    data = git.bytes("cat-file", "--batch", "--buffer", stdin=b"".join(b"%s\n" % i for i in small)) if small else b""
    at = 0
    for blob, size in sizes:
        text = None
        if 0 < size <= limit:
            at = data.index(b"\n", at) + 1
            text = data[at : at + size]
            at += size + 1
        yield blob, size, text


def _measured_by_reader(git: Git, ids: Sequence[bytes], limit: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    infos = [info for info in git.reader.infos(map(bytes.decode, ids)) if info is not None and info.kind == "blob"]
    small = git.reader.contents(info.id for info in infos if 0 < info.size <= limit)
    for info in infos:
        answer = next(small) if 0 < info.size <= limit else None
        yield info.id.encode(), info.size, answer[1] if answer is not None else None


def missing(git: Git, ids: Iterable[str]) -> list[str]:
    """Return those object ids that are not in the repository, in their order."""
    asked = list(dict.fromkeys(ids))
    held = present(git, asked)
    return [each for each in asked if each not in held]


def present(git: Git, ids: Iterable[str]) -> set[str]:
    """Return those object ids that are in the repository, in one process. What a partial clone lacks is fetched by git
    unless GIT_NO_LAZY_FETCH is set."""
    wanted = list(ids)
    if len(wanted) <= _FEW:
        return {info.id for info in git.reader.infos(wanted) if info is not None}
    asked = "".join(f"{each}\n" for each in wanted).encode()
    answers = git.text("cat-file", "--batch-check=%(objectname)", "--buffer", stdin=asked).splitlines()
    return {line for line in answers if " " not in line}


def sizes(git: Git, ids: Iterable[bytes]) -> dict[bytes, int]:
    """Return the size in bytes of each object (ids in hex) that is in the repository, in one process."""
    wanted = list(dict.fromkeys(ids))
    if len(wanted) <= _FEW:
        infos = git.reader.infos(map(bytes.decode, wanted))
        return {info.id.encode(): info.size for info in infos if info is not None}
    asked = b"".join(each + b"\n" for each in wanted)
    lines = git.bytes("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin=asked).splitlines()
    return {each: int(size) for each, size in (line.split(b" ", 1) for line in lines) if size.isdigit()}


def write_blob(git: Git, data: bytes) -> str:
    """Write a blob of these bytes, whatever filters a path would have; return its id. Raises GitFailed."""
    return git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=data)


def write_blobs(git: Git, blobs: Sequence[bytes], directory: Path) -> list[str]:
    """Write blobs of these bytes in one process; return their ids. Scratch files are made in `directory`. Raises GitFailed."""
    if not blobs:
        return []
    scratch = directory / "blobs"
    scratch.mkdir(parents=True, exist_ok=True)
    paths = [scratch / str(number) for number in range(len(blobs))]
    for path, data in zip(paths, blobs, strict=True):
        path.write_bytes(data)
    try:
        stdin = b"".join(os.fsencode(path) + b"\n" for path in paths)
        return git.text("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=stdin).split("\n")
    finally:
        for path in paths:
            path.unlink()
        scratch.rmdir()


def write_blob_from(git: Git, stream: IO[bytes]) -> str:
    """Write a blob of what a stream gives, of any size; return its id. Raises GitFailed."""
    command = ("hash-object", "-w", "--no-filters", "--stdin")
    with git.start(*command) as process:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            while block := stream.read(1 << 20):
                process.stdin.write(block)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        written = process.stdout.read().strip()
    if process.returncode or not written:
        raise GitFailed(("git", *command), process.returncode, "")
    return written.decode()


def missing_below(git: Git, commit: str, *, excluded: Iterable[str]) -> list[str]:
    """Return the ids of the objects of a commit's history that are not present, leaving out that of the commits `excluded`.

    Raises GitFailed if a commit or tree is missing.
    """
    asked = "".join(f"{line}\n" for line in (commit, *(f"^{each}" for each in excluded))).encode()
    listed = git.text("rev-list", "--objects", "--missing=print", "--stdin", stdin=asked)
    return [line[1:] for line in listed.splitlines() if line.startswith("?")]


@contextlib.contextmanager
def open_blob(git: Git, blob: str) -> Iterator[IO[bytes]]:
    """Give the contents of a blob as a stream, of any size. Raises GitFailed at the end if git did not give all."""
    process = git.start("cat-file", "blob", blob)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout
        complete = not process.stdout.read(1)
    except BaseException:
        complete = False
        raise
    finally:
        process.stdin.close()
        process.stdout.close()
        status = process.wait()
    if status and complete:
        raise GitFailed(("git", "cat-file", "blob", blob), status, "")


def blob_id(data: bytes, hash_size: int) -> bytes:
    """Return the raw id that git gives a blob of these bytes; `hash_size` is 20 (SHA-1) or 32 (SHA-256)."""
    text = b"blob %d\0" % len(data) + data
    import hashlib  # late: 3 ms that a filter which only cleans should not pay

    return (hashlib.sha1(text, usedforsecurity=False) if hash_size == 20 else hashlib.sha256(text)).digest()
