"""Random edits on both sides: the merge is that of `git merge`, no edit is lost, and --abort restores everything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from kit.datasets import Dataset, new_consumer, new_dataset, opened, state_of, times_of
from kit.work import Work

from git_lds import pointer
from git_lds.deps.contribute.contribute import contribute
from git_lds.deps.contribute.edits import Options
from git_lds.deps.update import resolve
from git_lds.deps.update.add import import_path
from git_lds.deps.update.plan import DependencyUpdate
from git_lds.deps.update.update import update
from git_lds.worktree.state import LocalEdits

Files = dict[str, tuple[bytes, bool]]
"""Contents by path, and whether the file is executable."""

TEXT = [f"line {number}" for number in range(12)]
BASE: Files = {
    **{f"images/{name}.png": (f"image {name}".encode(), False) for name in "abc"},
    **{f"images/deep/{name}.png": (f"image {name}".encode(), False) for name in "de"},
    "x.txt": ("\n".join(TEXT).encode() + b"\n", False),
    "deep/y.txt": ("\n".join(TEXT).encode() + b"\n", False),
}
NEW = ("images/n.png", "images/deep/m.png", "n.txt")
CLASHING = ("images/a.png/inner.png", "images/deep", "x.txt/inner.txt")

Edit = tuple[str, int, int]
KINDS = ("change", "change", "change", "delete", "add", "mode")


def edits(*kinds: str) -> st.SearchStrategy[list[Edit]]:
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 6), st.integers(0, 3)), max_size=5)


def edited(side: str, wanted: list[Edit]) -> Files:
    """What a side makes of the base; with the number 0 both sides make the same of a file."""
    files = dict(BASE)
    for kind, which, number in wanted:
        there = sorted(files)
        path = there[which % len(there)] if there else ""
        token = f"shared {which}" if number == 0 else f"{side} {which} {number}"
        if kind in ("add", "clash"):
            path = (NEW if kind == "add" else CLASHING)[which % 3]
            for other in [p for p in files if p.startswith(path + "/") or path.startswith(p + "/")]:
                del files[other]
            files[path] = (f"{token} added\n".encode(), False)
        elif not path:
            continue
        elif kind == "delete":
            del files[path]
        elif kind == "mode":
            files[path] = (files[path][0], not files[path][1])
        elif kind == "rename":
            new = f"{os.path.dirname(path)}/renamed {number} {os.path.basename(path)}".lstrip("/")
            if new not in files:
                files[new] = files.pop(path)
        elif path.endswith(".txt"):
            lines = files[path][0].decode().split("\n")
            lines[which * 2 % len(lines)] = token
            files[path] = ("\n".join(lines).encode(), files[path][1])
        else:
            files[path] = (token.encode(), files[path][1])
    return files


@dataclass
class World:
    """A dataset and a consumer at their base; each example starts from there."""

    there: Dataset
    here: Work
    base: tuple[str, str]
    examples: int = 0

    def start(self, ours: Files, theirs: Files) -> str:
        """Commit one side here, and publish the other as a branch, whose name is returned."""
        self.examples += 1
        branch = f"example-{self.examples}"
        self.there.work.git("switch", "-q", "-C", branch, self.base[0])
        write(self.there.work.path / "set", theirs)
        self.there.work.git("add", "-A")
        self.there.work.git("commit", "-q", "--allow-empty", "-m", "theirs")
        self.there.work.lds("push", "origin", branch)
        self.there.work.git("push", "-q", "--no-verify", "origin", branch)
        self.here.git("reset", "-q", "--hard", self.base[1])
        self.here.git("clean", "-qfdx")
        shutil.rmtree(self.here.path / ".git/lds/update", ignore_errors=True)
        write(self.here.path / "data", ours)
        self.here.git("add", "-A")
        self.here.git("commit", "-q", "--allow-empty", "-m", "ours")
        return branch

    def update(self, branch: str) -> DependencyUpdate:
        with opened(self.here) as repo:
            (found,) = update(repo, rev=branch)
        return found


def write(top: Path, files: Files) -> None:
    for path, _ in BASE.items():
        if path not in files:
            (top / path).unlink()
    for directory, _, _ in os.walk(top, topdown=False):
        if not os.listdir(directory) and directory != str(top):
            os.rmdir(directory)
    for path, (data, executable) in files.items():
        if BASE.get(path) != (data, executable):
            place = top / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o755 if executable else 0o644)


@pytest.fixture
def a_world(tmp_path: Path, installed: None) -> World:
    there = new_dataset(tmp_path, track=("*.png filter=lds diff=lds merge=lds -text",))
    commit = there.publish({f"set/{path}": data for path, (data, _) in BASE.items()})
    here = new_consumer(tmp_path)
    with opened(here) as repo:
        import_path(repo, there.url, "set", output="data")
    return World(there, here, (commit, here.commit("import")))


def theirs_too(world: World) -> dict[str, str]:
    """Return the environment in which git sees upstream's objects, and writes none of them again."""
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": f"{world.there.work.path}/.git/objects"}


