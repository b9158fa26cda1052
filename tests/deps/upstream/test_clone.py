"""The mirror: few round trips, no blob that was not asked for, and no server too plain for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.templates import as_first_made
from kit.work import Work

from git_lds.deps.manifest import manifest, transports
from git_lds.deps.upstream import clone
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import Refs, Revision, UpstreamClone
from git_lds.errors import LdsError


@pytest.fixture
def source(new_work: Callable[..., Work], tmp_path: Path) -> Work:
    """A repository with two commits on main, a branch, a light and an annotated tag."""
    as_first_made(__name__, [tmp_path / "source"], lambda: _make(new_work))
    return Work(tmp_path / "source")


def _make(new_work: Callable[..., Work]) -> None:
    work = new_work("source", track=())
    work.git("config", "uploadpack.allowFilter", "true")
    for number in range(5):
        work.write(f"images/{number}.txt", f"image {number}\n")
    work.write("other/readme", "other\n")
    work.commit("one")
    work.git("tag", "light")
    work.git("tag", "-am", "annotated", "v1")
    work.git("branch", "side")
    work.write("images/0.txt", "changed\n")
    work.commit("two")


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the round trips since the last call: each is one upload-pack on the other side."""
    log = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(log))

    def count() -> int:
        text = log.read_text() if log.exists() else ""
        log.write_text("")
        return sum("built-in: git upload-pack" in line for line in text.splitlines())

    return count


def open_(work: Work, tmp_path: Path) -> UpstreamClone:
    return clone.open_clone(transports.parse(str(work.path)), tmp_path / "mirrors", 20)


def blobs_in(at: UpstreamClone) -> set[str]:
    listed = at.git.text("cat-file", "--batch-check", "--batch-all-objects")
    return {line.split()[0] for line in listed.splitlines() if " blob " in line}


def test_only_the_blobs_of_the_path_come_and_each_step_is_one_round_trip(
    source: Work, tmp_path: Path, traced: Callable[[], int]
) -> None:
    at = open_(source, tmp_path)
    assert traced() == 0
    commit = clone.resolve(at.refs("main"), "main", at.url).commit
    assert traced() == 1
    at.fetch(commit)
    assert traced() == 1
    assert blobs_in(at) == set()
    shot = upstream.take(at, commit, "images")
    at.fetch_blobs(shot.blobs())
    assert traced() == 1
    assert blobs_in(at) == {file.blob.decode() for file in shot.files.values()}
    missing = at.git.text("rev-list", "--objects", "--missing=print", commit)
    assert missing.count("\n?") == 2  # other/readme, and images/0.txt as it was before
    at.fetch(commit)
    at.fetch_blobs(shot.blobs())
    assert traced() == 0
    assert len(at.directory.name) == 16


def test_no_question_to_the_mirror_fetches_by_itself(source: Work, tmp_path: Path, traced: Callable[[], int]) -> None:
    at = open_(source, tmp_path)
    commit = source.git("rev-parse", "HEAD")
    at.fetch(commit)
    traced()
    assert at.git.maybe("cat-file", "blob", f"{commit}:other/readme") is None
    assert at.git.maybe("cat-file", "-e", "1" * 40) is None
    assert traced() == 0


