"""git's index: what it has, and changes of it. Stat data are refreshed by `index_file`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from git_lds.fast_typing import TYPE_CHECKING, NamedTuple
from git_lds.git import index_file
from git_lds.git.run import Git

if TYPE_CHECKING:
    from pathlib import Path


class IndexEntry(NamedTuple):
    """An entry: `tag` is H, S (skip-worktree) or M (unmerged); `stage` is 0, or 1 to 3 in a conflict."""

    tag: bytes
    mode: bytes
    blob: bytes
    stage: bytes
    path: bytes


def of_record(record: index_file.IndexRecord) -> IndexEntry:
    """Return an entry of the index file as `entries` does."""
    tag = b"M" if record.stage else b"S" if record.is_skipped else b"H"
    return IndexEntry(tag, b"%06o" % record.mode, record.blob.hex().encode(), b"%d" % record.stage, record.path)


EVERYTHING = (":/",)


def entries(git: Git, pathspecs: Sequence[str | bytes] = EVERYTHING) -> Iterator[IndexEntry]:
    """Yield the entries that the pathspecs match, with paths from the top of the working tree."""
    for line in git.names("ls-files", "-t", "-s", "-z", "--full-name", "--", *(pathspecs or EVERYTHING)):
        about, _, path = line.partition(b"\t")
        tag, mode, blob, stage = about.split(b" ")
        yield IndexEntry(tag, mode, blob, stage, path)


def blobs_of(git_dir: Path) -> set[bytes]:
    """Return the ids of all blobs in the index of a git directory, whatever their stage. Raises GitFailed."""
    # --git-dir and no variable of git's own: each linked working tree has an index of its own
    listed = Git(git_dir, foreign=True).names("--git-dir", str(git_dir), "ls-files", "-s", "-z")
    return {entry.split(b" ", 2)[1] for entry in listed}


def paths(git: Git, pathspecs: Sequence[str | bytes] = EVERYTHING) -> list[bytes]:
    """Return the paths that the pathspecs match."""
    return git.names("ls-files", "-z", "--full-name", "--", *(pathspecs or EVERYTHING))


def required_paths(git: Git, pathspecs: Sequence[str | bytes]) -> list[bytes]:
    """Return the paths that the pathspecs match. Raises GitFailed if one of them matches nothing."""
    return git.names("ls-files", "-z", "--full-name", "--error-unmatch", "--", *pathspecs)


def has(git: Git, path: str | bytes) -> bool:
    """Return whether something is tracked at or below a path."""
    return git.ok("ls-files", "--error-unmatch", "--", path)


def paths_on_disk(git: Git, pathspecs: Sequence[str | bytes]) -> list[bytes]:
    """Return the tracked and the untracked paths, without ignored ones, that the pathspecs match, counted from git's
    directory and below it, in order and once each."""
    return sorted(set(git.names("ls-files", "-z", "-co", "--exclude-standard", "--", *pathspecs)))


def unmerged(git: Git, path: str) -> dict[bytes, bytes]:
    """Return the blob at each stage (b"1" base, b"2" ours, b"3" theirs) of one path from the top; none without a conflict."""
    name = path.encode("utf-8", "surrogateescape")
    listed = entries(git, (b":(top,literal)" + name,))  # a directory matches its files, too
    return {entry.stage: entry.blob for entry in listed if entry.path == name and entry.stage != b"0"}


def resolve(git: Git, path: str, side: str | None) -> None:
    """Resolve the conflict at a path from the top: take "ours" or "theirs" into working tree and index, or, with None,
    delete the file. Raises GitFailed."""
    literal = git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    if side is None:
        literal.bytes("rm", "-q", "-f", "--", path)
    else:
        literal.bytes("checkout", f"--{side}", "--", path)
        literal.bytes("add", "--", path)


def has_file(git: Git, path: str) -> bool:
    """Return whether the index has a file at just this path, not in conflict."""
    return git.ok("rev-parse", "--verify", "--quiet", f":0:{path}")


def info_line(mode: bytes, blob: bytes, path: bytes, stage: int = 0) -> bytes:
    """Return one record of `update`; mode b"0" removes the path."""
    return b"%s %s %d\t%s\0" % (mode, blob, stage, path)


def update(git: Git, records: bytes, *options: str) -> None:
    """Apply records as `info_line` makes them. Raises GitFailed."""
    git.bytes("update-index", *options, "-z", "--index-info", stdin=records)


def skip_worktree(git: Git, paths: Iterable[bytes]) -> None:
    """Mark paths as absent from the working tree on purpose, as a sparse checkout does. Raises GitFailed."""
    git.bytes("update-index", "-z", "--skip-worktree", "--stdin", stdin=b"".join(path + b"\0" for path in paths))


def refresh(git: Git, *, unmerged: bool = False, write: bool = False) -> bool:
    """Read files again whose stat data changed; return whether the index could be refreshed and nothing is modified.

    With `write` the index is written even if nothing changed. An entry that git no longer trusts then has a size of 0.
    """
    options = ("--unmerged",) * unmerged + ("--force-write-index",) * write
    return git.ok("update-index", "-q", *options, "--refresh")


def write_tree(git: Git, *, missing_ok: bool = False) -> str:
    """Write the index as a tree; return its id. Raises GitFailed where entries are unmerged."""
    return git.text("write-tree", *(("--missing-ok",) if missing_ok else ()))


def read_tree(git: Git, tree: str | None, *, checkout: bool = False) -> None:
    """Make the index be that of a tree, or empty; with `checkout` also the working tree. Raises GitFailed."""
    options = ("--empty",) if tree is None else ("-u", "--reset", tree) if checkout else (tree,)
    git.bytes("read-tree", *options)


def edited_paths(git: Git, pathspecs: Iterable[str | bytes] = ()) -> set[bytes]:
    """Return the tracked paths whose file in the working tree is not what the index has."""
    return set(git.names("diff-files", "-z", "--name-only", "--", *pathspecs))


def staged_paths(git: Git) -> list[bytes]:
    """Return the paths that differ between HEAD and the index."""
    return git.names("diff", "--cached", "--name-only", "-z")


def changed_paths(git: Git, pathspecs: Sequence[str] = ()) -> list[tuple[bytes, bytes]]:
    """Return (two letters, path) of what `git status` reports of tracked files, submodules left out.

    git looks into files that were only touched, and, unless GIT_OPTIONAL_LOCKS is 0, notes in the index that they are
    unchanged.
    """
    options = ("--porcelain", "-z", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
    return [(line[:2], line[3:]) for line in git.names("status", *options, "--", *pathspecs)]


def is_changed(git: Git, path: str) -> bool:
    """Return whether `git status` reports a path from the top, also as an untracked one."""
    return bool(git.bytes("status", "--porcelain", "--", f":(top,literal){path}"))


def has_staged_changes(git: Git) -> bool:
    """Return whether the index differs from HEAD."""
    return not git.ok("diff", "--cached", "--quiet")


def uncommitted_paths(git: Git, path: str) -> list[bytes]:
    """Return the paths at or below `path` with uncommitted changes, untracked files among them. Raises GitFailed."""
    literal = git.with_environment({"GIT_LITERAL_PATHSPECS": "1"})
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    return [entry[3:] for entry in literal.names("status", *options, "--", path)]
