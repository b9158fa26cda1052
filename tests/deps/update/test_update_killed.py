"""Killed anywhere: the state is that before or that after, or the same command run again makes it so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.datasets import Dataset, files_of, new_consumer, new_dataset, opened, state_of
from kit.kills import copy_of, kill_anywhere
from kit.steps import DiesAt, run_until_killed
from kit.work import Work, random_bytes

from git_lds.deps.update import resolve
from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update
from git_lds.errors import LdsError
from git_lds.worktree.steps import Step

_CODE = """
import sys
from git_lds.deps.update import resolve
from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update
from git_lds.repo import Repo
with Repo.here() as repo:
    if sys.argv[1] == "import":
        import_path(repo, sys.argv[2], "images", output="data/images")
    elif sys.argv[1] == "abort":
        resolve.abort(repo)
    else:
        update(repo)
"""
_SLOW = """
import time
from git_lds.worktree.steps import Step, observed_by
LONG = (Step.MOVE_DIRECTORY, Step.WRITE_INDEX, Step.REPLACE_INDEX)
slow = observed_by(lambda step: time.sleep(0.12 if step in LONG else 0.008))
slow.__enter__()
"""
"""Stretches the transaction, which otherwise takes a few ms, so that kills fall into it."""


def command(*args: str, slow: bool) -> list[str]:
    return [sys.executable, "-c", (_SLOW if slow else "") + _CODE, *args]


def number_of_kills(few: int, many: int, unstretched: int) -> list[object]:
    """How often a test kills: a few times; and for the soak often, with the transaction stretched and as it is."""
    soak = [pytest.mark.slow, pytest.mark.timeout(3000)]
    return [(True, few), pytest.param(True, many, marks=soak), pytest.param(False, unstretched, marks=soak)]


@pytest.fixture
def dataset(tmp_path: Path, installed: None) -> Dataset:
    dataset = new_dataset(tmp_path)
    dataset.publish(
        {f"images/{n}.png": random_bytes(n, 3000) for n in range(30)} | {"images/big.bin": random_bytes(99, 6_000_000)}
    )
    return dataset


@pytest.fixture
def consumer(tmp_path: Path, dataset: Dataset) -> Work:
    return new_consumer(tmp_path)


@pytest.fixture
def importer(consumer: Work, dataset: Dataset) -> Work:
    """A repository that has imported the dataset, committed."""
    take(consumer, dataset)
    consumer.commit("import")
    return consumer


def take(work: Work, dataset: Dataset, *, force: bool = False) -> None:
    with opened(work) as repo:
        import_path(repo, dataset.url, "images", output="data/images", force=force)


def assert_sane(work: Work) -> None:
    """git works on, at whatever point the command was killed."""
    assert work.try_git("status", "--porcelain").returncode == 0
    assert work.git("fsck", "--no-dangling") == ""


def assert_no_leftovers(work: Work) -> None:
    assert not (work.path / ".git/index.lock").exists() and not (work.path / ".git/lds/switch").exists()


def completed(origin: Work, *args: str) -> Work:
    """Return a copy of a repository in which a command ran that was not killed."""
    work = copy_of(origin, origin.path.parent / "whole")
    process = work.try_run(*command(*args, slow=False))
    assert process.returncode == 0, process.stderr
    return work


@pytest.mark.parametrize(("slow", "kills"), number_of_kills(8, 25, 25))
def test_import_killed_anywhere(consumer: Work, dataset: Dataset, slow: bool, kills: int) -> None:
    before, after = state_of(consumer), state_of(completed(consumer, "import", dataset.url))

    def check(work: Work) -> bool:
        assert_sane(work)
        halfway = state_of(work) not in (before, after)
        try:
            take(work, dataset)
        except LdsError as error:
            assert "is already a dependency" in error.message  # it had finished
        assert state_of(work) == after
        assert_no_leftovers(work)
        work.git("commit", "-qm", "import")
        assert work.is_clean()
        return halfway

    kill_anywhere(command("import", dataset.url, slow=slow), consumer, check, kills=kills, until_halfway=slow)


@pytest.mark.parametrize(("slow", "kills"), number_of_kills(8, 100, 100))
def test_update_killed_anywhere(importer: Work, dataset: Dataset, slow: bool, kills: int) -> None:
    changes: dict[str, bytes | str | None] = {f"images/{number}.png": None for number in range(0, 30, 2)}
    changes |= {f"images/{number}.png": f"edited {number}" for number in range(1, 30, 6)}
    dataset.publish(changes | {f"images/{number - 1}.png/inner.png": f"now {number}" for number in range(1, 30, 6)})
    whole = completed(importer, "update")
    before, after = state_of(importer), state_of(whole)
    assert files_of(whole, "data/images") == files_of(dataset.work, "images")

    def check(work: Work) -> bool:
        assert_sane(work)
        halfway = state_of(work) not in (before, after)
        with opened(work) as repo:
            update(repo)
        assert state_of(work) == after
        assert_no_leftovers(work)
        work.git("commit", "-qm", "update")
        assert work.is_clean()
        return halfway

    kill_anywhere(command("update", slow=slow), importer, check, kills=kills, until_halfway=slow)


@pytest.fixture
def disagreeing(importer: Work, dataset: Dataset) -> Work:
    """A repository that has changed files that upstream has changed too, one of them in a way that cannot be merged."""
    changes: dict[str, bytes | str | None] = {f"images/{number}.png": f"theirs {number}" for number in range(0, 30, 3)}
    dataset.publish(
        changes | {f"images/{number + 1}.png": None for number in range(0, 30, 3)} | {"images/new.png": "new"}
    )
    for number in (0, 2, 5):
        importer.write(f"data/images/{number}.png", f"ours {number}")
    importer.commit("fixes")
    return importer


def abort(work: Work) -> None:
    try:
        with opened(work) as repo:
            resolve.abort(repo)
    except LdsError as error:
        assert "no update is under way" in error.message  # it had finished


@pytest.mark.parametrize("verb", ["update", "abort"])
@pytest.mark.parametrize(("slow", "kills"), number_of_kills(4, 10, 25))
def test_an_update_with_conflicts_and_its_abort_killed_anywhere(
    disagreeing: Work, verb: str, slow: bool, kills: int
) -> None:
    updated = completed(disagreeing, "update")
    before, after = state_of(disagreeing), state_of(updated)
    assert "UU data/images/0.png" in updated.git("status", "--porcelain")

    def check(work: Work) -> bool:
        assert work.try_git("status", "--porcelain").returncode == 0
        halfway = state_of(work) not in (before, after)
        if verb == "update":
            with opened(work) as repo:
                try:
                    update(repo)
                except LdsError as error:
                    assert "an update is under way" in error.message  # it had finished, or has now
            assert state_of(work) == after
        abort(work)
        assert state_of(work) == before and work.is_clean()
        assert_no_leftovers(work)
        assert not (work.path / ".git/lds/update").exists()
        return halfway

    origin = disagreeing if verb == "update" else updated
    kill_anywhere(command(verb, slow=slow), origin, check, kills=kills, until_halfway=slow)


def kill_midway(work: Work, dataset: Dataset, *, force: bool = False) -> None:
    """Kill an import after seven moves of files, in a case where their directory does not come as a whole."""
    run_until_killed(lambda: take(work, dataset, force=force), DiesAt(8, Step.MOVE_OUT, Step.MOVE_IN, one_by_one=True))


def assert_imported(work: Work) -> None:
    work.git("commit", "-qm", "import")
    assert work.is_clean() and len(files_of(work, "data/images")) == 31


def test_files_that_the_user_deleted_after_the_kill_come_again(consumer: Work, dataset: Dataset) -> None:
    kill_midway(consumer, dataset)
    (consumer.path / ".git/index.lock").unlink()
    consumer.git("clean", "-qfdx")
    consumer.write("code.py", "print('going on')\n")
    consumer.commit()
    take(consumer, dataset)
    assert_imported(consumer)


@pytest.mark.parametrize("undone", [False, True])
def test_a_kill_between_the_new_directory_and_the_index(consumer: Work, dataset: Dataset, undone: bool) -> None:
    run_until_killed(lambda: take(consumer, dataset), DiesAt(1, Step.WRITE_INDEX))
    assert len(files_of(consumer, "data/images")) == 31 and consumer.git("ls-files", "data") == ""
    if undone:
        (consumer.path / ".git/index.lock").unlink()
        consumer.git("clean", "-qfdx")
    take(consumer, dataset)
    assert_imported(consumer)


def test_the_lock_of_a_git_that_was_killed_too_does_not_matter(consumer: Work, dataset: Dataset) -> None:
    """It is beside the new index of the transaction. Only the lock of the user's index counts."""

    def lock_new_index() -> None:
        (index,) = (consumer.path / ".git/lds/switch").glob("*/index-*")
        Path(f"{index}.lock").touch()

    run_until_killed(lambda: take(consumer, dataset), DiesAt(1, Step.WRITE_INDEX, last_act=lock_new_index))
    assert len(list((consumer.path / ".git/lds/switch").glob("*/index*.lock"))) == 1
    take(consumer, dataset)
    assert_imported(consumer)


