"""Brings what upstream has into this repository: one run for all dependencies of a command, all or nothing.

An *arrival* is a dependency as it will be, and what that changes here. First all is made ready: rules of attributes, the
new `.ldsdeps`, git's blobs, the objects. Then the switch is made.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.files import locked, shown
from git_lds.git.blobs import BlobReader
from git_lds.imports import attributes, carrying, contents, manifest, switching, transports, upstream
from git_lds.imports.attributes import Answer
from git_lds.imports.contents import Wanted
from git_lds.imports.edits import Stamp, View
from git_lds.imports.manifest import Dependency
from git_lds.imports.mirror import Mirror
from git_lds.imports.switching import Change
from git_lds.imports.transports import Transport
from git_lds.imports.upstream import ATTRIBUTES, Snapshot, TreeFile
from git_lds.progress import Progress
from git_lds.repo import Repo

_MAX_OWN = 4 << 20
"""Bytes of the largest `.gitattributes` or `.ldsdeps` that is rewritten."""

_DECISIVE = tuple(attributes.CARRIED.index(name) for name in ("filter", "text"))
"""Attributes that decide what git stores. The others may differ where a file of this repository insists."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A dependency as it will be, what upstream has of it, and the changes of files that this means here."""

    dependency: Dependency
    mirror: Mirror
    snapshot: Snapshot
    changes: tuple[Change, ...]


@contextlib.contextmanager
def alone(repo: Repo) -> Iterator[tuple[str, ...]]:
    """Hold the lock of imports and updates of this repository, and give the outputs that a killed one of them brings now."""
    if repo.work_tree is None:
        raise LdsError("this repository has no work tree", "run this in a clone that is not bare")
    with locked(repo.lds_dir / "imports.lock"):
        done = switching.carry_on(repo)
        try:
            yield done
        except BaseException:
            if not (switching.folder_of(repo) / "journal").exists():
                switching.discard(repo)
            raise
        switching.discard(repo)


def place(output: str, name: bytes) -> bytes:
    """Return the path here of upstream's file `name`; b"" is the dependency's path itself."""
    return output.encode() + (b"/" + name if name else b"")


def bring(
    repo: Repo, view: View, arrivals: Sequence[Arrival], progress: Progress, *, allowed: Transport | None = None
) -> None:
    """Bring the arrivals: their files to the work tree and the index, their lines to `.ldsdeps` and `.gitattributes`.

    `view` is of the two and of all outputs. `allowed` is the address that the user named, to be used from now on.
    """
    rules, answers = _rules(repo, view, arrivals)
    own = (
        _own_change(repo, view, ATTRIBUTES, rules),
        _own_change(repo, view, manifest.NAME.encode(), _entries_of(arrivals)),
    )
    sizes: dict[bytes, int] = {}
    for arrival, answer in zip(arrivals, answers, strict=True):
        sizes |= _bring_contents(repo, arrival, answer, progress)
    for arrival in arrivals:
        blobs = {change.after.blob.decode() for change in arrival.changes if change.after}
        carrying.carry(arrival.mirror, repo.git, blobs)
    changes = [change for arrival in arrivals for change in arrival.changes] + [change for change in own if change]
    if changes:
        outputs = [arrival.dependency.output for arrival in arrivals]
        local = allowed.url if allowed and allowed.folder else None
        switching.perform(repo, switching.prepare(repo, outputs, changes, sizes, local))
    elif allowed:
        transports.allow(allowed, repo.git)


def _bring_contents(repo: Repo, arrival: Arrival, answer: dict[bytes, Answer], progress: Progress) -> dict[bytes, int]:
    """Make sure that the contents of changed files are in a store, and here; return the sizes of those the work tree gets."""
    tracked = {
        change.path: change.after.blob
        for change in arrival.changes
        if change.after and change.path in answer and attributes.is_tracked(answer[change.path])
    }
    known = contents.pointers(arrival.mirror.git, tracked.values())
    found = {path: known[blob] for path, blob in tracked.items() if blob in known}
    wanted: Wanted = {at.oid: (at.size, path) for path, at in sorted(found.items(), reverse=True)}
    stores = contents.check_stored(repo, arrival.dependency, wanted) if wanted else []
    due = contents.due(repo, found)
    contents.bring(repo, stores, {at.oid: (at.size, path) for path, at in due.items()}, progress)
    return {path: at.size for path, at in due.items()}


# files of our own


def _entries_of(arrivals: Sequence[Arrival]) -> Callable[[bytes], bytes]:
    def with_entries(data: bytes) -> bytes:
        known = manifest.parse(data)
        changed = {arrival.dependency.output: arrival.dependency for arrival in arrivals}
        return manifest.encode((known | changed).values()) if known | changed != known else data

    return with_entries


def _own_change(repo: Repo, view: View, path: bytes, edit: Callable[[bytes], bytes]) -> Change | None:
    """Return the change of one of our own files: in the index as in the work tree, each from what it is.

    So what the user has changed there and not staged stays, and stays not staged.
    """
    assert repo.work_tree is not None
    before = view.files.get(path)
    if before is not None and not before.is_regular:
        raise LdsError(f"{shown(path)} is a symbolic link in git's index", "it must be a plain file")
    staged = read_staged(repo, before)
    working, expected = read_working(repo.work_tree, path)
    new_staged = edit(staged)
    new_working = new_staged if working == staged else edit(working if expected else staged)
    if new_staged == staged and new_working == working:
        return None
    blob = repo.git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=new_staged)
    after = TreeFile(before.mode if before else b"100644", blob.encode())
    return Change(path, before, after, expected, contents=None if new_working == new_staged else new_working)


