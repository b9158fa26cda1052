"""The long-running filter: git's filter protocol, version 2 (gitattributes, "Long Running Filter Process").

One process serves all files of one git command. It holds no policy: `clean` and `smudge` do.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from git_lds import files, pointer
from git_lds.errors import EXIT_INTERRUPTED, LdsError
from git_lds.fast_typing import TYPE_CHECKING
from git_lds.filters import DELAYED, complain, say
from git_lds.filters.clean import Cleaner
from git_lds.git import pktline
from git_lds.git.pktline import FLUSH, PktLineError, PktReader, PktWriter
from git_lds.progress import SILENT, Progress
from git_lds.repo import Repo

if TYPE_CHECKING:
    from typing import IO

    from git_lds.filters.smudge import Answer, Smudger

_CAPABILITIES = (b"capability=clean", b"capability=smudge", b"capability=delay")
_SUCCESS = pktline.line(b"status=success") + FLUSH
_SPOOL = 1 << 20


def main(
    stdin: int = 0,
    stdout: int = 1,
    progress: Callable[[], Progress] = lambda: SILENT,
    ending: Callable[[Repo], None] = lambda repo: None,
    install_hook: Callable[[Repo], bool] = lambda repo: False,
) -> int:
    """Serve git until it closes the pipe; return the exit code.

    `ending` gets the repository, if one was opened. `install_hook` is called if a checkout lacks contents, and returns
    whether our `post-checkout` hook is in place.
    """
    reader, writer = PktReader(stdin), PktWriter(stdout)
    # git passes the signal that ends it on to us; as an exception it leaves no lock and no scratch file behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_INTERRUPTED))
    try:
        _shake_hands(reader, writer)
        with FilterSession(reader, writer, progress, ending, install_hook) as session:
            session.serve()
    except EOFError:
        pass
    except (PktLineError, BrokenPipeError) as error:
        say(f"the connection to git broke off: {error}")
        return 1
    return 0


def _shake_hands(reader: PktReader, writer: PktWriter) -> None:
    if b"git-filter-client" not in (hello := reader.lines()) or b"version=2" not in hello:
        raise PktLineError("only git runs this command, with version 2 of the filter protocol")
    writer.lines(b"git-filter-server", b"version=2")
    offered = reader.lines()
    writer.lines(*(capability for capability in _CAPABILITIES if capability in offered))


class FilterSession:
    """One conversation with git. The repository is opened when the first file comes."""

    def __init__(
        self,
        reader: PktReader,
        writer: PktWriter,
        progress: Callable[[], Progress],
        ending: Callable[[Repo], None],
        install_hook: Callable[[Repo], bool],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._progress = progress
        self._ending = ending
        self._install_hook = install_hook
        self._checkout_tree: str | None = None

    @cached_property
    def _repo(self) -> Repo:
        return Repo.here(checkout_tree=self._checkout_tree, on_config_error=complain)

    @cached_property
    def _cleaner(self) -> Cleaner:
        return Cleaner(self._repo)

    @cached_property
    def _smudger(self) -> Smudger:
        from git_lds.filters.smudge import Smudger  # late: `git add` and `git status` only clean

        return Smudger(self._repo, self._progress(), self._install_hook)

    def serve(self) -> None:
        """Answer requests until git closes the pipe (EOFError)."""
        while True:
            request = dict(line.partition(b"=")[::2] for line in self._reader.lines())
            command = request.get(b"command")
            if command == b"clean":
                self._clean(request.get(b"pathname", b""))
            elif command == b"smudge":
                self._smudge(request)
            elif command == b"list_available_blobs":
                available = self._smudger.available()
                self._writer.lines(*(b"pathname=" + path for path in available))
                failed = not available and self._smudger.ends_in_error
                self._writer.lines(b"status=error" if failed else b"status=success")
            else:
                for _ in self._reader.contents():
                    pass
                self._writer.lines(b"status=abort")

    def _clean(self, path: bytes) -> None:
        contents = self._reader.contents()
        try:
            answer = self._cleaner.clean(path, contents)
        except (OSError, LdsError) as error:
            self._refuse(path, error, contents)
        else:
            self._send(answer)

    def _smudge(self, request: dict[bytes, bytes]) -> None:
        path = request.get(b"pathname", b"")
        if self._checkout_tree is None and b"treeish" in request:
            self._checkout_tree = request[b"treeish"].decode("ascii", "replace")
        can_delay = request.get(b"can-delay") == b"1"
        contents = self._reader.contents()
        try:
            blob, spool = _head(contents)
            if spool is None:
                has_blob, has_tree = b"blob" in request, not request.keys().isdisjoint((b"ref", b"treeish"))
                answer: Answer = self._smudger.smudge(
                    path,
                    blob,
                    can_delay=can_delay,
                    for_no_tree=has_blob and not has_tree,
                    for_a_file=not has_blob and not has_tree,
                )
            else:
                self._smudger.pass_through(path, can_delay=can_delay)
                answer = spool
        except (OSError, LdsError) as error:
            self._refuse(path, error, contents)
            return
        if isinstance(answer, bytes):
            self._send(answer)
            self._smudger.read_ahead()
        elif answer is DELAYED:
            self._writer.lines(b"status=delayed")
        else:
            self._stream(path, answer)

    def _refuse(self, path: bytes, error: OSError | LdsError, contents: Iterator[bytes]) -> None:
        """Print what went wrong with a file, and read the rest of it, so that the protocol stays in step."""
        for _ in contents:
            pass
        _explain(path, error)
        self._writer.lines(b"status=error")

    def _send(self, contents: bytes) -> None:
        """Send contents in one piece: each write wakes git up."""
        self._writer.send(b"".join((_SUCCESS, *pktline.packets(contents), FLUSH, FLUSH)))

    def _stream(self, path: bytes, blocks: Iterable[bytes]) -> None:
        """Send contents block by block; an error while they are read revokes the "success"."""
        head, end = _SUCCESS, FLUSH
        source = iter(blocks)
        while True:
            try:
                block = next(source, None)
            except (OSError, LdsError) as error:
                _explain(path, error)
                end = pktline.line(b"status=error") + FLUSH
                break
            if block is None:
                break
            self._writer.send(head + b"".join(pktline.packets(block)))
            head = b""
        self._writer.send(head + FLUSH + end)

    def __enter__(self) -> FilterSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if "_cleaner" in self.__dict__:
            self._cleaner.close()
        if "_repo" in self.__dict__:
            self._repo.own.sync()
            was_stopped = kind is not None and not issubclass(kind, Exception)
            if "_smudger" in self.__dict__:
                if not was_stopped:
                    self._smudger.finish()
                self._smudger.close()
            self._ending(self._repo)
            self._repo.close()


def _explain(path: bytes, error: OSError | LdsError) -> None:
    if isinstance(error, LdsError):
        say(error.message, error.hint)
    else:
        say(f"{files.printable(path)}: {error.strerror or error}")


def _head(contents: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """Return contents that are short enough for a pointer, or a stream of longer ones, which do not stay in memory."""
    head = b""
    for block in contents:
        head += block
        if len(head) > pointer.MAX_LENGTH:
            return b"", _spooled(head, contents)
    return head, None


def _spooled(head: bytes, contents: Iterator[bytes]) -> Iterator[bytes]:
    import tempfile  # late: few repositories have such files

    spool = tempfile.SpooledTemporaryFile(max_size=_SPOOL)
    spool.write(head)
    for block in contents:
        spool.write(block)
    return _read(spool)


def _read(spool: IO[bytes]) -> Iterator[bytes]:
    with spool:
        spool.seek(0)
        yield from iter(lambda: spool.read(_SPOOL), b"")
