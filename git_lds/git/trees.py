"""The files of trees: listed, compared, and by path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from git_lds.git import refs
from git_lds.git.run import Git, GitFailed

ATTRIBUTES = b".gitattributes"
_LINK = b"120000"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file as a tree or an index has it: its mode (100644, 100755, 120000 for a symlink) and its blob, in hex."""

    mode: bytes
    blob: bytes

    @property
    def is_regular(self) -> bool:
        return self.mode != _LINK


SUBMODULE = b"160000"
DIRECTORY = b"040000"


def files(git: Git, tree: str, paths: Iterable[str | bytes] = ()) -> dict[bytes, TreeEntry]:
    """Return the files of a tree or commit (an id or `HEAD`) by path, submodules among them; with `paths` only what is at
    or below these. Modes are as an index keeps them.

    Raises GitFailed if there is no such tree.
    """
    asked = tuple(paths)
    walked = None if asked else _walked(git, tree)
    return dict(_listed(git, tree, asked, "-r")) if walked is None else walked


def entries(git: Git, tree: str, paths: Iterable[str | bytes] = ()) -> dict[bytes, TreeEntry]:
    """Return the entries at `paths` of a tree or commit, directories (mode 040000) as such; without `paths` its own ones.

    Raises GitFailed if there is no such tree.
    """
    return dict(_listed(git, tree, paths))


def at(git: Git, commit: str, path: str) -> TreeEntry | None:
    """Return the entry at one path of a tree or commit, or None; `path` "" or "." is the whole."""
    if path in ("", "."):
        whole = refs.tree(git, commit)
        return TreeEntry(DIRECTORY, whole.encode()) if whole is not None else None
    return lookup(git, commit, (path,)).get(path.encode())


def _listed(git: Git, tree: str, paths: Iterable[str | bytes], *options: str) -> Iterator[tuple[bytes, TreeEntry]]:
    for entry in git.names("ls-tree", "-z", "--full-tree", *options, tree, "--", *paths):
        about, _, name = entry.partition(b"\t")
        mode, _, blob = about.split(b" ")
        yield name, TreeEntry(_plain_mode(mode), blob)


