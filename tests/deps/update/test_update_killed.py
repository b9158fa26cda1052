"""Killed anywhere: the state is that before or that after, or the same command run again makes it so."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kit.datasets import files_of, new_consumer, new_dataset, opened, state_of
from kit.work import Work, random_bytes

from git_lds.deps.update import resolve
from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update
from git_lds.errors import LdsError
from git_lds.git.run import Git

_COMMAND = """
import sys
from git_lds.imports import resolving
from git_lds.imports.importing import import_path
from git_lds.imports.updating import update
from git_lds.repo import Repo
with Repo.here() as repo:
    if sys.argv[1] == "import":
        import_path(repo, sys.argv[2], "images", output="data/images")
    elif sys.argv[1] == "abort":
        resolving.abort(repo)
    else:
        update(repo)
"""
_SLOW = """
import os, time
from git_lds.imports import switching
steps = dict.fromkeys(("_bring_directory", "_replace_index"), 0.12)
steps |= dict.fromkeys(("_rename", "prepare", "_discard", "_prune"), 0.004)
for name, seconds in steps.items():
    def slow(*args, _real=getattr(switching, name), _seconds=seconds, **options):
        time.sleep(_seconds)
        result = _real(*args, **options)
        time.sleep(_seconds)
        return result
    setattr(switching, name, slow)
"""
"""Stretches the switch, which is otherwise over in a few ms, so that kills fall into it."""


def start(work: Work, *args: str, slow: bool) -> subprocess.Popen[bytes]:
    code = (_SLOW if slow else "") + _COMMAND
    return subprocess.Popen(
        [sys.executable, "-c", code, *args], cwd=work.path, start_new_session=True, stderr=subprocess.PIPE
    )


MOST = 40
"""Kills after which one should have come in the midst of a switch; the few of the default run go on until one did."""


def runs_of(few: int, many: int, unstretched: int) -> list[object]:
    """How often a test kills: a few times, and for the soak often, with the switch stretched and as it is."""
    soak = [pytest.mark.slow, pytest.mark.timeout(3000)]
    return [(True, few), pytest.param(True, many, marks=soak), pytest.param(False, unstretched, marks=soak)]


def moment(chance: random.Random, number: int, kills: int) -> float:
    """The part of a run after which kill `number` comes: by chance, and all of them spread over the run, its start apart."""
    return 0.15 + 0.85 * (number % kills + chance.random()) / kills


SHRINK = 0.93
"""What a kill that came too late teaches of a command's duration: the machine had more other work when it was timed."""