def merged_by_git(world: World, branch: str) -> tuple[str, dict[str, str], dict[str, list[str]]]:
    """What `git merge-tree` makes of the three trees: the tree, and by the path below `data` its entries and the stages of
    conflicts."""
    here, git = world.here, world.here.git
    alternates = theirs_too(world)

    def commit(tree: str, *parents: str) -> str:
        return git("commit-tree", "-m", "x", *parents, tree, **alternates)

    base = commit(f"{world.base[0]}:set")
    ours = commit("HEAD:data", "-p", base)
    theirs = commit(world.there.work.git("rev-parse", f"{branch}:set"), "-p", base)
    done = here.try_git("-c", "merge.renames=false", "merge-tree", "--write-tree", "-z", ours, theirs, **alternates)
    tree, _, rest = done.stdout.partition("\0")
    stages: dict[str, list[str]] = {}
    for line in rest.partition("\0\0")[0].split("\0"):
        if line:
            about, path = line.split("\t")
            stages.setdefault(f"data/{path}", []).append(about)
    listed = git("ls-tree", "-r", "-z", tree, **alternates).split("\0")
    entries = {line.split("\t")[1]: line.split("\t")[0] for line in listed if line}
    return tree, {f"data/{path}": about.replace(" blob ", " ") for path, about in entries.items()}, stages


def indexed(work: Work) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The entries of git's index below `data`, and the stages of conflicts."""
    entries: dict[str, str] = {}
    stages: dict[str, list[str]] = {}
    for line in work.git("ls-files", "-s", "-z", "data").split("\0"):
        if line:
            about, path = line.split("\t")
            if about.endswith(" 0"):
                entries[path] = about[:-2]
            else:
                stages.setdefault(path, []).append(about)
    return entries, stages


def equals_git(world: World, ours: Files, theirs: Files) -> None:
    branch = world.start(ours, theirs)
    tree, wanted, conflicts = merged_by_git(world, branch)
    found = world.update(branch)
    entries, stages = indexed(world.here)
    assert stages == conflicts
    assert {c.path.decode() for c in found.conflicts} == set(conflicts)
    assert entries == {path: about for path, about in wanted.items() if path not in conflicts}
    for path in conflicts:
        if path.endswith(".txt") and len(conflicts[path]) > 1 and (world.here.path / path).exists():
            done = subprocess.run(
                ["git", "cat-file", "blob", f"{tree}:{path.removeprefix('data/')}"],
                cwd=world.here.path,
                env={**os.environ, **theirs_too(world)},
                capture_output=True,
                check=True,
            )
            marked = re.sub(rb"(?m)^(<<<<<<<|>>>>>>>) \w+$", rb"\1", done.stdout)
            assert re.sub(rb"(?m)^(<<<<<<<|>>>>>>>) \w+$", rb"\1", world.here.read(path)) == marked
    if not conflicts:
        assert world.here.git("diff", "--name-only") == ""
    event("conflicts" if conflicts else "clean")


def nothing_is_lost(world: World, ours: Files, theirs: Files) -> None:
    branch = world.start(ours, theirs)
    before = state_of(world.here), times_of(world.here, "data"), world.here.git("status", "--porcelain")
    found = world.update(branch)
    there, known = {*contents_of(world.here)}, {data for data, _ in BASE.values()}
    for files in (ours, theirs):
        for path, (data, _) in files.items():
            if data not in known:  # a file that was only renamed is no edit of its contents
                assert is_in(data, there), f"{path} is lost: {found}"
    if found.conflicts:
        with opened(world.here) as repo:
            resolve.abort(repo)
        assert (state_of(world.here), times_of(world.here, "data"), world.here.git("status", "--porcelain")) == before
    event("conflicts" if found.conflicts else "clean")


def is_in(data: bytes, there: set[bytes]) -> bool:
    """Tell whether contents are there, or each of their changed lines is in one of the files: merged with other edits."""
    if data in there:
        return True
    new = [line for line in data.split(b"\n") if line.decode() not in TEXT]
    return any(all(line in each.split(b"\n") for line in new) for each in there)


