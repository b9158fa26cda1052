"""core.sharedRepository holds for our files in a repository, and a store is as shared as its directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.work import LAUNCHER, Work, add_remote, new_repository, random_bytes

from git_lds.git import shared

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")


@pytest.fixture(params=[0o077, 0o022], ids=["umask 077", "umask 022"])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tree(root: Path) -> tuple[list[Path], list[Path]]:
    """The directories and the files below a directory, with itself."""
    paths = [root, *root.rglob("*")]
    return [path for path in paths if path.is_dir()], [path for path in paths if path.is_file()]


def add_some(work: Work, seed: int = 0) -> None:
    """Add what uses each part of the local store: small objects, large ones, files that are put together in directories."""
    for name, size in ((f"{seed}s.bin", 5000), (f"{seed}l.bin", 900_000)):
        work.write(name, random_bytes(seed + size, size))
    work.write(".gitattributes", "*.bin filter=lds diff=lds merge=lds -text\n")
    work.commit()


@pytest.mark.parametrize("value", ["group", "all", "0640", "0660", "0600", "umask"])
def test_our_files_are_as_shared_as_those_of_git(tmp_path: Path, installed: None, mask: int, value: str) -> None:
    work = new_repository(tmp_path / "work")
    work.git("init", "-q", f"--shared={value}")
    add_some(work)
    add_some(work, 1)
    git_file = next(path for path in (work.path / ".git/objects").glob("??/*"))
    directories, found = tree(work.path / ".git/lds")
    if value == "0600":  # no other user may enter the directory, whatever it contains
        assert mode(directories[0]) == mode(git_file.parent) == 0o700
        return
    assert {mode(path) for path in directories} == {mode(git_file.parent)}
    large = {mode(path) for path in found if "objects" in path.parts[len(work.path.parts) + 1 :]}
    assert large == {mode(git_file)}
    assert {mode(path) for path in found if path.suffix in (".pack", ".idx")} == {mode(work.path / ".git/index")}


def test_a_repository_that_becomes_shared_shares_new_files(tmp_path: Path, installed: None, mask: int) -> None:
    work = new_repository(tmp_path / "work")
    add_some(work)
    assert not any(mode(path) & 0o020 for path in tree(work.path / ".git/lds")[0])
    before = set(tree(work.path / ".git/lds")[1])
    work.git("config", "core.sharedRepository", "group")
    add_some(work, 1)
    directories, found = tree(work.path / ".git/lds")
    assert all(mode(path) & 0o2770 == 0o2770 for path in directories)
    assert set(found) - before and all(mode(path) & 0o040 for path in set(found) - before)
    assert all(mode(path) & 0o060 == 0o060 for path in found if path.suffix == ".idx")


def test_the_store_in_a_shared_repository_is_shared(tmp_path: Path, installed: None, mask: int) -> None:
    git_init(tmp_path / "shared.git", "--shared=group")
    git_init(tmp_path / "later.git")
    subprocess.run(["git", "-C", str(tmp_path / "later.git"), "config", "core.sharedRepository", "group"], check=True)
    for name in ("shared.git", "later.git"):
        work = new_repository(tmp_path / f"work-{name}")
        add_some(work)
        add_remote(work, tmp_path / name)
        work.git("push", "-q", "origin", "main")
        assert_shared(tmp_path / name / "lds")


def test_a_store_is_as_shared_as_the_directory_that_it_is_in(tmp_path: Path, installed: None, mask: int) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o2770)
    git_init(tmp_path / "up.git")
    work = new_repository(tmp_path / "work")
    work.git("remote", "add", "origin", str(tmp_path / "up.git"))
    work.git("config", "lds.store", str(place / "deep" / "store"))
    for number in range(2):
        add_some(work, number)
        work.git("push", "-q", "origin", "main")
    assert_shared(place / "deep")


def assert_shared(root: Path) -> None:
    """All directories may be written by the group, all files read, and the hint of the log be replaced and written."""
    directories, found = tree(root)
    assert all(mode(path) & 0o2770 == 0o2770 for path in directories), [(str(p), oct(mode(p))) for p in directories]
    assert len(found) > 4 and all(mode(path) & 0o040 for path in found)
    assert all(mode(path) & 0o060 == 0o060 for path in found if path.name == "HEAD")


def git_init(path: Path, *options: str) -> None:
    subprocess.run(["git", "init", "-q", "--bare", *options, str(path)], check=True)


def test_without_a_shared_directory_the_umask_decides(tmp_path: Path, installed: None, mask: int) -> None:
    work = new_repository(tmp_path / "work")
    add_some(work)
    directories, found = tree(work.path / ".git/lds")
    assert {mode(path) for path in directories} == {0o777 & ~mask}
    assert {mode(path) for path in found} == {0o666 & ~mask, 0o444 & ~mask}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("group", (0o660, False)), ("true", (0o660, False)), ("1", (0o660, False)), ("all", (0o664, False)),
     ("everybody", (0o664, False)), ("2", (0o664, False)), ("0640", (0o640, True)), ("0777", (0o666, True)),
     ("umask", None), ("false", None), ("0", None), ("0060", None), ("0999", None)],
)  # fmt: skip
def test_the_values_of_core_shared_repository(said: str, wanted: tuple[int, bool] | None) -> None:
    assert shared.permissions(said) == wanted


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="NOT TESTED: two users, for this is not root")
def test_two_users_of_one_group_add_and_push_in_turn(world: Path, installed: None) -> None:
    group, users = 54321, (54322, 54323)
    mask = os.umask(0o077)
    try:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            os.chown(root, 0, group)
            root.chmod(0o2775)
            if not may_run(users[0], group):
                pytest.skip(f"NOT TESTED: two users, for another than root may not run {LAUNCHER}")
            for round in range(2):
                for user in users:
                    as_user(user, group, root, ADD, str(round))
            assert_shared(root / "work.git/lds")
            assert_shared(root / "up.git/lds")
            done = as_user(users[0], group, root, "git clone -q up.git fresh && cd fresh && cat *.bin | wc -c")
            assert int(done.split()[-1]) == 4 * 905_000
    finally:
        os.umask(mask)


def may_run(user: int, group: int) -> bool:
    """Return whether that user may run the program: only root can enter an environment below its home."""
    command = [str(LAUNCHER), "version"]
    try:
        return (
            subprocess.run(
                command, user=user, group=group, extra_groups=[], capture_output=True, check=False
            ).returncode
            == 0
        )
    except PermissionError:
        return False


ADD = """
export GIT_DIR="$PWD/work.git" GIT_WORK_TREE="$PWD/tree-$(id -u)"
up=$PWD/up.git
test -d up.git || git init -q --shared=group
test -d up.git || env -u GIT_DIR -u GIT_WORK_TREE git init -q --shared=group --bare up.git
mkdir -p "$GIT_WORK_TREE"; cd "$GIT_WORK_TREE"
echo '*.bin filter=lds -text' >.gitattributes
head -c 5000 /dev/urandom >small-$1-$(id -u).bin
head -c 900000 /dev/urandom >large-$1-$(id -u).bin
rm -f "$GIT_DIR/COMMIT_EDITMSG"  # git never shares this file
git add .gitattributes *-$1-$(id -u).bin && git commit -qm files && git push -q "$up" main
"""


def as_user(user: int, group: int, directory: Path, script: str, *args: str) -> str:
    home = directory / f"home-{user}"
    if not home.exists():
        home.mkdir()
        os.chown(home, user, group)
        (home / ".gitconfig").write_text(
            (Path(os.environ["HOME"]) / ".gitconfig").read_text() + "[safe]\n\tdirectory = *\n"
        )
        (home / ".gitconfig").chmod(0o644)
    done = subprocess.run(
        ["sh", "-ec", script, "sh", *args],
        cwd=directory, user=user, group=group, extra_groups=[], capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(home), "GIT_LDS_CACHE": str(home / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