def _plain_mode(mode: bytes) -> bytes:
    """Return the mode as an index keeps it: old repositories hold such as 100664."""
    if mode.startswith(b"100"):
        return b"100755" if int(mode, 8) & 0o100 else b"100644"
    return mode


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that differs between two sides: what each has, None for nothing. A blob that git did not hash is b"".

    `is_unmerged` marks a path in conflict in the index.
    """

    path: bytes
    before: TreeEntry | None
    after: TreeEntry | None
    is_unmerged: bool = False


_RAW = ("-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv")


def diff(git: Git, before: str, after: str, paths: Iterable[str | bytes] = ()) -> list[Difference]:
    """Return what differs between two trees, by path; both are ids. Raises GitFailed."""
    return parse_raw(git.names("diff-tree", "-r", *_RAW, before, after, "--", *paths))


def diff_of_commit(git: Git, commit: str, paths: Iterable[str | bytes] = ()) -> list[Difference]:
    """Return what a commit changed against its parent; of a root commit, all that it has; of a merge, nothing."""
    return parse_raw(git.names("diff-tree", "-r", "--root", "--no-commit-id", *_RAW, commit, "--", *paths))


def diff_to_index(git: Git, tree: str, paths: Iterable[str | bytes] = ()) -> list[Difference]:
    """Return what differs from a tree in the index."""
    return parse_raw(git.names("diff-index", "--cached", *_RAW, tree, "--", *paths))


def diff_to_working_tree(git: Git, tree: str, paths: Iterable[str | bytes] = ()) -> list[Difference]:
    """Return what differs from a tree in the working tree, of tracked files."""
    return parse_raw(git.names("diff-index", *_RAW, tree, "--", *paths))


def diff_index_to_working_tree(git: Git, paths: Iterable[str | bytes] = ()) -> list[Difference]:
    """Return what differs from the index in the working tree."""
    return parse_raw(git.names("diff-files", *_RAW, "--", *paths))


def parse_raw(parts: Iterable[bytes]) -> list[Difference]:
    """Return the differences in a raw diff with -z, split at NUL: ":mode mode id id status", path, and so on.

    The format is that of git-diff, "RAW OUTPUT FORMAT".
    """
    found = []
    pairs = iter(parts)
    for about, path in zip(pairs, pairs, strict=True):
        old_mode, mode, old, blob, status = about[1:].split(b" ")
        found.append(Difference(path, _side(old_mode, old), _side(mode, blob), status == b"U"))
    return found


def _side(mode: bytes, blob: bytes) -> TreeEntry | None:
    return TreeEntry(mode, blob if blob.strip(b"0") else b"") if mode.strip(b"0") else None


def empty(git: Git) -> str:
    """Return the id of the tree without files."""
    return git.text("hash-object", "-t", "tree", "--stdin", stdin=b"")


def lookup(git: Git, tree: str, paths: Iterable[str | bytes]) -> dict[bytes, TreeEntry]:
    """Return the entries at just these paths of a tree or commit, directories as such; those that it lacks are left out.

    They are read by the open reader: no process. Raises GitFailed if there is no such tree.
    """
    directories: dict[bytes, dict[bytes, TreeEntry]] = {}

    def read(path: bytes) -> dict[bytes, TreeEntry]:
        if path not in directories:
            entry = found_at(path) if path else None
            name = tree if not path else entry.blob.decode() if entry and entry.mode == DIRECTORY else None
            directories[path] = directory(git, name) if name is not None else {}
        return directories[path]

    def found_at(path: bytes) -> TreeEntry | None:
        above, _, name = path.rpartition(b"/")
        return read(above).get(name)

    asked = [path.encode() if isinstance(path, str) else path for path in paths]
    return {path: entry for path in asked if (entry := found_at(path)) is not None}


def directory(git: Git, tree: str) -> dict[bytes, TreeEntry]:
    """Return the entries of one directory, by name. Raises GitFailed if there is no such tree."""
    answer = git.reader.read(f"{tree}^{{tree}}")
    if answer is None:
        raise GitFailed(("git", "ls-tree", tree), 128, f"fatal: not a tree that is present: {tree}")
    info, data = answer
    return dict(_parsed_tree(data, len(info.id) // 2))


def _parsed_tree(data: bytes, hash_size: int) -> Iterator[tuple[bytes, TreeEntry]]:
    """Yield the entries of a tree object: "<mode> <name>", NUL, the raw id, and so on."""
    at = 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        at = end + 1 + hash_size
        yield name, TreeEntry(_plain_mode(mode).rjust(6, b"0"), data[end + 1 : at].hex().encode())


def paths_of(git: Git, tree: str, ids: Collection[str]) -> list[bytes]:
    """Return the paths of a tree or commit, of files and directories, that are one of the objects `ids`. Raises GitFailed."""
    return [path for path, entry in _listed(git, tree, (), "-r", "-t") if entry.blob.decode() in ids]


_WALKED = 32
"""Directories that are read one by one before git is started for the rest: 0.08 ms each, where a process takes 1.8."""


def _walked(git: Git, tree: str) -> dict[bytes, TreeEntry] | None:
    """Return all files of a tree as the open reader gives its directories, or None if there are too many of these."""
    found: dict[bytes, TreeEntry] = {}
    waiting = [(b"", tree)]
    for _ in range(_WALKED):
        if not waiting:
            return dict(sorted(found.items()))
        prefix, name = waiting.pop()
        for inner, entry in directory(git, name).items():
            if entry.mode == DIRECTORY:
                waiting.append((prefix + inner + b"/", entry.blob.decode()))
            else:
                found[prefix + inner] = entry
    return None if waiting else dict(sorted(found.items()))