def test_what_is_new_comes_without_what_was_there(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    first = source.git("rev-parse", "HEAD~1")
    at.fetch(first)
    before = set(at.git.text("cat-file", "--batch-check", "--batch-all-objects").splitlines())
    second = source.git("rev-parse", "HEAD")
    at.fetch(second)
    new = set(at.git.text("cat-file", "--batch-check", "--batch-all-objects").splitlines()) - before
    assert sorted(line.split()[1] for line in new) == ["commit", "tree", "tree"]


def test_a_server_that_knows_no_filters(source: Work, tmp_path: Path) -> None:
    source.git("config", "uploadpack.allowFilter", "false")
    at = open_(source, tmp_path)
    commit = source.git("rev-parse", "HEAD")
    at.fetch(commit)
    shot = upstream.take(at, commit, "images")
    at.fetch_blobs(shot.blobs())
    assert shot.blobs() <= blobs_in(at)


@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_server_that_gives_out_tips_of_branches_only(source: Work, tmp_path: Path, world: Path, filters: str) -> None:
    """Protocol version 0 without allowAnySHA1InWant: neither a commit in the middle nor a blob can be asked for."""
    source.git("config", "uploadpack.allowFilter", filters)
    with open(world / ".gitconfig", "a") as config:
        config.write("[protocol]\n\tversion = 0\n")
    at = open_(source, tmp_path)
    commit = source.git("rev-parse", "HEAD~1")
    source.git("tag", "-d", "light", "v1")
    source.git("branch", "-D", "side")
    at.fetch(commit)
    shot = upstream.take(at, commit, "images")
    at.fetch_blobs(shot.blobs())
    assert shot.blobs() <= blobs_in(at)


def test_a_commit_that_upstream_does_not_have(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    with pytest.raises(LdsError, match=r"does not have commit 1111|cannot read"):
        at.fetch("1" * 40)


def test_upstream_that_is_not_there(tmp_path: Path) -> None:
    at = clone.open_clone(transports.parse(str(tmp_path / "gone")), tmp_path / "mirrors", 20)
    with pytest.raises(LdsError, match=r"cannot read .*gone") as failed:
        at.refs("main")
    assert "\n" not in failed.value.message


def test_revs_mean_what_they_mean_to_git_clone(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    one, two = source.git("rev-parse", "HEAD~1"), source.git("rev-parse", "HEAD")
    refs = at.refs("x")
    expected = {
        "main": Revision("main", two),
        "side": Revision("side", one),
        "refs/heads/side": Revision("refs/heads/side", one),
        "light": Revision("light", one, is_tag=True),
        "v1": Revision("v1", one, is_tag=True),
        "tags/v1": Revision("tags/v1", one, is_tag=True),
        one: Revision(one, one),
    }
    assert {rev: clone.resolve(refs, rev, at.url) for rev in expected} == expected
    assert clone.resolve(at.refs(None), None, at.url) == Revision("main", two)
    for rev in ("nothing", one[:10], "refs/heads/v1", "HEAD~1"):
        with pytest.raises(LdsError):
            clone.resolve(refs, rev, at.url)


def test_a_name_that_is_a_branch_and_a_tag() -> None:
    one, two = "1" * 40, "2" * 40
    both = Refs(heads={"x": one}, tags={"x": two})
    assert clone.resolve(both, "x", "url") == Revision("refs/heads/x", one)
    with pytest.raises(LdsError, match="both a branch and a tag"):
        clone.resolve(both, "x", "url", follow=two)
    assert clone.resolve(both, "refs/tags/x", "url", follow=two) == Revision("refs/tags/x", two, is_tag=True)


def test_the_id_of_an_annotated_tag_means_its_commit(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    tag = source.git("rev-parse", "v1")
    at.fetch(tag)
    assert at.commit_of(tag) == source.git("rev-parse", "v1^{commit}")
    with pytest.raises(LdsError, match="not a commit"):
        at.commit_of(source.git("rev-parse", "HEAD^{tree}"))


def test_an_empty_upstream_and_a_detached_head(new_work: Callable[..., Work], tmp_path: Path) -> None:
    empty = new_work("empty", track=())
    at = open_(empty, tmp_path)
    with pytest.raises(LdsError, match="no default branch"):
        clone.resolve(at.refs(None), None, at.url)
    with pytest.raises(LdsError, match="no branch or tag 'main'"):
        clone.resolve(at.refs("main"), "main", at.url)


def test_the_users_hooks_and_the_consumers_environment_stay_out(
    source: Work, tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc", "post-index-change"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
        (hooks / name).chmod(0o755)
    template = tmp_path / "template"
    (template / "hooks").mkdir(parents=True)
    with open(world / ".gitconfig", "a") as config:
        config.write(
            f"[core]\n\thooksPath = {hooks}\n[init]\n\ttemplateDir = {template}\n[safe]\n\tbareRepository = explicit\n"
        )
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    at = open_(source, tmp_path)
    at.fetch(at.refs("main").heads["main"])
    assert not (tmp_path / "ran").exists() and not (at.directory / "hooks").exists()


def test_what_a_killed_git_left_is_no_hindrance(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    commit = source.git("rev-parse", "HEAD")
    (at.directory / "refs/lds").mkdir(parents=True)
    (at.directory / f"refs/lds/{commit}.lock").touch()
    (at.directory / "config.lock").touch()
    (at.directory / "objects/pack/tmp_pack_x").write_bytes(b"half")
    (at.directory.parent / (at.directory.name + ".new")).mkdir()
    at.fetch(commit)
    assert at.commit_of(commit) == commit
    assert not (at.directory / "objects/pack/tmp_pack_x").exists()


def test_two_processes_at_once(source: Work, tmp_path: Path) -> None:
    for number in range(300):
        source.write(f"images/{number}.txt", f"many {number}\n")
    commit = source.commit()
    code = (
        "import sys, pathlib; from git_lds.deps.manifest import transports\n"
        "from git_lds.deps.upstream import clone, snapshot as upstream\n"
        f"at = clone.open_clone(transports.parse({str(source.path)!r}), pathlib.Path({str(tmp_path / 'mirrors')!r}), 20)\n"
        f"at.fetch({commit!r}); shot = upstream.take(at, {commit!r}, 'images'); at.fetch_blobs(shot.blobs())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in running] == [(b"", 0)] * 4
    at = open_(source, tmp_path)
    assert upstream.take(at, commit, "images").blobs() <= blobs_in(at)
    assert len(os.listdir(tmp_path / "mirrors")) == 2  # the mirror and its lock


def test_redirection_by_the_users_own_config_is_the_users_word(source: Work, tmp_path: Path, world: Path) -> None:
    with open(world / ".gitconfig", "a") as config:
        config.write(f'[url "{source.path}"]\n\tinsteadOf = https://example.org/source\n')
        config.write('[url "ext::sh -c"]\n\tinsteadOf = https://example.org/evil\n')
    at = clone.open_clone(transports.parse("https://example.org/source"), tmp_path / "mirrors", 20)
    assert "main" in at.refs("main").heads
    with pytest.raises(LdsError, match="helper program"):
        clone.open_clone(transports.parse("https://example.org/evil"), tmp_path / "mirrors", 20)


def test_git_refuses_other_transports_by_itself(source: Work, tmp_path: Path) -> None:
    at = open_(source, tmp_path)
    at.git.bytes("config", "remote.upstream.url", f"ext::touch {tmp_path / 'ran'}")
    with pytest.raises(LdsError, match="transport 'ext' not allowed"):
        at.refs("main")
    assert not (tmp_path / "ran").exists()


def test_the_other_hash_is_said_so(tmp_path: Path, new_work: Callable[..., Work]) -> None:
    work = Work(tmp_path / "sha256")
    work.path.mkdir()
    work.git("init", "-q", "--object-format=sha256")
    work.write("a", "a")
    commit = work.commit()
    at = open_(work, tmp_path)
    with pytest.raises(LdsError):
        at.fetch(commit)
    same = clone.open_clone(transports.parse(str(work.path)), tmp_path / "mirrors256", 32)
    same.fetch(commit)
    assert manifest.is_object_id(upstream.take(same, commit, "a").tree)


def test_unchanged_is_quick(source: Work, tmp_path: Path) -> None:
    open_(source, tmp_path).refs("main")
    started = time.monotonic()
    open_(source, tmp_path).refs("main")
    assert time.monotonic() - started < 1