def read_staged(repo: Repo, file: TreeFile | None) -> bytes:
    """Return the contents of a file of ours in the index, b"" for none."""
    if file is None:
        return b""
    with BlobReader(repo.git) as blobs:
        return blobs.read(file.blob) or b""


def read_working(work_tree: Path, path: bytes) -> tuple[bytes, Stamp | None]:
    """Return the contents of a file of ours in the work tree and its stamp; b"" and None for none. Follows no symlink."""
    full = os.path.join(os.fsencode(work_tree), path)
    try:
        fd = os.open(full, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return b"", None
    except OSError as error:
        raise LdsError(f"{shown(path)} can not be read: {error.strerror}", "it must be a plain file") from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_OWN:
            raise LdsError(f"{shown(path)} is not a plain file, or far too large")
        with open(fd, "rb", closefd=False) as file:
            return file.read(), Stamp.of(info)
    finally:
        os.close(fd)


# attributes


def _rules(
    repo: Repo, view: View, arrivals: Sequence[Arrival]
) -> tuple[Callable[[bytes], bytes], list[dict[bytes, Answer]]]:
    """Return the edit that carries upstream's attributes into our `.gitattributes`, and what they say of each file here."""
    staged = read_staged(repo, view.files.get(ATTRIBUTES))
    answers = [_upstream_answers(repo, arrival) for arrival in arrivals]
    changed = {a.dependency.output: _section(a, answer) for a, answer in zip(arrivals, answers, strict=True)}

    def edit(data: bytes) -> bytes:
        return attributes.with_sections(data, attributes.sections_of(data) | changed)

    for last in (False, True):
        right = True
        for arrival, expected in zip(arrivals, answers, strict=True):
            wrong = _differing(repo, view, arrival, edit(staged), expected)
            if wrong and last:
                _check_decisive(wrong, expected)
            elif wrong:
                right = False
                changed[arrival.dependency.output] += [attributes.exact(path, expected[path]) for path in sorted(wrong)]
        if right:
            break
    return edit, answers


def _section(arrival: Arrival, expected: dict[bytes, Answer]) -> list[bytes]:
    at = arrival.dependency
    if b"" in arrival.snapshot.files:
        return [attributes.exact(path, answer) for path, answer in expected.items()]
    return attributes.section(upstream.read_rules(arrival.mirror, arrival.snapshot), at.path, at.output)


def _upstream_answers(repo: Repo, arrival: Arrival) -> dict[bytes, Answer]:
    """Return what upstream's attributes say of each regular file, by its path here."""
    snapshot, at = arrival.snapshot, arrival.dependency
    inner = b"" if at.path == manifest.WHOLE else at.path.encode() + b"/"
    names = [name for name, file in snapshot.files.items() if file.is_regular]
    rules = {folder + b"/" + ATTRIBUTES if folder else ATTRIBUTES: blob for folder, blob in snapshot.rules.items()}
    rules |= {inner + name: snapshot.files[name].blob for name in names if _is_rules(name)}
    paths = [inner + name if name else at.path.encode() for name in names]
    said = attributes.answers(arrival.mirror, rules, paths, _scratch(repo))
    return {place(at.output, name): answer for name, answer in zip(names, said, strict=True)}


def _differing(
    repo: Repo, view: View, arrival: Arrival, root: bytes, expected: dict[bytes, Answer]
) -> dict[bytes, Answer]:
    """Return the files here for which git would say something else than upstream, with what it would say."""
    output = arrival.dependency.output
    mirror = arrival.mirror
    rules = {ATTRIBUTES: attributes.hashed(mirror, root)}
    names = output.encode().split(b"/")
    with BlobReader(repo.git) as blobs:
        for count in range(1, len(names)):
            path = b"/".join((*names[:count], ATTRIBUTES))
            if path in view.files and view.files[path].is_regular:
                rules[path] = attributes.hashed(mirror, blobs.read(view.files[path].blob) or b"")
    files = arrival.snapshot.files
    rules |= {place(output, name): file.blob for name, file in files.items() if _is_rules(name) and file.is_regular}
    paths = list(expected)
    said = zip(paths, attributes.answers(mirror, rules, paths, _scratch(repo)), strict=True)
    return {path: answer for path, answer in said if answer != expected[path]}


def _is_rules(name: bytes) -> bool:
    return name.rpartition(b"/")[2] == ATTRIBUTES


def _scratch(repo: Repo) -> Path:
    folder = switching.folder_of(repo)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "attributes"


def _check_decisive(wrong: dict[bytes, Answer], expected: dict[bytes, Answer]) -> None:
    for path, answer in sorted(wrong.items()):
        if any(answer[at] != expected[path][at] for at in _DECISIVE):
            raise LdsError(
                f"an attributes file in a folder above {shown(path)} overrules what upstream says of it, "
                "so git would keep it in another form than upstream does",
                "take the rule out, or import to another place; see: git check-attr -a " + shown(path),
            )


def rule_files(outputs: Iterable[str]) -> list[str]:
    """Return the paths that a view has to show beside the outputs: our own files, and attributes files above the outputs."""
    found = [ATTRIBUTES.decode(), manifest.NAME]
    for output in outputs:
        names = output.split("/")
        found += ["/".join((*names[:count], ATTRIBUTES.decode())) for count in range(1, len(names))]
    return list(dict.fromkeys(found))


def read_manifest(repo: Repo) -> dict[str, Dependency]:
    """Return the dependencies, as the work tree has them."""
    assert repo.work_tree is not None
    return manifest.parse(read_working(repo.work_tree, manifest.NAME.encode())[0])


def mirrors_of(repo: Repo) -> Path:
    """Return the folder of the mirrors."""
    return repo.lds_dir / "mirrors"
