"""The URLs of the last `git fetch`, as FETCH_HEAD names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.work import Work

from git_lds.git import remotes


@pytest.mark.parametrize("refs", [[], ["main"], ["it's"], ["tag", "v1"], ["main", "it's"]])
def test_the_url_of_a_fetch_is_known_whatever_was_fetched(work: Work, tmp_path: Path, refs: list[str]) -> None:
    """For the remote's HEAD git writes the URL alone; a URL may contain " of "."""
    url = str(tmp_path / "set of data")
    work.git("init", "-q", url)
    other = Work(Path(url))
    other.write("a.txt", b"a")
    other.commit("one")
    other.git("branch", "it's")
    other.git("tag", "v1")
    other.git("branch", "-M", "main")
    work.git("fetch", "-q", url, *refs)
    assert remotes.fetched_urls(work.path / ".git") == [url]


def test_a_repository_that_fetched_nothing_has_no_fetched_url(work: Work) -> None:
    assert remotes.fetched_urls(work.path / ".git") == []
