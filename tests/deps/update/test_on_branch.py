"""Unattended updates: a branch with one commit and a text about it, or nothing at all."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import textwrap
from pathlib import Path

import pytest
from kit.datasets import Dataset, lock, state_of
from kit.work import Work

WORKFLOWS = Path(__file__).parents[3] / "docs" / "workflows"


FILES = {"images/a.png": "a", "images/b.png": "b", "notes/x.txt": "x"}


def branches(work: Work) -> list[str]:
    return work.git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()


def test_a_branch_with_the_update_and_a_text_about_it(there: Dataset, here: Work, tmp_path: Path) -> None:
    here.write("data/images/b.png", "mine")
    head = here.commit("fix")
    here.write("code.py", "not committed\n")
    commit = there.publish({"images/a.png": "a2", "images/`new`.png": "new"})
    before = here.git("diff", "--name-only")
    done = here.try_lds("update", "--branch", "bot/update", "--summary", str(tmp_path / "text.md"))
    assert done.returncode == 0 and "Next: git push origin bot/update" in done.stderr
    assert here.git("symbolic-ref", "HEAD") == "refs/heads/bot/update" and here.git("rev-parse", "HEAD~") == head
    assert here.git("rev-parse", "main") == head
    assert here.git("log", "-1", "--format=%s") == "Update data/images"
    assert here.git("diff", "--name-only", "HEAD~", "HEAD").splitlines() == [
        ".ldsdeps",
        "data/images/`new`.png",
        "data/images/a.png",
    ]
    assert here.git("diff", "--name-only") == before and here.git("diff", "--cached", "--name-only") == ""
    assert here.read("data/images/b.png") == b"mine" and lock(here).commit == commit
    text = (tmp_path / "text.md").read_text()
    assert "### `data/images`" in text and "- changed `data/images/a.png`" in text
    assert "- added ``data/images/`new`.png``" in text and "data/notes" not in text
    assert not (here.path / ".git/lds/update-branch").exists()
    there.publish({"notes/x.txt": "x2"})
    assert here.try_lds("update", "--branch", "bot/update").returncode == 0
    assert here.git("log", "--format=%s", "main..HEAD").splitlines() == ["Update data/notes", "Update data/images"]


def test_with_nothing_new_there_is_no_branch(there: Dataset, here: Work, tmp_path: Path) -> None:
    before = state_of(here)
    there.publish({"README.md": "elsewhere"})
    done = here.try_lds("update", "--branch", "bot/update", "--summary", "-")
    assert done.returncode == 0 and done.stdout == "Nothing new upstream.\n" and "no branch was made" in done.stderr
    assert branches(here) == ["main"] and state_of(here) == before
    assert here.git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_with_a_conflict_nothing_is_done(there: Dataset, here: Work, tmp_path: Path) -> None:
    here.write("data/images/a.png", "mine")
    here.commit("fix")
    there.publish({"images/a.png": "theirs", "notes/x.txt": "x2"})
    before = state_of(here)
    done = here.try_lds("update", "--branch", "bot/update", "--summary", str(tmp_path / "text.md"))
    assert done.returncode == 1 and "1 conflict; nothing was changed" in done.stderr
    assert branches(here) == ["main"] and state_of(here) == before and here.is_clean()
    text = (tmp_path / "text.md").read_text()
    assert "- `data/images/a.png`: modified here, modified upstream" in text
    assert not (here.path / ".git/lds/update").exists()


def test_what_it_refuses(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "a2"})
    here.write("code.py", "staged\n")
    here.git("add", "code.py")
    before = state_of(here)
    for words, says in (
        (("--branch", "main2"), "1 staged changes would be part of the commit, such as code.py"),
        (("--branch", "-x"), "cannot be the name of a branch"),
        (("--branch", "a..b"), "cannot be the name of a branch"),
        (("--branch", "+refs/heads/x"), "cannot be the name of a branch"),
        (("--branch", "+x", "--dry-run"), "cannot be the name of a branch"),
        (("--branch", "x", "--abort"), "goes with no other option"),
    ):
        done = here.try_lds("update", *words)
        assert done.returncode in (1, 2) and says in done.stderr, done.stderr
    here.git("reset", "-q")
    here.git("branch", "taken")
    assert "a branch taken already exists" in here.try_lds("update", "--branch", "taken").stderr
    here.git("config", "user.useConfigOnly", "true")
    (Path(os.environ["HOME"]) / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    assert "git does not know who you are" in here.try_lds("update", "--branch", "anonymous").stderr
    here.git("add", "code.py")
    assert state_of(here) == before and branches(here) == ["main", "taken"]


@pytest.mark.parametrize("stopped", ["update", "symbolic-ref", "commit"])
def test_killed_on_the_way_the_same_command_goes_on(there: Dataset, here: Work, stopped: str) -> None:
    there.publish({"images/a.png": "a2"})
    code = f"""
import os, signal
from pathlib import Path
from git_lds.git.run import Git
from git_lds.deps.update import on_branch
from git_lds.repo import Repo
def dying(function):
    def call(self, *args, **options):
        if args[0] == {stopped!r}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(self, *args, **options)
    return call
