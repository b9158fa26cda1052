"""What a lock stands for: the files that a dependency had when it was imported or last updated, and what differs from them."""

from __future__ import annotations

from collections.abc import Mapping

from git_lds.errors import LdsError
from git_lds.git.run import Git
from git_lds.imports import manifest, transports, upstream
from git_lds.imports.arrival import place
from git_lds.imports.edits import View
from git_lds.imports.manifest import Dependency
from git_lds.imports.mirror import Mirror
from git_lds.imports.upstream import TreeFile
from git_lds.repo import Repo


def files_at(repo: Repo, source: Mirror, at: Dependency, view: View) -> dict[bytes, TreeFile]:
    """Return the files of the lock, by their path here. They are upstream's; failing that, they are here since the import."""
    try:
        source.fetch(at.commit)
        snapshot = upstream.take(source, at.commit, at.path)
    except LdsError:
        found = files_here(repo.git, at, view)  # upstream rewrote its history
        if found is None:
            raise LdsError(
                f"{transports.named(at.url)} no longer has {at.commit}, and its tree is not here either",
                f"to import it anew over what is there: git lds import URL PATH -o {at.output} --force",
            ) from None
        return found
    if snapshot.tree != at.tree:
        raise LdsError(
            f"{manifest.NAME}: the tree of {at.output} is not what upstream has at the commit beside it",
            f"restore it: git checkout -- {manifest.NAME}",
        )
    return {place(at.output, name): file for name, file in snapshot.files.items()}


def files_here(git: Git, at: Dependency, view: View) -> dict[bytes, TreeFile] | None:
    """Return the files of the lock as `git`, of this repository or of a mirror, has them; None when it does not."""
    kind = git.maybe("cat-file", "-t", at.tree)
    if kind == "tree":
        return {place(at.output, name): file for name, file in upstream.listed(git, at.tree).items()}
    if kind == "blob":
        path = at.output.encode()
        return {path: TreeFile(view.files[path].mode if path in view.files else b"100644", at.tree.encode())}
    return None


def at_output(files: Mapping[bytes, TreeFile], output: str) -> dict[bytes, TreeFile]:
    """Return those of the files that are at an output, or below it."""
    here = output.encode()
    return {path: file for path, file in files.items() if path == here or path.startswith(here + b"/")}
