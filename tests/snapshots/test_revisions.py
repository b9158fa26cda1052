"""Revisions as users type them: the two sides of a diff, and the ends of a review."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kit.work import Work

from git_lds.errors import LdsError
from git_lds.repo import Repo
from git_lds.snapshots.changes import Place
from git_lds.snapshots.revisions import diff_sides, is_revision, review_ends


@pytest.fixture
def work(new_work: Callable[..., Work]) -> Work:
    """main and side each have a commit beyond their merge base."""
    work = new_work("branches")
    for words, name in (((), "base"), (("-c", "side"), "side"), (("main",), "main")):
        if words:
            work.git("switch", "-q", *words)
        work.write(name, name)
        work.commit(name)
    return work


def test_ranges_are_parsed_alike_for_a_diff_and_a_review(work: Work) -> None:
    base = work.git("merge-base", "main", "side")
    main, side = work.git("rev-parse", "main"), work.git("rev-parse", "side")
    with Repo.here(work.path) as repo:
        for text, sides, ends in (
            ("side..main", ("side", "main"), (side, main)),
            ("side..", ("side", "HEAD"), (side, main)),
            ("..side", ("HEAD", "side"), (main, side)),
            ("side...main", (base, "main"), (base, main)),
            ("side...", (base, "HEAD"), (base, main)),
        ):
            assert diff_sides(repo, [text]) == sides, text
            found = review_ends(repo, text)
            assert (found.base, found.head) == ends, text
            assert is_revision(repo, text) and not is_revision(repo, text.replace("side", "nope"))
        assert review_ends(repo, "side").base == side


def test_one_revision_none_and_staged_changes(work: Work) -> None:
    with Repo.here(work.path) as repo:
        assert diff_sides(repo, []) == (Place.INDEX, Place.WORK_TREE)
        assert diff_sides(repo, ["side"]) == ("side", Place.WORK_TREE)
        assert diff_sides(repo, [], cached=True) == ("HEAD", Place.INDEX)
        assert diff_sides(repo, ["main", "side"]) == ("main", "side")
        for words in (["nope"], ["nope", "main"], ["main...nope"]):
            with pytest.raises(LdsError, match="nope: no such revision"):
                diff_sides(repo, words)
        with pytest.raises(LdsError, match="nope: no such commit"):
            review_ends(repo, "main..nope")


def test_histories_without_a_common_ancestor_are_refused(work: Work) -> None:
    work.git("switch", "-q", "--orphan", "other")
    work.write("other", "other")
    work.commit("other")
    with Repo.here(work.path) as repo:
        with pytest.raises(LdsError, match="main and other have no common ancestor"):
            diff_sides(repo, ["main...other"])
        with pytest.raises(LdsError, match="no commit in common"):
            review_ends(repo, "main...other")