def kill_after(process: subprocess.Popen[bytes], seconds: float, *, alone: bool) -> bool:
    """Kill the process `alone`, or with the gits it started, which are its session; tell whether it was still running."""
    time.sleep(seconds)
    running = process.poll() is None
    if running and alone:
        process.kill()
    elif running:
        os.killpg(process.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert running or process.returncode == 0, said
    return running


@pytest.fixture
def template(tmp_path: Path, installed: None) -> tuple[Work, str]:
    """A consumer, and the URL of what it imports."""
    there = new_dataset(tmp_path)
    there.publish(
        {f"images/{n}.png": random_bytes(n, 3000) for n in range(30)} | {"images/big.bin": random_bytes(99, 6_000_000)}
    )
    return new_consumer(tmp_path), there.url


def is_sane(work: Work) -> None:
    """Whatever was killed, git answers."""
    assert work.try_git("status", "--porcelain").returncode == 0
    assert work.git("fsck", "--no-dangling") == ""


def took(work: Work, *args: str, slow: bool) -> float:
    started = time.monotonic()
    process = start(work, *args, slow=slow)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return time.monotonic() - started


@pytest.mark.parametrize(("slow", "kills"), runs_of(8, 25, 25))
def test_import_killed_anywhere(template: tuple[Work, str], tmp_path: Path, slow: bool, kills: int) -> None:
    origin, url = template
    before = state_of(origin)
    whole = Work(tmp_path / "whole")
    subprocess.run(["cp", "-a", origin.path, whole.path], check=True)
    duration = took(whole, "import", url, slow=slow)
    after = state_of(whole)
    chance = random.Random(23 + slow)
    killed = half = 0
    for number in itertools.count():
        if number >= kills and (half or not slow or number >= MOST):
            break
        work = Work(tmp_path / f"copy{number}")
        subprocess.run(["cp", "-a", origin.path, work.path], check=True)
        was_running = kill_after(
            start(work, "import", url, slow=slow), duration * moment(chance, number, kills), alone=number % 3 == 0
        )
        killed += was_running
        duration *= 1 if was_running else SHRINK
        is_sane(work)
        half += state_of(work) not in (before, after)
        with opened(work) as repo:
            try:
                import_path(repo, url, "images", output="data/images")
            except LdsError as error:
                assert "is a dependency already" in error.message  # it had come to its end
        assert state_of(work) == after
        assert not (work.path / ".git/index.lock").exists() and not (work.path / ".git/lds/switch").exists()
        work.git("commit", "-qm", "import")
        assert work.is_clean()
    assert killed >= 0.3 * kills  # a loaded machine has them come too late
    assert half or not slow


@pytest.mark.parametrize(("slow", "kills"), runs_of(8, 100, 100))
def test_update_killed_anywhere(template: tuple[Work, str], tmp_path: Path, slow: bool, kills: int) -> None:
    origin, url = template
    with opened(origin) as repo:
        import_path(repo, url, "images", output="data/images")
    origin.commit("import")
    there = Work(tmp_path / "A")
    for number in range(0, 30, 2):
        (there.path / f"images/{number}.png").unlink()
    for number in range(1, 30, 6):
        there.write(f"images/{number}.png", f"edited {number}")
        there.write(f"images/{number - 1}.png/inner.png", f"a directory now {number}")
    there.commit()
    there.git("push", "-q", "origin", "HEAD")
    before = state_of(origin)
    whole = Work(tmp_path / "whole")
    subprocess.run(["cp", "-a", origin.path, whole.path], check=True)
    duration = took(whole, "update", slow=slow)
    after = state_of(whole)
    assert files_of(whole, "data/images") == files_of(there, "images")
    chance = random.Random(42 + slow)
    killed = half = 0
    for number in itertools.count():
        if number >= kills and (half or not slow or number >= MOST):
            break
        work = Work(tmp_path / f"copy{number}")
        subprocess.run(["cp", "-a", origin.path, work.path], check=True)
        was_running = kill_after(
            start(work, "update", slow=slow), duration * moment(chance, number, kills), alone=number % 3 == 0
        )
        killed += was_running
        duration *= 1 if was_running else SHRINK
        is_sane(work)
        half += state_of(work) not in (before, after)
        with opened(work) as repo:
            update(repo)
        assert state_of(work) == after
        assert not (work.path / ".git/index.lock").exists() and not (work.path / ".git/lds/switch").exists()
        work.git("commit", "-qm", "update")
        assert work.is_clean()
        shutil.rmtree(work.path)
    assert killed >= 0.3 * kills  # a loaded machine has them come too late
    assert half or not slow


@pytest.fixture
def disagreeing(template: tuple[Work, str], tmp_path: Path) -> Work:
    """A consumer that has fixed what upstream has changed too, one file in a way that cannot be merged."""
    here, url = template
    with opened(here) as repo:
        import_path(repo, url, "images", output="data/images")
    here.commit("import")
    there = Work(tmp_path / "A")
    for number in range(0, 30, 3):
        there.write(f"images/{number}.png", f"theirs {number}")
        (there.path / f"images/{number + 1}.png").unlink()
    there.write("images/new.png", "new")
    there.commit()
    there.git("push", "-q", "origin", "HEAD")
    for number in (0, 2, 5):
        here.write(f"data/images/{number}.png", f"ours {number}")
    here.commit("fixes")
    return here


def went_back(work: Work) -> None:
    try:
        with opened(work) as repo:
            resolve.abort(repo)
    except LdsError as error:
        assert "no update is under way" in error.message  # it had come to its end


@pytest.mark.parametrize(("slow", "kills"), runs_of(8, 20, 50))
def test_an_update_with_conflicts_and_its_abort_killed_anywhere(
    disagreeing: Work, tmp_path: Path, slow: bool, kills: int
) -> None:
    """Behaviour 32: also the way back is all or nothing."""
    before = state_of(disagreeing)
    whole = Work(tmp_path / "whole")
    subprocess.run(["cp", "-a", disagreeing.path, whole.path], check=True)
    durations = {"update": took(whole, "update", slow=slow)}
    after = state_of(whole)
    assert "UU data/images/0.png" in whole.git("status", "--porcelain")
    template = Work(tmp_path / "updated")
    subprocess.run(["cp", "-a", whole.path, template.path], check=True)
    durations["abort"] = took(whole, "abort", slow=slow)
    assert state_of(whole) == before
    chance = random.Random(31 + slow)
    killed = half = 0
    for number in itertools.count():
        if number >= kills and (half or not slow or number >= MOST):
            break
        command, origin = ("update", disagreeing) if number % 2 else ("abort", template)
        work = Work(tmp_path / f"copy{number}")
        subprocess.run(["cp", "-a", origin.path, work.path], check=True)
        was_running = kill_after(
            start(work, command, slow=slow), durations[command] * moment(chance, number, kills), alone=number % 3 == 0
        )
        killed += was_running
        durations[command] *= 1 if was_running else SHRINK
        assert work.try_git("status", "--porcelain").returncode == 0
        half += state_of(work) not in (before, after)
        if command == "update":
            with opened(work) as repo:
                try:
                    update(repo)
                except LdsError as error:
                    assert "an update is under way" in error.message  # it had come to its end, or has now
            assert state_of(work) == after
        went_back(work)
        assert state_of(work) == before and work.is_clean()
        assert not (work.path / ".git/index.lock").exists() and not (work.path / ".git/lds/switch").exists()
        assert not (work.path / ".git/lds/update").exists()
        shutil.rmtree(work.path)
    assert killed >= 0.5 * kills
    assert half or not slow


def stopped_midway(work: Work, url: str, monkeypatch: pytest.MonkeyPatch, moves: int, *, force: bool = False) -> None:
    """Leave what a kill after so many moves leaves, where the directory did not go as a whole."""
    from git_lds.worktree import transaction

    pid = os.fork()
    if pid == 0:
        rename, count = transaction._rename, 0

        def dying(ours: bytes, at: object, *, out: bool) -> None:
            nonlocal count
            count += 1
            if count > moves:
                os.kill(os.getpid(), signal.SIGKILL)
            rename(ours, at, out=out)  # type: ignore[arg-type]

        monkeypatch.setattr(transaction, "_rename", dying)
        monkeypatch.setattr(transaction, "_bring_directory", lambda *_: None)
        with opened(work) as repo:
            import_path(repo, url, "images", output="data/images", force=force)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_user_who_went_back_by_hand_is_heard(template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch) -> None:
    work, url = template
    stopped_midway(work, url, monkeypatch, 7)
    (work.path / ".git/index.lock").unlink()
    work.git("clean", "-qfdx")
    work.write("code.py", "print('going on')\n")
    work.commit()
    with opened(work) as repo:
        import_path(repo, url, "images", output="data/images")
    work.git("commit", "-qm", "import")
    assert work.is_clean() and len(files_of(work, "data/images")) == 31


@pytest.mark.parametrize("went_back", [False, True])
def test_a_kill_between_the_new_directory_and_the_index(
    template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch, went_back: bool
) -> None:
    from git_lds.worktree import transaction

    work, url = template
    if (pid := os.fork()) == 0:
        monkeypatch.setattr(transaction, "_replace_index", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with opened(work) as repo:
            import_path(repo, url, "images", output="data/images")
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert len(files_of(work, "data/images")) == 31 and work.git("ls-files", "data") == ""
    if went_back:
        (work.path / ".git/index.lock").unlink()
        work.git("clean", "-qfdx")
    with opened(work) as repo:
        import_path(repo, url, "images", output="data/images")
    work.git("commit", "-qm", "import")
    assert work.is_clean() and len(files_of(work, "data/images")) == 31


def test_the_lock_of_a_git_that_was_killed_with_us_is_in_nobodys_way(
    template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies beside the new index that the switch was making, and only git's own lock of the user's index counts."""
    from git_lds.worktree import transaction

    work, url = template
    if (pid := os.fork()) == 0:

        def dying(git: Git, index: Path) -> Git:
            if index.name.startswith("index"):
                Path(f"{index}.lock").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return on_index(git, index)

        on_index = transaction.on_index
        monkeypatch.setattr(transaction, "on_index", dying)
        with opened(work) as repo:
            import_path(repo, url, "images", output="data/images")
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert len(list((work.path / ".git/lds/switch").glob("*/index*.lock"))) == 1
    with opened(work) as repo:
        import_path(repo, url, "images", output="data/images")
    work.git("commit", "-qm", "import")
    assert work.is_clean() and len(files_of(work, "data/images")) == 31


def test_a_user_who_went_back_with_git_is_heard(template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch) -> None:
    work, url = template
    for number in range(30):
        work.write(f"data/images/{number}.png", f"mine {number}")
    work.commit()
    stopped_midway(work, url, monkeypatch, 7, force=True)
    assert not work.is_clean()
    (work.path / ".git/index.lock").unlink()
    work.git("checkout", "-q", "--", ".")
    work.git("clean", "-qfd")
    with opened(work) as repo, pytest.raises(LdsError, match="exists already"):
        import_path(repo, url, "images", output="data/images")
    assert work.is_clean() and work.read("data/images/7.png") == b"mine 7"


def test_a_user_who_only_took_the_lock_away(template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what git's own message tells to do."""
    work, url = template
    stopped_midway(work, url, monkeypatch, 7)
    (work.path / ".git/index.lock").unlink()
    with opened(work) as repo:
        assert [each.written for each in update(repo)] == [False]  # any command of the kind completes it
    work.git("commit", "-qm", "import")
    assert work.is_clean() and len(files_of(work, "data/images")) == 31


def test_a_file_edited_after_the_kill_is_not_lost(template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch) -> None:
    work, url = template
    stopped_midway(work, url, monkeypatch, 7)
    missing = next(n for n in range(30) if not (work.path / f"data/images/{n}.png").exists())
    work.write(f"data/images/{missing}.png", "mine")
    with opened(work) as repo, pytest.raises(LdsError, match="changed meanwhile"):
        import_path(repo, url, "images", output="data/images")
    assert work.read(f"data/images/{missing}.png") == b"mine"
    (work.path / f"data/images/{missing}.png").unlink()
    with opened(work) as repo:
        assert import_path(repo, url, "images", output="data/images").output == "data/images"
    assert len(files_of(work, "data/images")) == 31


def test_a_damaged_journal_is_named(template: tuple[Work, str], monkeypatch: pytest.MonkeyPatch) -> None:
    work, url = template
    stopped_midway(work, url, monkeypatch, 7)
    (journal,) = (work.path / ".git/lds/switch").glob("*/journal")
    journal.write_bytes(journal.read_bytes()[:100])
    with opened(work) as repo, pytest.raises(LdsError, match="damaged"):
        import_path(repo, url, "images", output="data/images")