def test_a_checkout_after_the_kill_undoes_the_import(consumer: Work, dataset: Dataset) -> None:
    for number in range(30):
        consumer.write(f"data/images/{number}.png", f"mine {number}")
    consumer.commit()
    kill_midway(consumer, dataset, force=True)
    assert not consumer.is_clean()
    (consumer.path / ".git/index.lock").unlink()
    consumer.git("checkout", "-q", "--", ".")
    consumer.git("clean", "-qfd")
    with pytest.raises(LdsError, match="already exists"):
        take(consumer, dataset)
    assert consumer.is_clean() and consumer.read("data/images/7.png") == b"mine 7"


@pytest.mark.parametrize("version", [2, 3])
def test_any_command_completes_the_import_when_the_lock_was_deleted(
    consumer: Work, dataset: Dataset, version: int
) -> None:
    """git's own message tells the user to delete it. A journal of the version before is read too."""
    kill_midway(consumer, dataset)
    if version == 2:
        (journal,) = (consumer.path / ".git/lds/switch").glob("*/journal")
        journal.write_text(json.dumps(in_version_2(json.loads(journal.read_text()))))
    (consumer.path / ".git/index.lock").unlink()
    with opened(consumer) as repo:
        assert [updated.written for updated in update(repo)] == [False]
    assert_imported(consumer)