with Repo.here() as repo:
    real = on_branch.update_unless_conflicts
    def update(*args, **options):
        done = real(*args, **options)
        if {stopped!r} == "update":
            os.kill(os.getpid(), signal.SIGKILL)
        Git.bytes = dying(Git.bytes)
        return done
    on_branch.update_unless_conflicts = update
    on_branch.update_on_branch(repo, "bot")
"""
    assert here.try_run(os.sys.executable, "-c", code).returncode == -9  # type: ignore[attr-defined]
    assert here.try_lds("update", "--branch", "bot").returncode == 0
    assert here.git("symbolic-ref", "HEAD") == "refs/heads/bot" and here.is_clean()
    assert here.git("log", "--format=%s", "main..bot").splitlines() in (["Update data/images"], ["Update dependencies"])
    assert here.git("log", "--format=%s", "main").splitlines() == ["import", "start"]


# the ready-made workflows


def steps(name: str) -> list[str]:
    """The shell scripts of a workflow file, in their order: the blocks after "run: |", or those of a list, "- |"."""
    lines = (WORKFLOWS / name).read_text().splitlines()
    found = []
    for number, line in enumerate(lines):
        if re.fullmatch(r" +(run: |- )\|", line):
            indent = len(line) - len(line.lstrip())
            block = []
            for inner in lines[number + 1 :]:
                if inner.strip() and len(inner) - len(inner.lstrip()) <= indent:
                    break
                block.append(inner)
            found.append(textwrap.dedent("\n".join(block)))
    return found


def stand_in(directory: Path, name: str, script: str) -> None:
    """A program of others that is not installed: it writes down its arguments."""
    directory.mkdir(exist_ok=True)
    program = directory / name
    program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{directory}/asked"\n{script}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("name", ["update-github.yml", "update-gitlab.yml"])
def test_the_steps_of_the_workflow_files(there: Dataset, here: Work, tmp_path: Path, name: str) -> None:
    bare = here.publish("B.git")
    Work(bare).git("config", "receive.advertisePushOptions", "true")
    programs = tmp_path / "programs"
    stand_in(programs, "pip", "")
    stand_in(
        programs,
        "gh",
        f'if [ "$2" = view ]; then test -e "{programs}/open" && echo OPEN; fi; test "$2" != create || touch "{programs}/open"',
    )
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "BRANCH": "lds/update",
        "GIT_LDS_SKIP_SMUDGE": "1",
        "RUNNER_TEMP": str(tmp_path),
        "CI_PROJECT_URL": str(bare).removesuffix(".git"),
        "CI_SERVER_HOST": "example.org",
        "CI_DEFAULT_BRANCH": "main",
    }
    scripts = steps(name)
    assert len(scripts) == 3

    def run(clone: str) -> Work:
        job = here.clone(clone, source=bare, GIT_LDS_SKIP_SMUDGE="1")
        job.git("config", "--add", "lds.allowlocal", there.url)
        for script in scripts:
            done = job.try_run("bash", "-e", "-o", "pipefail", "-c", script, **environment)
            assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return job

    run("nothing-new")
    assert Work(bare).git("for-each-ref", "--format=%(refname:short)") == "main"
    there.publish({"images/a.png": "a2"})
    run("first")
    assert Work(bare).git("log", "--format=%s", "main..lds/update") == "Update data/images"
    there.publish({"notes/x.txt": "x2"})
    run("second")
    assert Work(bare).git("log", "--format=%s", "main..lds/update").splitlines() == [
        "Update data/notes",
        "Update data/images",
    ]
    asked = (programs / "asked").read_text().splitlines()
    assert asked[0] == "pip install git-lds"
    assert [line.split()[:3] for line in asked if line.startswith("gh pr create")] == (
        [["gh", "pr", "create"]] if "github" in name else []
    )
    clone = here.clone("reviewer", "--branch", "lds/update", source=bare)
    assert clone.read("data/images/a.png") == b"a2" and clone.read("data/notes/x.txt") == b"x2"


def test_a_summary_that_can_not_be_written_is_refused_before_anything_is_done(
    there: Dataset, here: Work, tmp_path: Path
) -> None:
    there.publish({"images/a.png": "news"})
    before = state_of(here)
    for words in (("update", "--summary"), ("contribute", "data/images", "--body")):
        for place in (tmp_path / "nowhere" / "text.md", tmp_path):
            done = here.try_lds(*words, str(place))
            assert done.returncode == 1 and "cannot write " in done.stderr and "hint: " in done.stderr
    assert state_of(here) == before and here.is_clean()


def test_json_and_a_dry_run_have_a_summary_too(there: Dataset, here: Work, tmp_path: Path) -> None:
    there.publish({"images/a.png": "a2"})
    text = tmp_path / "text.md"
    found = json.loads(here.lds("update", "--branch", "x", "--dry-run", "--json", "--summary", str(text)))
    assert found[0]["changed"] == ["data/images/a.png"] and branches(here) == ["main"]
    assert "- changed `data/images/a.png`" in text.read_text()
    found = json.loads(here.lds("update", "--branch", "x", "--json"))
    assert found[0]["written"] and branches(here) == ["main", "x"]
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=here.path, capture_output=True, check=True).stdout == b""
    )
