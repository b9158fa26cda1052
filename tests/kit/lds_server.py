"""A real server process for the stores in a directory, and requests to it that no well-behaved client would send."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.store.format import frames, index, packfile
from git_lds.store.format.keys import Parameters, index_key, pack_key
from git_lds.store.format.log import LogEntry
from git_lds.store.format.packfile import ChunkAt

PARAMETERS = Parameters("ab" * 16).encode()


@dataclass(frozen=True)
class Served:
    """A running server: its address, and the process."""

    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def serving(root: Path | str, **options: object) -> Iterator[Served]:
    """Serve the stores in the directory `root`, or at an address in a bucket, with the options of `git_lds.server.serve`; the
    process is ended by its id."""
    words = "".join(f", {name}={value!r}" for name, value in {"port": 0, **options}.items())
    place = repr(root) if isinstance(root, str) else f"Path({str(root)!r})"
    code = f"from pathlib import Path; from git_lds.server import serve; serve({place}{words})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http://"), line
        yield Served(line.split()[-1], process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Reply:
    """What a server said: lower-case names of headers."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None and parts.port is not None
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def ask(url: str, method: str, target: str, body: bytes | None = None, **headers: str) -> Reply:
    """Send one request with `target` exactly as it stands. `If_None_Match="*"` is how a header is given."""
    fields = {"Host": urlsplit(url).netloc, "Connection": "close"}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fields.items() if value
    )
    with connect(url) as connection:
        # a server may refuse a body before it has it all
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(head.encode("latin-1") + b"\r\n" + (body or b""))
        return read_reply(connection)


def read_reply(connection: socket.socket) -> Reply:
    """Read one reply, to the end of the connection."""
    blocks = []
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(1 << 16):
            blocks.append(block)
    head, _, body = b"".join(blocks).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(first.split()[1]), headers, body)


def packed(*contents: bytes, random: bytes = bytes(16)) -> bytes:
    """A pack of chunks, each stored as it is and cut where it is too long for one; the same in each run."""
    cut = [data[at : at + frames.MAX_CHUNK] for data in contents for at in range(0, len(data), frames.MAX_CHUNK)]
    return pack_with([(hashing.of_bytes(data), frames.HEADER.pack(0, bytes(3), len(data), len(data)) + data) for data in cut],
                     random=random)  # fmt: skip


def pack_with(stored: Sequence[tuple[Oid, bytes]], *, random: bytes = bytes(16)) -> bytes:
    """A pack of these frames under these ids, whether they are what they should be or not."""
    chunks, body, logical = [], bytearray(packfile.MAGIC + random), 0
    for id, frame in stored:
        length = frames.HEADER.unpack_from(frame)[3]
        chunks.append(ChunkAt(id, len(body), len(frame), logical, length))
        body += frame  # in place instead of a copy per frame, which took minutes for packs of 48 MiB
        logical += length
    return bytes(body + packfile.encode_footer(chunks))


EMPTY_INDEX = index.encode((), {})


def id_of(data: bytes) -> FileId:
    """The id of the pack, index or checkpoint whose file is `data`."""
    return FileId(hashing.of_bytes(data))


def pack_of(data: bytes) -> str:
    """The key of the pack whose file is `data`."""
    return pack_key(id_of(data))


def index_of(data: bytes) -> str:
    return index_key(id_of(data))


def entry(
    number: int = 0,
    *,
    add_packs: Mapping[FileId, int] = MappingProxyType({}),
    add_indexes: tuple[FileId, ...] = (),
    drop_indexes: tuple[FileId, ...] = (),
    condemn_packs: tuple[FileId, ...] = (),
    remove_packs: tuple[FileId, ...] = (),
) -> bytes:
    """A log entry that is unlike those of other numbers."""
    push = f"{number:032x}"
    return LogEntry(push, 1_700_000_000, add_packs, add_indexes, drop_indexes, condemn_packs, remove_packs).encode()
