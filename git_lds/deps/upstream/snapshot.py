"""The files of a path upstream at a commit, the attributes that apply to them, and the stores that hold their objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from git_lds import toml
from git_lds.config import settings
from git_lds.deps.manifest import manifest, transports
from git_lds.deps.manifest.manifest import WHOLE
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.errors import LdsError
from git_lds.files import is_safe_path, printable
from git_lds.git import log, refs, trees
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git, GitFailed
from git_lds.git.trees import ATTRIBUTES, TreeEntry

_CONFIG = settings.CONFIG_FILE.encode()
_DEPS = manifest.NAME.encode()
MAX_RULES = 1 << 20
"""Bytes of the largest attributes file of upstream whose patterns are read. Of a larger one each file gets a rule of its own."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A path upstream at a commit. `files` are by their path below `path`: b"" if that itself is a file."""

    commit: str
    path: str
    tree: str
    files: Mapping[bytes, TreeEntry]
    rules: Mapping[bytes, bytes]
    """The blobs of the attributes files outside of `path` that apply to it, by their directory (b"": the root)."""
    config: bytes | None
    """The blob of upstream's `.ldsconfig`."""
    deps: bytes | None
    """The blob of upstream's `.ldsdeps`."""

    def blobs(self) -> set[str]:
        """Return the blobs that an import needs in the upstream clone: those of the files, of attributes and of `.lds*`."""
        about = (*self.rules.values(), *(blob for blob in (self.config, self.deps) if blob))
        return {blob.decode() for blob in (*(file.blob for file in self.files.values()), *about)}


def take(clone: UpstreamClone, commit: str, path: str, wants: Callable[[bytes], bool] | None = None) -> Snapshot:
    """Return the files of `path` at `commit`, which is in the upstream clone. No blob is read.

    Of a directory only the files for whose names `wants` is true. Raises LdsError if the path is missing or holds no such
    file, or holds something that cannot be imported.
    """
    where = f"{path} in {transports.without_credentials(clone.url)} at {commit[:10]}"
    tree, files = _files(clone.git, commit, path)
    if tree is None:
        raise LdsError(
            f"there is no {where}",
            f"see what there is: git --git-dir={clone.directory} ls-tree -r --name-only {commit}",
        )
    if wants is not None and b"" not in files:
        files = {name: file for name, file in files.items() if wants(name)}
        if all(name.rpartition(b"/")[2] == ATTRIBUTES for name in files):
            files = {}  # these come in any case, and are not what anyone asked for
    if not files:
        raise LdsError(f"{where} holds no files" + (" that are wanted" if wants is not None else ""))
    for name, file in files.items():
        if file.mode == trees.SUBMODULE:
            raise LdsError(
                f"{printable(path.encode() + b'/' * bool(name) + name)} is a submodule of "
                f"{transports.without_credentials(clone.url)}, "
                "which cannot be imported",
                "import the paths beside it",
            )
        if name and not is_safe_path(name):
            raise LdsError(f"{where} holds a path that is not safe in a working tree: {printable(name)}")
    about = _about(clone.git, commit, path)
    rules = {name.rpartition(b"/")[0]: blob for name, blob in about.items() if name.rpartition(b"/")[2] == ATTRIBUTES}
    return Snapshot(commit, path, tree, files, rules, about.get(_CONFIG), about.get(_DEPS))


def tree_of(clone: UpstreamClone, commit: str, path: str) -> str | None:
    """Return the object id of `path` at `commit`, of a tree or a blob, or None if it is missing."""
    entry = trees.at(clone.git, commit, path)
    return entry.blob.decode() if entry is not None else None


def _files(git: Git, commit: str, path: str) -> tuple[str | None, dict[bytes, TreeEntry]]:
    """Return the object id of a path, and the files below it by name; (None, {}) if the path is missing."""
    entry = trees.at(git, commit, path)
    if entry is None:
        return None, {}
    files = trees.files(git, entry.blob.decode()) if entry.mode == trees.DIRECTORY else {b"": entry}
    return entry.blob.decode(), files


def _about(git: Git, commit: str, path: str) -> dict[bytes, bytes]:
    """Return the blobs of the files outside of `path` that say something about it, by path."""
    directories = [] if path == WHOLE else path.split("/")[:-1]
    names = [manifest.NAME, settings.CONFIG_FILE]
    if path != WHOLE:
        names += ["/".join((*directories[:count], ATTRIBUTES.decode())) for count in range(len(directories) + 1)]
    found = trees.lookup(git, commit, names)
    return {name: entry.blob for name, entry in found.items() if entry.mode.startswith(b"100")}


