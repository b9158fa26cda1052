"""The tools that are compared, and the floors: the shell words with which each of them does a step.

They run in a working tree whose contents are in its directory `data`. $ORIGIN is a bare git repository and $STORE the place for
the contents, $DATA a directory of files, and $TARGET one that is to be made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

COMMIT = "git commit -q -m change"


@dataclass(frozen=True, slots=True)
class Tool:
    """How a tool does each step; None: it has nothing for that."""

    name: str
    group: str
    title: str
    home: str = ":"
    """Run once for each user."""
    create: str = ":"
    """Run in an empty directory that shall be a repository with a first commit and $ORIGIN as its remote."""
    add: str | None = None
    status: str | None = None
    push: str | None = None
    clone: str | None = None
    pull: str | None = None
    checkout: str | None = None
    pointers: str | None = None
    """Clone without contents, and copy them: the floor of a clone."""
    consumer: str = ":"
    """Run in an empty directory that shall be a repository that can import."""
    import_path: str | None = None
    update: str | None = None
    start: str | None = None
    """Start the filter, and end it once it has answered the greeting in $DATA/greeting."""
    store: tuple[str, ...] = ()
    """The directories of the store."""
    local: tuple[str, ...] = ()
    """The directories in a working tree or a home that hold contents on this machine."""
    served: bool = False
    """Whether the store is behind `git lds serve`."""
    keeps: bool = True
    """Whether contents come back."""


_REPOSITORY = 'git init -q . && git remote add origin "$ORIGIN"'
_FIRST_COMMIT = f"git add . && {COMMIT}"

GIT_LDS = Tool(
    name="git-lds",
    group="git-lds",
    title="git-lds, store over HTTP",
    home="git lds install",
    create=f"{_REPOSITORY} && git lds init --store \"$STORE\" && git lds track 'data/**' && {_FIRST_COMMIT}",
    add=f"git add . && {COMMIT}",
    status="git status --porcelain",
    push="git push -q origin HEAD",
    clone='git clone -q "$ORIGIN" "$TARGET"',
    pull="git pull -q --ff-only origin main",
    checkout="git checkout -q HEAD~1",
    pointers='GIT_LDS_SKIP_SMUDGE=1 git clone -q "$ORIGIN" "$TARGET" && cp -r "$DATA" "$TARGET/copied"',
    consumer=f"git init -q . && {COMMIT} --allow-empty",
    import_path='git lds import "$ORIGIN" data -o raw',
    update="git lds update",
    start='exec git-lds filter-process <"$DATA/greeting"',
    store=("$STORE_DIRECTORY",),
    local=(".git/lds", "$HOME/.cache"),
    served=True,
)

GIT_LDS_DIRECTORY = replace(
    GIT_LDS, name="git-lds, directory", title="git-lds, store in a directory", served=False, pointers=None
)

GIT_LFS = Tool(
    name="git-lfs",
    group="git-lfs",
    title="git-lfs, remote in a directory",
    home="git lfs install --skip-repo",
    create=f"{_REPOSITORY} && git lfs track 'data/**' && {_FIRST_COMMIT}",
    add=GIT_LDS.add,
    status=GIT_LDS.status,
    push=GIT_LDS.push,
    clone=GIT_LDS.clone,
    pull=GIT_LDS.pull,
    checkout=GIT_LDS.checkout,
    store=("$ORIGIN/lfs",),
    local=(".git/lfs",),
)

DVC = Tool(
    name="dvc",
    group="dvc",
    title="DVC, remote in a directory",
    create=(
        f"{_REPOSITORY} && dvc init -q && dvc config core.analytics false && dvc config core.check_update false"
        f' && dvc remote add -q -d store "$STORE" && {_FIRST_COMMIT}'
    ),
    add=f"dvc add -q data && git add . && {COMMIT}",
    status="git status --porcelain && dvc status -q",
    push="dvc push -q && git push -q origin HEAD",
    clone='git clone -q "$ORIGIN" "$TARGET" && cd "$TARGET" && dvc pull -q',
    pull="git pull -q --ff-only origin main && dvc pull -q",
    checkout="git checkout -q HEAD~1 && dvc checkout -q",
    consumer=f"git init -q . && dvc init -q && {_FIRST_COMMIT}",
    import_path='dvc import -q "$ORIGIN" data -o raw',
    update="dvc update -q raw.dvc",
    store=("$STORE_DIRECTORY",),
    local=(".dvc/cache",),
)

NOTHING = Tool(
    name="do-nothing filter",
    group="floor",
    title="git with a filter that keeps nothing",
    home='git config --global filter.nothing.process "$NOTHING" && git config --global filter.nothing.required true',
    create=f"{_REPOSITORY} && echo 'data/** filter=nothing -text' >.gitattributes && {_FIRST_COMMIT}",
    add=GIT_LDS.add,
    status=GIT_LDS.status,
    push=GIT_LDS.push,
    clone=GIT_LDS.clone,
    pull=GIT_LDS.pull,
    checkout=GIT_LDS.checkout,
    keeps=False,
)

COPY = Tool(
    name="cp -r",
    group="floor",
    title="a copy of the files",
    add='cp -r "$DATA" "$TARGET"',
)

PLAIN = Tool(
    name="plain git",
    group="floor",
    title="git without any filter",
    create=f"{_REPOSITORY} && {COMMIT} --allow-empty",
    add=GIT_LDS.add,
    status=GIT_LDS.status,
)

PYTHON = Tool(
    name="python",
    group="floor",
    title="Python that does nothing",
    start="exec python -c pass",
)

TOOLS = (GIT_LDS, GIT_LDS_DIRECTORY, GIT_LFS, DVC, NOTHING, COPY, PLAIN, PYTHON)

VERSIONS = {
    "git-lds": "git-lds version",
    "git-lfs": "git-lfs version",
    "dvc": "dvc --version",
    "floor": "git --version",
}
"""For each group of tools the words that say its version, and fail where it is not installed."""