def in_version_2(journal: dict[str, Any]) -> dict[str, Any]:
    moves = [
        {
            "path": move["path"],
            "before": move["index_before"],
            "after": move["index_after"],
            "expected": move["expected"],
            "staged": move["staged"],
            "exact": move["matches_index"],
            "hidden": move["skip_worktree"],
            "was": None,
            "stages": None,
            "keep": move["keep"],
        }
        for move in journal["moves"]
    ]
    return {"version": 2, **journal["note"], "moves": moves}


def test_a_file_edited_after_the_kill_is_not_lost(consumer: Work, dataset: Dataset) -> None:
    kill_midway(consumer, dataset)
    missing = next(n for n in range(30) if not (consumer.path / f"data/images/{n}.png").exists())
    consumer.write(f"data/images/{missing}.png", "mine")
    with pytest.raises(LdsError, match="changed while the command was running"):
        take(consumer, dataset)
    assert consumer.read(f"data/images/{missing}.png") == b"mine"
    (consumer.path / f"data/images/{missing}.png").unlink()
    take(consumer, dataset)
    assert len(files_of(consumer, "data/images")) == 31


def test_a_damaged_journal_is_named(consumer: Work, dataset: Dataset) -> None:
    kill_midway(consumer, dataset)
    (journal,) = (consumer.path / ".git/lds/switch").glob("*/journal")
    journal.write_bytes(journal.read_bytes()[:100])
    with pytest.raises(LdsError, match="damaged"):
        take(consumer, dataset)


def test_a_journal_of_a_later_version_is_refused(consumer: Work, dataset: Dataset) -> None:
    kill_midway(consumer, dataset)
    before = files_of(consumer)
    (journal,) = (consumer.path / ".git/lds/switch").glob("*/journal")
    journal.write_text(json.dumps(json.loads(journal.read_text()) | {"version": 4}))
    with pytest.raises(LdsError, match="another version of git-lds"):
        take(consumer, dataset)
    assert files_of(consumer) == before