def had_since(clone: UpstreamClone, before: str, after: str, path: str) -> set[tuple[bytes, TreeEntry]]:
    """Return the versions of files below `path` that commits of `after` and not of `before` made, by name below it.

    Raises GitFailed if a commit is missing.
    """
    return had_since_in(clone.git, before, after, path)


def had_since_in(git: Git, before: str, after: str, path: str) -> set[tuple[bytes, TreeEntry]]:
    """Return what `had_since` does, asking `git` of an upstream clone. Raises GitFailed if a commit is missing."""
    if before == after:
        return set()
    inside = () if path == WHOLE else (path,)
    inner = b"" if path == WHOLE else path.encode()
    return {
        (change.path.removeprefix(inner).removeprefix(b"/"), change.after)
        for logged in log.changes(git, after, inside, excluded=before)
        for change in logged.changes
        if change.after is not None
    }


def files_below(git: Git, commit: str, path: str) -> dict[bytes, TreeEntry]:
    """Return the files of `path` at a commit, by their names below it; none if it is missing."""
    return _files(git, commit, path)[1]


def read_rules(clone: UpstreamClone, snapshot: Snapshot) -> dict[bytes, bytes]:
    """Return the contents of the attributes files outside of the path, by directory. Their blobs are in the upstream clone."""
    contents = dict(small_blobs(clone.git, dict.fromkeys(snapshot.rules.values()), limit=MAX_RULES))
    return {directory: contents[blob] for directory, blob in snapshot.rules.items() if blob in contents}


def stores_at(clone: UpstreamClone, commit: str, path: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the store of upstream at `commit`, and the further stores that may have objects of `path`.

    The store is the one in upstream's `.ldsconfig`, else the directory `lds` of an upstream that is a local path. Further
    stores are those that `.ldsconfig` reads from, and those of upstream's own dependencies that share files with the path.
    Raises LdsError if `.ldsconfig` is damaged or cannot be fetched.
    """
    about = _about(clone.git, commit, path)
    clone.fetch_blobs([about[name].decode() for name in (_CONFIG, _DEPS) if name in about])
    data = _small(clone.git, about.get(_CONFIG), toml.MAX_SIZE)
    config = (
        settings.parse_config(data, f"{settings.CONFIG_FILE} of {transports.without_credentials(clone.url)}")
        if data
        else None
    )
    further = [
        *(config.read if config else ()),
        *_stores_below(_small(clone.git, about.get(_DEPS), toml.MAX_SIZE), path),
    ]
    directory = settings.store_directory_of(clone.url)
    store = config.store if config and config.store else str(directory) if directory else None
    return store, tuple(url for url in dict.fromkeys(further) if url != store)


def _stores_below(deps: bytes | None, path: str) -> list[str]:
    try:
        known = manifest.parse(deps or b"")
    except LdsError:
        # from a newer git-lds, or damaged: rather one store too many than one too few
        return settings.dependency_stores(deps)
    return [url for each in known.values() if _share(each.output, path) for url in each.stores]


def _share(output: str, path: str) -> bool:
    return path == WHOLE or output == path or output.startswith(path + "/") or path.startswith(output + "/")


def _small(git: Git, blob: bytes | None, limit: int) -> bytes | None:
    if blob is None:
        return None
    return next((data for _, data in small_blobs(git, (blob,), limit=limit)), None)


def removal_of(clone: UpstreamClone, tree: str, after: str, path: str) -> str:
    """Return, for people, which commit up to `after` removed `path`, and where its contents are now; "" if unknown.

    `tree` is what the path was at the pinned commit. Only trees are read, which the upstream clone has.
    """
    try:
        last = log.last_change(clone.git, after, path)
        if last is None:
            return ""
        commit, subject = last
        wanted = {tree}
        if refs.commit(clone.git, commit + "^") is not None:
            wanted.add(tree_of(clone, commit + "^", path) or tree)
        places = trees.paths_of(clone.git, commit, wanted)
    except GitFailed:
        return ""
    moved = f"; its contents are now at {printable(places[0])}" if places else ""
    return f"removed by {commit[:10]} ({printable(subject.encode()[:80])}){moved}"
