"""Over HTTP, as most upstreams are reached: git's own server on loopback, and a store behind ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.datasets import files_of, new_consumer, new_dataset, opened, state_of
from kit.git_http import serving_git
from kit.work import random_bytes

from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update
from git_lds.errors import LdsError


def test_a_few_requests_for_all(tmp_path: Path, installed: None, server: str) -> None:
    there, here = new_dataset(tmp_path), new_consumer(tmp_path)
    there.work.git("config", f"--file={there.bare}/config", "uploadpack.allowFilter", "true")
    there.work.lds("init", "--store", f"{server}/a")
    there.publish(
        {f"images/{n}.png": random_bytes(n, 900) for n in range(50)} | {f"other/{n}": f"{n}" * 5000 for n in range(50)}
    )
    with serving_git(tmp_path) as (url, seen):
        with opened(here) as repo:
            found = import_path(repo, f"{url}/A.git", "images", output="data/images")
        assert found.store == f"{server}/a"
        assert files_of(here, "data/images") == files_of(there.work, "images")
        assert len(seen) <= 8, seen
        here.commit("import")
        there.publish({"images/7.png": "edited"})
        del seen[:]
        with opened(here) as repo:
            assert update(repo)[0].changed == (b"data/images/7.png",)
        assert len(seen) <= 8, seen
        del seen[:]
        with opened(here) as repo:
            assert not update(repo)[0].written
        assert len(seen) <= 2, seen
    size = sum(path.stat().st_size for path in (here.path / ".git/lds/mirrors").rglob("*.pack"))
    assert size < 40_000, size


def test_a_redirect_is_not_followed(tmp_path: Path, installed: None) -> None:
    there, here = new_dataset(tmp_path, track=()), new_consumer(tmp_path)
    there.publish({"a": "a"})
    before = state_of(here)
    with serving_git(tmp_path) as (url, seen), opened(here) as repo:
        with pytest.raises(LdsError, match="cannot read"):
            import_path(repo, f"{url}/moved/A.git", "a")
        assert all(" /moved/" in request for request in seen)
    assert state_of(here) == before
