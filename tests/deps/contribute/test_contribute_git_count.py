"""How many git processes a contribution starts, however many commits and files it has."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.datasets import Dataset, new_dataset, new_importer, opened
from kit.git_count import GitProcesses, counted_git
from kit.work import Work, random_bytes

from git_lds.deps.contribute.contribute import Contribution, contribute, preview

CONTRIBUTION = 17
"""The processes of a first contribution of tracked files; the limit that was set for it is 25."""

NOTHING_NEW = 11
"""The processes of one that finds its own branch, with a fetch of it; the limit that was set is 12."""


@pytest.fixture
def there(tmp_path: Path, installed: None) -> Dataset:
    dataset = new_dataset(tmp_path)
    dataset.publish({"images/a.png": "a", "images/b.png": "b", "images/deep/c.png": "c", "notes/x.txt": "x\n"})
    return dataset


@pytest.fixture
def here(tmp_path: Path, there: Dataset) -> Work:
    return new_importer(tmp_path, there)


def commits(here: Work, count: int) -> None:
    for number in range(count):
        here.write("data/images/a.png", f"version {number} of {count}")
        here.write(f"data/images/new/{count}/{number}.png", random_bytes(number, 1000))
        here.commit(f"Edit {number}")


def counted(here: Work, *, dry_run: bool = False) -> tuple[Contribution, GitProcesses]:
    with counted_git() as git, opened(here) as repo:
        done = (preview if dry_run else contribute)(repo, "data/images")
    return done, git


@pytest.mark.parametrize("count", [1, 12])
def test_a_contribution_starts_as_many_for_one_commit_as_for_twelve(here: Work, count: int) -> None:
    commits(here, count)
    tried, git = counted(here, dry_run=True)
    assert len(tried.plan.commits) == count
    git.assert_at_most(CONTRIBUTION - 3)
    done, git = counted(here)
    assert done.written and len(done.plan.commits) == count
    git.assert_at_most(CONTRIBUTION)
    assert len(git.of("push")) == len(git.of("ls-remote")) == 1


def test_a_contribution_with_nothing_new_starts_few(here: Work) -> None:
    commits(here, 2)
    assert counted(here)[0].written
    done, git = counted(here)
    assert not done.plan.commits
    git.assert_at_most(NOTHING_NEW)
    done, git = counted(here)
    assert not done.plan.commits and not git.of("fetch")
    git.assert_at_most(NOTHING_NEW - 1)


def test_one_that_adds_to_its_branch_starts_few_more(here: Work) -> None:
    commits(here, 2)
    assert counted(here)[0].written
    commits(here, 3)
    done, git = counted(here)
    assert done.written and done.plan.destination.extends and len(done.plan.commits) == 3
    git.assert_at_most(CONTRIBUTION + 3)