def contents_of(work: Work) -> list[bytes]:
    """The contents of all files in the working tree, and behind all entries of the index."""
    found = [p.read_bytes() for p in (work.path / "data").rglob("*") if p.is_file()]
    with opened(work) as repo:
        for line in work.git("ls-files", "-s", "-z", "data").split("\0"):
            if line:
                data = repo.git.bytes("cat-file", "blob", line.split(" ")[1])
                if (at := pointer.parse(data)) is not None:
                    stream = repo.objects.open(at.oid)
                    assert stream is not None, f"{line}: its contents are not here"
                    data = stream.read()
                found.append(data)
    return found


def few(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@few(5)
@example(ours=[("delete", 0, 0)], theirs=[("change", 0, 1)])  # all of a directory is as upstream has it
@given(ours=edits(*KINDS), theirs=edits(*KINDS))
def test_the_merge_is_that_of_git(a_world: World, ours: list[Edit], theirs: list[Edit]) -> None:
    """Behaviour 31."""
    equals_git(a_world, edited("ours", ours), edited("theirs", theirs))


@few(5)
@given(ours=edits(*KINDS, "rename", "clash"), theirs=edits(*KINDS, "rename", "clash"))
def test_no_edit_is_lost(a_world: World, ours: list[Edit], theirs: list[Edit]) -> None:
    """Behaviours 30 and 31, with renames, and files that replace directories."""
    nothing_is_lost(a_world, edited("ours", ours), edited("theirs", theirs))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@few(150)
@given(ours=edits(*KINDS), theirs=edits(*KINDS))
def test_the_merge_is_that_of_git_often(a_world: World, ours: list[Edit], theirs: list[Edit]) -> None:
    equals_git(a_world, edited("ours", ours), edited("theirs", theirs))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@few(150)
@given(ours=edits(*KINDS, "rename", "clash"), theirs=edits(*KINDS, "rename", "clash"))
def test_no_edit_is_lost_often(a_world: World, ours: list[Edit], theirs: list[Edit]) -> None:
    nothing_is_lost(a_world, edited("ours", ours), edited("theirs", theirs))


# the way back


def contributes_what_update_makes(world: World, ours: list[list[Edit]], theirs: Files) -> None:
    here, bare = world.here, Work(world.there.bare)
    branch = world.start(edited("ours", ours[0]), theirs)
    for count in range(2, len(ours) + 1):
        shutil.rmtree(here.path / "data")
        (here.path / "data").mkdir()
        for path, (data, executable) in edited("ours", [edit for part in ours[:count] for edit in part]).items():
            here.write(f"data/{path}", data).chmod(0o755 if executable else 0o644)
        here.git("add", "-A")
        here.git("commit", "-q", "--allow-empty", "-m", f"ours {count}")
    before, name = state_of(here), f"contributed-{world.examples}"
    done = None
    with opened(here) as repo:
        try:
            done = contribute(repo, "data", Options(onto=branch, branch=name))
        except LocalEdits as error:
            refused = set(error.paths)
    assert state_of(here) == before
    found = world.update(branch)
    event("conflicts" if found.conflicts else "clean")
    if done is None:
        assert refused == {conflict.path for conflict in found.conflicts}
        assert bare.try_git("rev-parse", "--verify", "-q", name).returncode
        return
    assert not found.conflicts and len(done.plan.commits) <= len(ours)
    tip = name if done.plan.commits else branch
    listed = [line.split("\t") for line in bare.git("ls-tree", "-r", "-z", f"{tip}:set").split("\0") if line]
    entries = {f"data/{path}": about.replace(" blob ", " ") for about, path in listed}
    assert entries == indexed(here)[0]
    changed = bare.git("diff", "--name-only", branch, tip).splitlines()
    assert all(path.startswith("set/") for path in changed)


parts = st.lists(edits(*KINDS, "rename", "clash"), min_size=1, max_size=3)


@few(4)
@given(ours=parts, theirs=edits(*KINDS, "rename", "clash"))
def test_a_contribution_is_what_an_update_makes(a_world: World, ours: list[list[Edit]], theirs: list[Edit]) -> None:
    """Behaviour 33: whatever was edited in however many commits, upstream gets just that."""
    contributes_what_update_makes(a_world, ours, edited("theirs", theirs))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@few(150)
@given(ours=parts, theirs=edits(*KINDS, "rename", "clash"))
def test_a_contribution_is_what_an_update_makes_often(
    a_world: World, ours: list[list[Edit]], theirs: list[Edit]
) -> None:
    contributes_what_update_makes(a_world, ours, edited("theirs", theirs))
