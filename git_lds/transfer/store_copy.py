"""Copies a store: first the files that the copy lacks, each verified, then the log entries, in order.

The copy has the same id and the same log, entry by entry. So at any time the copy is in a state that the store had, and a copy
whose log has diverged is never added to. The next run continues an interrupted one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from git_lds import workers
from git_lds.errors import CorruptData, LdsError, NotInStore
from git_lds.fast_typing import NamedTuple
from git_lds.files import Scratch, sweep
from git_lds.hashing import FileId, of_bytes
from git_lds.progress import SILENT, Progress
from git_lds.store.backends.contract import Backend
from git_lds.store.client.log_reader import read_entry
from git_lds.store.client.store import Store
from git_lds.store.client.verified_files import fetch_named
from git_lds.store.format.keys import (
    HEAD,
    MAX_SIZES,
    PARAMETERS,
    KeyKind,
    Parameters,
    checkpoint_key,
    index_key,
    log_key,
    pack_key,
    parse,
)
from git_lds.store.format.log import EMPTY, Hint, LogEntry, StoreState, apply_all, encode_checkpoint
from git_lds.transfer.disk_errors import disk_errors
from git_lds.workers import Stop

_MOST_AHEAD = 256
"""Log entries requested at a time at most."""

_SHOWN = 10
"""How many files an error lists before it counts the rest."""


class Mirrored(NamedTuple):
    """What was copied: the number of files, their bytes, and the number of log entries."""

    files: int
    size: int
    entries: int


class _StoreFile(NamedTuple):
    """A file that the copy lacks. `size` is None if the source lacks it too."""

    key: str
    size: int | None
    is_damaged: bool
    """Whether the copy has the file with another size."""


class _LogComparison(NamedTuple):
    """The comparison of both logs.

    It has the number of entries of the copy, the entries that it lacks, the state after the last one, and the checkpoint that the
    hint of the source names, as key and contents, if it is valid.
    """

    common: int
    new: Sequence[bytes]
    state: StoreState
    checkpoint: tuple[str, bytes] | None


def mirror(source: Backend, target: Backend, cache_dir: Path, progress: Progress = SILENT) -> Mirrored:
    """Make the store `target`, which is created if needed, a copy of the store `source`; return what was copied.

    Files are written to `cache_dir` on the way. Raises NotInStore if there is no `source`; LdsError if `target` is another
    store or its log has diverged, with nothing changed there; CorruptData if files of the source are missing or damaged,
    with the log of `target` unchanged; and the errors of both backends.
    """
    parameters = _parameters(source)
    if parameters is None:
        raise NotInStore(f"there is no store at {source.url}", "check the URL")
    existing = _parameters(target)
    if existing is not None:
        _check_same(parameters, existing, source, target)
    logs = _compare(source, target)
    # creates it if needed, and notices if it has no put-if-absent
    _check_same(parameters, Store(target, cache_dir).create(parameters.store_id), source, target)
    files, size = _copy_files(source, target, logs.state, cache_dir / "mirror", progress)
    for seq, data in enumerate(logs.new, logs.common):
        if not target.create(log_key(seq), data) and read_entry(target, seq) != data:
            raise _diverged(source, target, seq)
    with contextlib.suppress(LdsError):  # it only makes reading faster
        _write_hint(target, logs)
    return Mirrored(files, size, len(logs.new))


def _parameters(backend: Backend) -> Parameters | None:
    try:
        return Parameters.decode(backend.read(PARAMETERS, limit=MAX_SIZES[KeyKind.PARAMETERS]))
    except NotInStore:
        return None


def _check_same(ours: Parameters, theirs: Parameters, source: Backend, target: Backend) -> None:
    if ours.store_id != theirs.store_id:
        raise LdsError(
            f"{target.url} is another store than {source.url}; nothing was changed",
            hint="choose an empty directory or bucket, or a copy of this store",
        )


# the logs


def _compare(source: Backend, target: Backend) -> _LogComparison:
    """Compare both logs from their beginnings. Raises LdsError if they differ."""
    hint = _hint(source)
    named = parse(hint.checkpoint) if hint is not None and hint.checkpoint is not None else None
    common, new = 0, []

    def decoded() -> Iterator[LogEntry]:
        nonlocal common
        for seq, (ours, theirs) in enumerate(itertools.zip_longest(_entries(source), _entries(target))):
            if theirs is None:
                new.append(ours)
            elif theirs != ours:
                raise _diverged(source, target, seq)
            else:
                common += 1
            try:
                yield LogEntry.decode(ours)
            except CorruptData as error:
                raise CorruptData(f"{log_key(seq)} of {source.url}: {error.message}", error.hint) from None

    entries = decoded()
    checkpoint = None
    state = EMPTY
    if named is not None and named.seq is not None:
        state = apply_all(state, itertools.islice(entries, named.seq + 1))
        checkpoint = _checkpoint(state, named.id)
    state = apply_all(state, entries)
    return _LogComparison(common, new, state, checkpoint)


def _entries(backend: Backend) -> Iterator[bytes]:
    """Yield the entries of a log in order, requesting more and more of them at a time."""
    seq, ahead = 0, 4
    while True:
        calls = [partial(read_entry, backend, seq + number) for number in range(ahead)]
        for data in workers.side_by_side(calls, backend.close):
            if data is None:
                return
            yield data
        seq, ahead = seq + ahead, min(2 * ahead, _MOST_AHEAD)


def _hint(backend: Backend) -> Hint | None:
    with contextlib.suppress(LdsError):
        return Hint.decode(backend.read(HEAD, limit=MAX_SIZES[KeyKind.HEAD]))
    return None


def _checkpoint(state: StoreState, id: FileId | None) -> tuple[str, bytes] | None:
    """Return the key and contents of the checkpoint of `state` if its id is `id`, else None."""
    with contextlib.suppress(LdsError):  # too many packs for one
        data = encode_checkpoint(state)
        if (made := FileId(of_bytes(data))) == id:
            return checkpoint_key(state.seq, made), data
    return None


def _diverged(source: Backend, target: Backend, seq: int) -> LdsError:
    return LdsError(
        f"the log of {target.url} differs from that of {source.url} from entry {seq} on; the log was not changed",
        hint="one of the two was pushed to or restored from an older copy; copy to a new URL",
    )


def _write_hint(target: Backend, logs: _LogComparison) -> None:
    """Write the hint of the copy: where its log ends, and where a checkpoint is."""
    if logs.checkpoint is not None:
        target.create(*logs.checkpoint)
    hint = Hint(logs.state.seq, logs.checkpoint[0] if logs.checkpoint is not None else None)
    if logs.state.seq >= 0 and _hint(target) != hint:
        target.write(HEAD, hint.encode())


# the files


def _copy_files(source: Backend, target: Backend, state: StoreState, tmp: Path, progress: Progress) -> tuple[int, int]:
    """Copy the packs and indexes of `state` that `target` lacks; return their number and bytes.

    Raises CorruptData, after all others are copied, if some are missing or damaged in the source.
    """
    wanted = list(_missing(source, target, state))
    progress.start("copy", len(wanted), sum(file.size or 0 for file in wanted))
    failed: list[str] = []
    copied = size = 0
    with disk_errors(tmp):
        sweep(tmp)
    try:
        # closed here, where a second Ctrl-C, which git passes on to its commands, is caught
        with contextlib.closing(workers.run(wanted, partial(_copy_file, source, target, tmp), source.close)) as copies:
            for file, error in copies:
                if error is not None:
                    failed.append(error.message)
                    continue
                copied, size = copied + 1, size + (file.size or 0)
                progress.moved(file.size or 0)
                progress.done(file.key)
    finally:
        progress.finish()
    if failed:
        raise _incomplete(source, target, sorted(failed))
    return copied, size


def _incomplete(source: Backend, target: Backend, failed: Sequence[str]) -> CorruptData:
    count = "1 file is" if len(failed) == 1 else f"{len(failed)} files are"
    more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
    summary = f"{count} missing or damaged in {source.url}; the log of {target.url} was not changed"
    return CorruptData(
        "\n  ".join([summary, *failed[:_SHOWN], *more]), "in a clone that has the contents: git lds push --all"
    )


def _missing(source: Backend, target: Backend, state: StoreState) -> Iterator[_StoreFile]:
    """Yield the files of `state` that `target` lacks or has with another size."""
    indexes = [index_key(id) for id in state.indexes]
    sizes: dict[str, int | None] = {pack_key(id): size for id, size in state.packs.items()}
    sizes |= zip(indexes, _sizes(source, indexes), strict=True)
    for (key, size), existing in zip(sizes.items(), _sizes(target, list(sizes)), strict=True):
        if existing is None or (size is not None and size != existing):
            yield _StoreFile(key, size, is_damaged=existing is not None)


def _sizes(backend: Backend, keys: Sequence[str]) -> list[int | None]:
    return workers.side_by_side([partial(backend.size, key) for key in keys], backend.close)


def _copy_file(
    source: Backend, target: Backend, tmp: Path, file: _StoreFile, stop: Stop
) -> tuple[_StoreFile, LdsError | None]:
    """Copy a file; return it, and its error if the source lacks it or has it damaged."""
    stop.check()
    with disk_errors(tmp), Scratch(tmp) as scratch:
        try:
            fetch_named(source, file.key, scratch)
        except (NotInStore, CorruptData) as error:
            return file, error
        size = os.fstat(scratch.fd).st_size
        if size != file.size:
            return file, CorruptData(f"{file.key} of {source.url} has {size} bytes, and its log says {file.size}")
        if file.is_damaged:
            target.delete(file.key)
        if not target.create(file.key, scratch.path) and target.size(file.key) != size:
            raise LdsError(f"{file.key} cannot be put into {target.url}: other contents exist there")
    return file, None
