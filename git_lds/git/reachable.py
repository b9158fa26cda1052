"""Which objects commits, tags and trees reach, as `git rev-list --objects` lists them."""

from __future__ import annotations

from git_lds.fast_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from git_lds.git.run import Git


class Reachable(NamedTuple):
    """The first path of each tree and blob by object id; its id instead for one without a path. Commits are left out.

    `is_whole` is False if a partial clone lacks some of the objects.
    """

    paths: dict[bytes, bytes]
    is_whole: bool


def objects(git: Git, include: Sequence[str], exclude: Sequence[str] = ()) -> Reachable:
    """Return what is reachable from `include` and not from `exclude`.

    Both are revisions, or options of rev-list such as --all and --remotes=NAME. The end of a shallow clone does not count as
    an absence. Raises GitFailed.
    """
    options = [*(w for w in include if w.startswith("--")), "--not", *(w for w in exclude if w.startswith("--"))]
    revisions = [*(w for w in include if w[0] != "-"), *("^" + w for w in exclude if w[0] != "-")]
    stdin = "".join(f"{word}\n" for word in revisions).encode()
    # --missing=print: git lists what a partial clone lacks as "?<id>" instead of fetching it
    listed = git.bytes("rev-list", "--objects", "--missing=print", *options, "--stdin", stdin=stdin)
    paths: dict[bytes, bytes] = {}
    is_whole = True
    for line in listed.splitlines():
        blob, space, path = line.partition(b" ")
        if space:
            paths.setdefault(blob, path or blob)  # without a path: the tree of a commit, or a blob with a tag
        elif line.startswith(b"?"):
            is_whole = False
    return Reachable(paths, is_whole)


def present_below(git: Git, tree: str) -> set[bytes]:
    """Return the ids of the objects below a tree that a partial clone has. Raises GitFailed."""
    listed = git.bytes("rev-list", "--objects", "--no-object-names", "--missing=print", tree).splitlines()
    return {line for line in listed if not line.startswith(b"?")}


def objects_of(git: Git, commits: Iterable[str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (id in hex, path) of the objects in the trees of `commits`, without their history.

    What a partial clone lacks is left out. Raises GitFailed.
    """
    stdin = "".join(f"{commit}\n" for commit in commits).encode()
    listed = git.bytes("rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", stdin=stdin)
    for line in listed.splitlines():
        if not line.startswith(b"?"):
            name, _, path = line.partition(b" ")
            yield name, path
