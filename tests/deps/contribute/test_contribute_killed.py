"""A contribution killed anywhere: the branch exists complete with its data, or not at all; run again, it exists."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from kit.datasets import files_of, lock, new_dataset, new_importer, opened, state_of
from kit.kills import dice, files_in, kill, start, timed, wait_for_a_moment, without_locks
from kit.stores import Machine
from kit.work import LAUNCHER, Work, random_bytes

from git_lds.deps.contribute.contribute import contribute
from git_lds.deps.history import records

BRANCH = "lds/ada-test/data-images"
NEW = {f"{number}.png": random_bytes(number, 40_000) for number in range(12)}


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])])
def test_contribute_killed_anywhere(tmp_path: Path, installed: None, kills: int) -> None:
    """Behaviour 33: objects are in the store before the branch is visible."""
    there = new_dataset(tmp_path)
    there.publish({f"images/{number}.png": f"old {number}" for number in range(20)} | {"notes/x.txt": "x"})
    here = new_importer(tmp_path, there)
    for number in range(3):
        for name in list(NEW)[number::3]:
            here.write(f"data/images/{name}", NEW[name])
        here.commit(f"fix {number}")
    before = state_of(here)
    there.work.git("gc", "-q")
    templates = {path: tmp_path / f"{path.name}.template" for path in (there.bare, here.path)}
    for path, template in templates.items():
        shutil.copytree(path, template, symlinks=True)

    def restore() -> None:
        for path, template in templates.items():
            shutil.rmtree(path)
            subprocess.run(["cp", "-a", template, path], check=True)

    command = (LAUNCHER, "contribute", "data/images")
    seconds = timed(here, *command)
    random = dice("contribute")
    bare = Work(there.bare)
    seen = {"before": 0, "after": 0}
    for _ in range(kills):
        restore()
        process = start(here, *command)
        wait_for_a_moment(random, seconds, lambda: files_in(there.bare, here.path / ".git/lds"), process)
        kill(process)
        without_locks(there.bare)
        assert state_of(here) == before and here.git("fsck", "--no-dangling") == ""
        refs = bare.git("for-each-ref", "--format=%(refname)").splitlines()
        assert refs in (["refs/heads/main"], [f"refs/heads/{BRANCH}", "refs/heads/main"])
        seen["after" if len(refs) > 1 else "before"] += 1
        if len(refs) > 1:
            assert_complete(there.bare, tmp_path)
        with opened(here) as repo:
            done = contribute(repo, "data/images")
            assert done.written or len(refs) > 1
            assert [record.tip for record in records.of(repo, lock(here))] == [done.tip]
        assert_complete(there.bare, tmp_path)
        assert state_of(here) == before and not (here.path / ".git/lds/switch").exists()
    print(seen)


def assert_complete(bare: Path, tmp_path: Path) -> None:
    """Assert that the branch is complete, and that a machine without objects gets its files."""
    work = Work(bare)
    assert work.git("log", "--format=%s", f"main..{BRANCH}").splitlines() == ["fix 2", "fix 1", "fix 0"]
    listed = work.git("diff", "--name-only", f"main...{BRANCH}").splitlines()
    assert sorted(listed) == sorted(f"images/{name}" for name in NEW)
    assert work.git("fsck", "--no-dangling") == ""
    shutil.rmtree(tmp_path / "machine", ignore_errors=True)
    assert not Machine(tmp_path / "machine").pull(bare / "lds", *NEW.values()).missing


def test_a_full_disk_changes_no_file(tmp_path: Path, installed: None) -> None:
    there = new_dataset(tmp_path)
    there.publish({"images/a.png": "a", "notes/x.txt": "x"})
    here = new_importer(tmp_path, there)
    here.write("data/images/a.png", random_bytes(1, 400_000))
    here.commit("fix")
    before = files_of(here)
    done = here.try_run("bash", "-c", f"ulimit -f 100; '{LAUNCHER}' contribute data/images")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "hint: " in done.stderr, done.stderr
    assert files_of(here) == before and Work(there.bare).git("branch", "--list", "lds/*") == ""
    assert "Pushed" in here.try_lds("contribute", "data/images").stderr
