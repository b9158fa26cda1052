"""A push is through only when its store has all that the pushed commits reach, whatever git knows of the remote's branches."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.matrix import some_of
from kit.published import Published, change, with_store
from kit.work import Work, add_remote, new_bare, pointer_of, running_server

from git_lds import hashing
from git_lds.hashing import Oid
from git_lds.local.objects import ObjectDirectory
from git_lds.repo import Repo
from git_lds.sync import confirmations

_SLOW = [pytest.param(place, marks=pytest.mark.slow) for place in ("directory", "remote")]
everywhere = pytest.mark.parametrize("dataset", ["server", *_SLOW], indirect=True)


def pushed(dataset: Published, *names: str) -> dict[str, bytes]:
    contents = change(dataset.work, *names)
    dataset.work.git("push", "-q", "origin", "main")
    return contents


def forget(work: Work) -> None:
    shutil.rmtree(work.path / ".git/lds/confirmed")


def record_of(work: Work) -> Path:
    (path,) = (work.path / ".git/lds/confirmed").iterdir()
    return path


# what makes a store another one than git knows of


@pytest.mark.parametrize("how", some_of(["committed address", "git config", "environment"]))
def test_a_push_to_a_store_at_another_address_brings_what_older_commits_need(
    dataset: Published, tmp_path: Path, how: str
) -> None:
    work = dataset.work
    contents = pushed(dataset, "a.bin")
    other = tmp_path / "other store"
    second = Published(work, dataset.bare, other)
    environment = {}
    if how == "committed address":
        work.write(".ldsconfig", f'[store]\nurl = "{other}"\n')
        work.lds("init", "--store", str(other))
    elif how == "git config":
        work.git("config", "lds.store", str(other))
    else:
        environment = {"GIT_LDS_STORE": str(other)}
    contents |= change(work, "plain.txt")
    work.git("push", "-q", "origin", "main", **environment)
    assert second.gives(contents["a.bin"])


@everywhere
def test_a_commit_without_data_fills_a_store_that_was_restored_from_an_older_copy(
    dataset: Published, tmp_path: Path
) -> None:
    contents = pushed(dataset, "a.bin")
    shutil.copytree(dataset.store, tmp_path / "copy")
    contents |= pushed(dataset, "b.bin")
    shutil.rmtree(dataset.store)
    shutil.copytree(tmp_path / "copy", dataset.store)
    change(dataset.work, "plain.txt")
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and "uploaded 1 file" in done.stderr, done.stderr
    assert "git-lds: warning: the log of " in done.stderr and "the store was restored or replaced" in done.stderr
    dataset.assert_gives(contents)


@everywhere
def test_what_was_pushed_past_the_hook_is_sent_by_the_next_push(dataset: Published) -> None:
    work = dataset.work
    contents = pushed(dataset, "a.bin")
    contents |= change(work, "past.bin")
    work.git("push", "-q", "--no-verify", "origin", "main")
    assert not dataset.gives(contents["past.bin"])
    contents |= pushed(dataset, "b.bin")
    dataset.assert_gives(contents)


def test_a_branch_that_is_elsewhere_already_brings_its_objects_to_a_remote_with_another_push_address(
    dataset: Published, tmp_path: Path
) -> None:
    """git calls both `origin`, and has one remote-tracking branch for the two."""
    work = dataset.work
    work.write(".ldsconfig", "")
    second = Published(work, tmp_path / "second.git", tmp_path / "second.git" / "lds")
    new_bare(second.bare)
    contents = pushed(dataset, "a.bin")
    work.git("remote", "set-url", "--push", "origin", str(second.bare))
    contents |= pushed(dataset, "b.bin")
    assert second.gives(*contents.values())
    shutil.rmtree(dataset.bare)
    second.assert_gives(contents)


# what is nowhere


@everywhere
def test_what_was_lost_before_is_named_and_does_not_hold_up_what_is_new(dataset: Published) -> None:
    work = dataset.work
    lost = b"lost long ago"
    work.write("lost one.bin", pointer_of(lost))
    work.commit()
    work.git("push", "-q", "--no-verify", "origin", "main")
    contents = change(work, "a.bin")
    done = work.try_git("push", "-q", "origin", "main")
    assert (
        done.returncode == 0 and "warning: 1 object is missing from" in done.stderr and "lost one.bin" in done.stderr
    ), done.stderr
    assert dataset.gives(*contents.values())
    # it is not forgotten, and sent as soon as somebody has it
    contents |= change(work, "b.bin")
    assert "lost one.bin" in work.try_git("push", "-q", "origin", "main").stderr
    work.write("lost one.bin", lost)
    work.git("rm", "-q", "--cached", "lost one.bin")
    work.git("add", "lost one.bin")
    contents |= change(work, "c.bin")
    done = work.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and "warning" not in done.stderr
    dataset.assert_gives(contents | {"lost one.bin": lost})


def test_what_a_push_brings_and_nobody_has_refuses_it_though_others_were_lost_before(dataset: Published) -> None:
    work = dataset.work
    work.write("before.bin", pointer_of(b"lost before"))
    work.commit()
    work.git("push", "-q", "--no-verify", "origin", "main")
    refs = dataset.refs()
    work.write("now.bin", pointer_of(b"lost now"))
    work.commit()
    done = work.try_git("push", "-q", "origin", "main")
    assert done.returncode != 0 and "now.bin" in done.stderr and "before.bin" not in done.stderr
    assert dataset.refs() == refs and dataset.entries() == 0


# confirmations


def test_a_confirmation_that_is_lost_or_damaged_costs_only_a_look(dataset: Published) -> None:
    contents = pushed(dataset, "a.bin")
    for harm in (lambda path: path.unlink(), lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:])):
        harm(record_of(dataset.work))
        before = dataset.entries()
        contents |= pushed(dataset, "b.bin")
        assert dataset.entries() == before + 1
    dataset.assert_gives(contents)


def test_only_what_is_new_since_a_confirmation_is_looked_up(
    dataset: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(dataset, *(f"{number}.bin" for number in range(20)))
    change(dataset.work, "a.bin")
    assert _asked_about(dataset) == 1
    forget(dataset.work)
    assert _asked_about(dataset) == 21


def _asked_about(dataset: Published) -> int:
    """How many objects a push of HEAD would ask its store about."""
    from git_lds.progress import SILENT
    from git_lds.sync.push import plan_pre_push

    head = dataset.work.git("rev-parse", "HEAD")
    with Repo.here(dataset.work.path) as repo:
        line = f"refs/heads/main {head} refs/heads/main {'0' * 40}"
        return plan_pre_push(repo, "origin", str(dataset.bare), [line], progress=SILENT).objects


def test_a_rewritten_history_is_looked_up_anew(dataset: Published) -> None:
    work = dataset.work
    pushed(dataset, "a.bin")
    contents = pushed(dataset, "b.bin")
    work.git("reset", "-q", "--hard", "HEAD~2" if work.git("rev-list", "--count", "HEAD") > "2" else "HEAD~1")
    contents = change(work, "c.bin")
    work.git("reflog", "expire", "--expire=now", "--all")
    work.git("update-ref", "-d", "refs/remotes/origin/main")
    work.git("gc", "-q", "--prune=now")
    work.git("push", "-q", "--force", "origin", "main")
    dataset.assert_gives(contents)


def test_a_confirmation_does_not_hold_when_a_pack_or_an_index_is_gone_from_the_log(dataset: Published) -> None:
    pushed(dataset, "a.bin")
    with Repo.here(dataset.work.path) as repo:
        setting = repo.settings.store_for("origin")
        assert setting is not None
        store = repo.store(setting)
        store.refresh()
        record = confirmations.read(repo, store)
        assert record is not None and record.holds_in(repo, store)
        assert not record._replace(files=record.files | {b"\1" * 32}).holds_in(repo, store)
        assert not record._replace(digest=b"\1" * 32).holds_in(repo, store)
        assert not record._replace(seq=record.seq + 1).holds_in(repo, store)


def test_a_shallow_clone_confirms_nothing_of_what_it_does_not_know(dataset: Published) -> None:
    pushed(dataset, "a.bin")
    pushed(dataset, "b.bin")
    shallow = dataset.elsewhere("shallow", "--depth=1", source=f"file://{dataset.bare}")
    change(shallow, "c.bin")
    shallow.git("push", "-q", "origin", "main")
    assert not (shallow.path / ".git/lds/confirmed").exists()


def test_two_clones_that_push_in_turn_bring_what_the_other_pushed_past_its_hook(dataset: Published) -> None:
    contents = pushed(dataset, "a.bin")
    other = dataset.elsewhere("other")
    contents |= change(other, "past.bin")
    other.git("push", "-q", "--no-verify", "origin", "main")
    dataset.work.git("pull", "-q", "--rebase", "origin", "main", GIT_LDS_SKIP_SMUDGE="1")
    contents |= change(dataset.work, "b.bin")
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and "past.bin" in done.stderr and "warning" in done.stderr
    contents |= change(other, "c.bin")
    other.git("pull", "-q", "--rebase", "origin", "main")
    other.git("push", "-q", "origin", "main")
    dataset.assert_gives(contents)


def test_a_damaged_confirmation_is_none(dataset: Published) -> None:
    from git_lds.store.client.cache_files import read_cache, write_cache

    pushed(dataset, "a.bin")
    path = record_of(dataset.work)
    whole = read_cache(path)
    assert whole is not None
    for old, new in (
        (b'"commits": ["', b'"commits": ["--all", "'),
        (b'"commits": ["', b'"commits": [5, "'),
        (b'"seq": ', b'"seq": "x'),
    ):
        write_cache(path, whole.replace(old, new), dataset.work.path)
        contents = pushed(dataset, "b.bin")
        assert dataset.gives(*contents.values())


def test_a_directory_that_was_a_store_and_is_none_now_is_not_made_anew(dataset: Published, tmp_path: Path) -> None:
    """It may just not be mounted."""
    work = dataset.work
    store = tmp_path / "mounted" / "store"
    work.git("config", "lds.store", str(store))
    pushed(dataset, "a.bin")
    store.parent.rename(tmp_path / "away")
    store.parent.mkdir()
    refs = dataset.refs()
    change(work, "b.bin")
    done = work.try_git("push", "-q", "origin", "main")
    assert done.returncode != 0 and "hint: mount it" in done.stderr and dataset.refs() == refs
    assert list(store.parent.iterdir()) == []


# a store that does not answer


@pytest.fixture
def stopping(new_work: object, tmp_path: Path) -> Iterator[tuple[Published, running_server]]:
    """A dataset whose server the test stops, and the server."""
    root = tmp_path / "own stores"
    root.mkdir()
    server = running_server(root)
    with server as url:
        yield with_store(new_work("dataset"), root / "it", f"{url}/it"), server  # type: ignore[operator]


def test_a_store_out_of_reach_holds_up_only_pushes_that_it_must_have_something_of(
    stopping: tuple[Published, running_server],
) -> None:
    dataset, server = stopping
    pushed(dataset, "a.bin")
    server.process.terminate()
    server.process.wait(20)
    refs = dataset.refs()
    change(dataset.work, "plain.txt")
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and "git-lds: warning: " in done.stderr and dataset.refs() != refs
    refs = dataset.refs()
    change(dataset.work, "b.bin")
    assert dataset.work.try_git("push", "-q", "origin", "main").returncode != 0 and dataset.refs() == refs
    forget(dataset.work)
    change(dataset.work, "plain.txt")
    assert dataset.work.try_git("push", "-q", "origin", "main").returncode != 0 and dataset.refs() == refs


# what is sent: what was added here


def test_what_is_only_in_the_users_cache_is_not_sent(dataset: Published, tmp_path: Path, world: Path) -> None:
    """It is there because another repository of the user's fetched it, and pointers to it can be written by anyone."""
    secret = b"of another repository"
    with contextlib.closing(ObjectDirectory(world / "cache" / "objects", lasting=False)) as cache:
        cache.put(Oid(hashing.of_bytes(secret)), secret)
    dataset.work.write("taken.bin", pointer_of(secret))
    dataset.work.git("add", "taken.bin")
    dataset.work.git("commit", "-qm", "take")
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode != 0 and "taken.bin" in done.stderr and dataset.refs() == {}
    assert not dataset.gives(secret)
    add_remote(dataset.work, tmp_path / "nowhere", "other")
    assert dataset.work.try_lds("push", "--all").returncode == 1 and not dataset.gives(secret)
