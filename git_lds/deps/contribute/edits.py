"""The edits of one dependency that were committed here, with the commit upstream and the repository that they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from git_lds.deps.contribute import target as contribute_target
from git_lds.deps.contribute.target import Target, Tip
from git_lds.deps.history import commits as history_commits
from git_lds.deps.history.commits import CommitEdits
from git_lds.deps.manifest import own_files
from git_lds.deps.manifest.manifest import WHOLE, Dependency
from git_lds.deps.merge import file_merge
from git_lds.deps.merge.three_way import Files
from git_lds.deps.session import Session
from git_lds.deps.upstream import latest
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.latest import Upstreams
from git_lds.errors import LdsError
from git_lds.git.run import Git


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    remote: str | None = None
    """The fork to push to: its URL, or the name of a remote of this repository. None: upstream itself."""
    store: str | None = None
    """The URL of the store for new objects. None: the one that the remote, the fork or upstream names."""
    onto: str | None = None
    """The revision upstream to build on. None: the branch that is followed."""
    branch: str | None = None
    squash: bool = False
    """Make one commit of all edits."""
    message: str | None = None
    """Make one commit of all edits, with this message."""

    @property
    def is_one_commit(self) -> bool:
        return self.squash or self.message is not None


@dataclass(frozen=True, slots=True)
class Edits:
    """The commits here that touched a dependency, and what they are to be merged with."""

    session: Session
    dependency: Dependency
    source: UpstreamClone
    """The clone of upstream."""
    target: Target
    tip: Tip
    upstream_files: Files
    """The files upstream at `tip`, by their path below the dependency's."""
    git: Git
    """git in this repository, which also sees the objects of upstream and of the fork. It writes to a scratch directory."""
    steps: Sequence[CommitEdits]

    def name(self, path: bytes) -> bytes:
        """Return the path below the dependency of a path in this repository."""
        return path[len(self.dependency.output.encode()) :].removeprefix(b"/")

    def upstream_path(self, path: bytes) -> bytes:
        """Return the path upstream of a path in this repository."""
        name = self.name(path)
        if self.dependency.path == WHOLE:
            return name
        return self.dependency.path.encode() + (b"/" + name if name else b"")


def collect_edits(session: Session, path: str, options: Options) -> Edits:
    """Return the committed edits of the dependency at `path`; asks upstream, and the fork, for their branches.

    Raises LdsError if there is no such dependency, or if upstream or the fork cannot be read.
    """
    repo = session.repo
    known = own_files.read_committed(repo)
    if not known:
        raise LdsError("no commit here has a dependency", "import one, and commit it: git lds import URL PATH")
    (dependency,) = latest.select(known, [path])
    upstreams = Upstreams(repo)
    tip = contribute_target.tip(upstreams, dependency, options.onto)
    target = contribute_target.target(repo, upstreams, dependency, tip, options.remote, options.store)
    source = upstreams.clone(dependency.url)
    joined = file_merge.joined(repo, session.directory, source, target.mirror)
    return Edits(
        session,
        dependency,
        source,
        target,
        tip,
        upstream.files_below(source.git, tip.commit, dependency.path),
        joined.with_environment({"GIT_NO_REPLACE_OBJECTS": "1", "GIT_LITERAL_PATHSPECS": "1"}),
        history_commits.steps(repo, dependency, known),
    )
