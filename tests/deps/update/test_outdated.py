"""Reports of what is outdated and of local edits change nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from kit.datasets import Dataset, new_consumer, new_dataset, opened, state_of
from kit.git_http import serving_git
from kit.work import Work

from git_lds.deps.update.add import import_path
from git_lds.deps.update.outdated import Outlook, outdated
from git_lds.deps.update.update import update

FILES: dict[str, bytes | str | None] = {
    "images/a.png": "a",
    "images/b.png": "b",
    "images/c.png": "c",
    "notes/x.txt": "x",
}


def look(here: Work, *targets: str) -> dict[str, Outlook]:
    with opened(here) as repo:
        return {each.output: each for each in outdated(repo, targets)}


def edits(here: Work) -> dict[str, int | None]:
    return {each["output"]: each["edits"] for each in json.loads(here.lds("deps", "--json"))}


def test_what_changed_at_the_path_counts(there: Dataset, here: Work) -> None:
    """Behaviour 28."""
    there.publish({"README.md": "elsewhere"})
    assert not any(each.outdated for each in look(here).values())
    there.work.git("mv", "images/b.png", "images/z.png")
    tip = there.publish({"images/a.png": "edited", "images/c.png": None, "images/new.png": "new"})
    before = state_of(here)
    found = look(here)
    assert not found["data/notes"].outdated
    each = found["data/images"]
    assert (each.tip, each.added, each.changed, each.deleted) == (
        tip,
        (b"data/images/new.png",),
        (b"data/images/a.png",),
        (b"data/images/c.png",),
    )
    assert each.renamed == ((b"data/images/b.png", b"data/images/z.png"),) and each.size == len("edited" + "new")
    assert state_of(here) == before and set(look(here, "data/notes")) == {"data/notes"}
    done = here.try_lds("outdated")
    assert done.returncode == 0
    assert done.stdout.startswith("data/images: +1 file, 1 changed, 1 deleted, 1 renamed, 9 B (main: ")
    assert done.stdout.endswith("data/notes: up to date\n")
    assert here.try_lds("outdated", "--exit-code", "-q").returncode == 1
    assert [(e["output"], e["outdated"], e["added"]) for e in json.loads(here.lds("outdated", "--json"))] == [
        ("data/images", True, 1),
        ("data/notes", False, 0),
    ]
    with opened(here) as repo:
        update(repo)
    assert here.lds("outdated", "--exit-code").splitlines() == ["data/images: up to date", "data/notes: up to date"]


def test_one_that_can_not_be_asked_stops_no_other(there: Dataset, here: Work, tmp_path: Path) -> None:
    other = new_dataset(tmp_path, "other")
    other.publish({"images/x.png": "x"})
    with opened(here) as repo:
        import_path(repo, other.url, "images", output="data/other")
    other.publish({"images/x.png": "new"})
    there.bare.rename(tmp_path / "away.git")
    done = here.try_lds("outdated")
    assert done.returncode == 1 and done.stderr.count("hint: ") == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("data/images: not known: cannot read ") and lines[1].startswith(
        "data/notes: not known: "
    )
    assert lines[2].startswith("data/other: 1 changed, 3 B (main: ")


def test_a_tag_that_moved_is_told(there: Dataset, here: Work) -> None:
    """Behaviour 26."""
    there.work.git("tag", "v1")
    there.work.git("push", "-q", "origin", "v1")
    with opened(here) as repo:
        update(repo, ["data/images"], rev="v1")
    there.publish({"images/a.png": "new"})
    assert not look(here)["data/images"].outdated
    there.work.git("tag", "-f", "v1")
    there.work.git("push", "-qf", "origin", "v1")
    assert look(here)["data/images"].moved_tag
    assert "git lds update data/images --rev v1" in here.lds("outdated", "data/images")


def test_a_path_that_vanished_is_told(there: Dataset, here: Work) -> None:
    """Behaviour 32."""
    there.work.git("mv", "images", "pictures")
    there.publish({})
    found = look(here)
    assert found["data/images"].error is not None and "is no longer in" in found["data/images"].error.message
    assert found["data/notes"].error is None


def test_one_question_to_the_network_when_nothing_moved(
    there: Dataset, here: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(log))
    look(here)
    assert log.read_text().count("built-in: git upload-pack") == 1
    assert "built-in: git fetch" not in log.read_text()


def test_local_edits_are_counted_without_asking_anyone(there: Dataset, here: Work, tmp_path: Path) -> None:
    there.bare.rename(tmp_path / "away.git")
    assert edits(here) == {"data/images": 0, "data/notes": 0}
    here.write("data/images/a.png", "committed")
    here.commit()
    here.write("data/images/b.png", "not staged")
    here.write("data/images/mine.png", "untracked files do not count")
    assert edits(here) == {"data/images": 2, "data/notes": 0}
    assert "at" in here.lds("deps").splitlines()[2] and here.lds("deps").count("2 files edited here") == 1
    clone = here.clone("clone", GIT_LDS_SKIP_SMUDGE="1")
    assert edits(clone) == {"data/images": 1, "data/notes": 0}


@pytest.mark.slow
def test_it_is_quick_for_many_files(tmp_path: Path, installed: None) -> None:
    dataset = new_dataset(tmp_path, track=())
    dataset.publish({f"many/{n % 100}/{n}.txt": str(n) for n in range(10_000)})
    dataset.work.git("config", f"--file={dataset.bare}/config", "uploadpack.allowFilter", "true")
    work = new_consumer(tmp_path)
    with serving_git(tmp_path) as (url, _):
        with opened(work) as repo:
            import_path(repo, f"{url}/A.git", "many", output="many")
        for moved in (False, True):
            if moved:
                dataset.publish({"README.md": "elsewhere"})
            took = []
            for _ in range(5):
                started = time.monotonic()
                assert work.lds("outdated") == "many: up to date"
                took.append(time.monotonic() - started)
            assert min(took) < 0.3, took
