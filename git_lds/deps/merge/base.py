"""The files of a dependency at its pinned commit, and the files here that differ from them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from git_lds.deps.manifest import manifest, transports
from git_lds.deps.manifest.manifest import Dependency, output_path
from git_lds.deps.merge.three_way import Files
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone, clones_of
from git_lds.errors import LdsError
from git_lds.git import index, trees
from git_lds.git.run import Git
from git_lds.git.trees import TreeEntry
from git_lds.repo import Repo
from git_lds.worktree import state


def pinned_files(repo: Repo, source: UpstreamClone, at: Dependency, here: Files) -> dict[bytes, TreeEntry]:
    """Return the files of the pinned commit, by their path here.

    They come from upstream, or from this repository if upstream rewrote its history. `here` are the files in git's index.
    Raises LdsError if neither has them, or if `.ldsdeps` names another tree than upstream has at that commit.
    """
    try:
        source.fetch(at.commit)
        snapshot = upstream.take(source, at.commit, at.path, at.includes)
    except LdsError:
        found = pinned_files_in(repo.git, at, here)  # upstream rewrote its history
        if found is None:
            raise LdsError(
                f"{transports.without_credentials(at.url)} no longer has {at.commit}, and its tree is not here either",
                f"to import it again over these files: git lds import URL PATH -o {at.output} --force",
            ) from None
        return found
    if snapshot.tree != at.tree:
        raise LdsError(
            f"{manifest.NAME}: the tree of {at.output} is not what upstream has at the commit beside it",
            f"restore it: git checkout -- {manifest.NAME}",
        )
    return {output_path(at.output, name): file for name, file in snapshot.files.items()}


def pinned_files_in(git: Git, at: Dependency, here: Files) -> dict[bytes, TreeEntry] | None:
    """Return the files of the pinned commit as `git` has them, or None if it lacks them.

    `git` is of this repository or of an upstream clone.
    """
    info = git.reader.info(at.tree)
    if info is not None and info.kind == "tree":
        return {
            output_path(at.output, name): file for name, file in trees.files(git, at.tree).items() if at.includes(name)
        }
    if info is not None and info.kind == "blob":
        path = at.output.encode()
        return {path: TreeEntry(here[path].mode if path in here else b"100644", at.tree.encode())}
    return None


def local_edits(repo: Repo, known: Iterable[Dependency], copy: Path) -> dict[str, int | None]:
    """Return how many files of each dependency differ from the pinned commit, by output. Uses no network.

    Differences in the index and in the working tree count. None if no repository on this machine has the pinned commit.
    `copy` is the name of a scratch file.
    """
    edited = state.edited_files(repo, copy)
    offline = repo.git.with_environment({"GIT_NO_LAZY_FETCH": "1", "GIT_LITERAL_PATHSPECS": "1"})
    found: dict[str, int | None] = {}
    for at in known:
        here = {path: TreeEntry(mode, blob) for _, mode, blob, _, path in index.entries(offline, (at.output,))}
        kept = clone.existing(at.url, clones_of(repo))
        base = pinned_files_in(kept, at, here) if kept else None
        base = pinned_files_in(offline, at, here) if base is None else base
        if base is None:
            found[at.output] = None
            continue
        differing = {path for path in here.keys() | base.keys() if here.get(path) != base.get(path)}
        found[at.output] = len(differing | (edited & here.keys()))
    return found


def at_output(files: Files, output: str) -> dict[bytes, TreeEntry]:
    """Return the files at or below an output."""
    here = output.encode()
    return {path: file for path, file in files.items() if path == here or path.startswith(here + b"/")}
