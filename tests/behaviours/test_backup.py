"""Backups: a mirror with all objects depends on nothing else, and gives everything back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.kills import dice, files_in, kill, start, timed, wait_for_a_moment
from kit.matrix import some_of
from kit.work import LAUNCHER, Work, add_remote, flip_in_packs, new_bare, random_bytes, running_server

from git_lds import hashing
from git_lds.local.objects import ObjectDirectory

FILES = {"small.bin": b"small", "large.bin": random_bytes(1, 9 << 20), "images/1.bin": b"one", "images/2.bin": b"two"}
OLD = {"small.bin": b"small, long ago", "large.bin": random_bytes(2, 300_000)}


def fill(work: Work) -> None:
    for files in (OLD, FILES):
        for name, data in files.items():
            work.write(name, data)
        work.commit()


def mirror_of(source: str | Path, directory: Path, **environment: object) -> Work:
    """Back a repository up as the documentation says."""
    here = Work(directory.parent)
    here.git("clone", "-q", "--mirror", str(source), str(directory), **environment)
    mirror = Work(directory)
    mirror.git("lds", "fetch", "--all", **environment)
    return mirror


def kept_whole(mirror: Work) -> set[str]:
    """Return the objects in the local store of a bare repository; each is verified."""
    directory = ObjectDirectory(mirror.path / "lds")
    for oid in directory:
        stream = directory.open(oid)
        assert stream is not None and hashing.of_stream(stream)[0] == oid
    found = {oid.hex() for oid in directory}
    directory.close()
    return found


EVERYTHING = {hashing.of_bytes(data).hex() for data in [*FILES.values(), *OLD.values()]}


def assert_gives_everything(mirror: Work, directory: Path) -> None:
    """The original, its store and the user's cache are lost; the backup alone restores each commit."""
    cache = directory.with_name(directory.name + ".cache")
    mirror.git("clone", "-q", str(mirror.path), str(directory), GIT_LDS_CACHE=cache)
    clone = Work(directory, cache)
    assert {name: clone.read(name) for name in FILES} == FILES and clone.is_clean()
    clone.git("checkout", "-q", "HEAD~1")
    assert {name: clone.read(name) for name in OLD} == OLD


def lose(*places: str | Path) -> None:
    for place in places:
        shutil.rmtree(place, ignore_errors=True)


def cache() -> Path:
    return Path(os.environ["GIT_LDS_CACHE"])


@pytest.mark.parametrize("cached", some_of(["nothing", "all"]))
def test_a_mirror_with_all_objects_is_a_complete_backup(work: Work, tmp_path: Path, cached: str) -> None:
    fill(work)
    bare = work.publish()
    if cached == "all":
        other = work.clone("other", source=bare)
        other.lds("fetch", "--all")
        shutil.rmtree(other.path)
    mirror = mirror_of(bare, tmp_path / "backup.git")
    lose(work.path, bare, cache())
    assert kept_whole(mirror) == EVERYTHING
    assert_gives_everything(mirror, tmp_path / "restored")


def test_what_was_not_pushed_is_in_the_backup_of_a_directory(work: Work, tmp_path: Path) -> None:
    fill(work)
    mirror = mirror_of(work.path, tmp_path / "backup.git")
    lose(work.path, cache())
    assert_gives_everything(mirror, tmp_path / "restored")


def test_the_next_backup_brings_only_what_is_new(work: Work, tmp_path: Path) -> None:
    fill(work)
    mirror = mirror_of(work.publish(), tmp_path / "backup.git")
    work.write("new.bin", b"new")
    work.commit()
    work.publish_again()
    mirror.git("remote", "update", "--prune")
    assert "Downloaded 1 file " in mirror.try_git("lds", "fetch", "--all").stderr
    assert "Already up to date" in mirror.try_git("lds", "fetch", "--all").stderr
    assert kept_whole(mirror) == EVERYTHING | {hashing.of_bytes(b"new").hex()}


def test_a_backup_ignores_which_files_are_configured_to_be_fetched(work: Work, tmp_path: Path) -> None:
    fill(work)
    work.write(".ldsconfig", '[fetch]\nexclude = ["images"]\n')
    work.commit()
    mirror = mirror_of(work.publish(), tmp_path / "backup.git", GIT_LDS_INCLUDE="small.bin")
    assert kept_whole(mirror) == EVERYTHING


def test_a_fetch_with_patterns_brings_what_they_want(work: Work, tmp_path: Path) -> None:
    fill(work)
    mirror = tmp_path / "backup.git"
    work.git("clone", "-q", "--mirror", str(work.publish()), str(mirror))
    Work(mirror).lds("fetch", "--all", "--include", "images")
    assert kept_whole(Work(mirror)) == {hashing.of_bytes(FILES[f"images/{n}.bin"]).hex() for n in (1, 2)}


def test_a_damaged_copy_in_the_cache_does_not_get_into_a_backup(work: Work, tmp_path: Path) -> None:
    fill(work)
    bare = work.publish()
    work.clone("other", source=bare)
    assert flip_in_packs(cache(), FILES["small.bin"]) == 1
    for kept in (path for path in (cache() / "objects" / "objects").rglob("*") if path.is_file()):
        data = bytearray(kept.read_bytes())
        data[len(data) // 2] ^= 1
        kept.chmod(0o644)
        kept.write_bytes(data)
    mirror = mirror_of(bare, tmp_path / "backup.git")
    assert kept_whole(mirror) == EVERYTHING


def test_objects_that_no_store_gives_do_not_come_from_the_cache(work: Work, tmp_path: Path) -> None:
    """What other repositories fetched does not belong to this one: it would go where the backup is pushed to."""
    fill(work)
    private = work.publish("private.git")
    work.clone("victim", source=private)
    public = tmp_path / "public.git"
    work.git("clone", "-q", "--bare", str(work.path), str(public))
    mirror = Work(tmp_path / "backup.git")
    work.git("clone", "-q", "--mirror", str(public), str(mirror.path))
    done = mirror.try_lds("fetch", "--all")
    assert done.returncode == 1 and "6 of 6 objects could not be fetched" in done.stderr
    assert kept_whole(mirror) == set()


def test_a_clone_with_a_working_tree_keeps_downloads_in_the_cache(work: Work, tmp_path: Path) -> None:
    fill(work)
    clone = work.clone("clone", source=work.publish())
    clone.lds("fetch", "--all")
    assert clone.local_objects() == set()


def test_a_backup_is_pushed_to_a_new_remote_and_store(work: Work, tmp_path: Path) -> None:
    fill(work)
    work.git("tag", "v1", "HEAD~1")
    old = work.publish()
    work.git("push", "-q", "--no-verify", "origin", "v1")
    mirror = mirror_of(old, tmp_path / "backup.git")
    lose(work.path, old, cache())
    new = tmp_path / "new.git"
    new_bare(new)
    mirror.git("lds", "push", "--all", str(new))
    mirror.git("push", "-q", "--mirror", str(new))
    lose(mirror.path)
    assert_gives_everything(Work(new), tmp_path / "restored")


def test_a_backup_of_a_repository_whose_settings_name_a_lost_store(work: Work, tmp_path: Path) -> None:
    root = tmp_path / "stores"
    root.mkdir()
    with running_server(root) as url:
        add_remote(work, tmp_path / "origin.git")
        new_bare(tmp_path / "origin.git")
        work.lds("init", "--store", f"{url}/data")
        fill(work)
        work.git("push", "-q", "origin", "main")
        mirror = mirror_of(tmp_path / "origin.git", tmp_path / "backup.git")
    lose(root, work.path, cache())
    assert_gives_everything(mirror, tmp_path / "restored")
    new_bare(tmp_path / "new.git")
    mirror.git("config", "lds.store", str(tmp_path / "new store"))
    mirror.git("lds", "push", "--all", str(tmp_path / "new.git"))
    mirror.git("push", "-q", "--mirror", str(tmp_path / "new.git"))
    clone = Work(tmp_path / "clone")
    mirror.git(
        "clone", "-q", "-c", f"lds.store={tmp_path}/new store", str(tmp_path / "new.git"), str(clone.path),
        GIT_LDS_CACHE=tmp_path / "third cache",
    )  # fmt: skip
    assert {name: clone.read(name) for name in FILES} == FILES


@pytest.mark.parametrize("cached", some_of(["nothing", "all"]))
def test_a_backup_that_was_killed_goes_on(
    new_work: Callable[..., Work], tmp_path: Path, cached: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = new_work("big")
    contents = {f"{n}.bin": random_bytes(n, size) for n, size in enumerate([9 << 20, 3 << 20, *[20_000] * 200])}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    bare = work.publish()
    if cached == "all":
        work.clone("other", source=bare)
    random = dice(f"backup {cached}")
    seconds = 0.0
    for turn in range(5):
        mirror = Work(tmp_path / f"backup{turn}.git", None)
        work.git("clone", "-q", "--mirror", str(bare), str(mirror.path))
        if not turn:
            seconds = timed(mirror, LAUNCHER, "fetch", "--all")
            continue
        process = start(mirror, LAUNCHER, "fetch", "--all")
        wait_for_a_moment(random, seconds, lambda at=mirror.path: files_in(at / "lds"), process)  # type: ignore[misc]
        kill(process)
        kept_whole(mirror)
        mirror.lds("fetch", "--all")
        assert kept_whole(mirror) == {hashing.of_bytes(data).hex() for data in contents.values()}
        assert not list((mirror.path / "lds").glob("tmp/*")) and not list((mirror.path / "lds").glob("partial/*"))


def test_each_command_of_the_documentation_works(work: Work, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
    back_up, again, restore, bring, choose = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    here = Work(tmp_path)

    def run(line: str, **words: Path) -> None:
        for word, value in words.items():
            line = line.replace(word.replace("_", "-"), str(value))
        done = here.try_run("sh", "-ec", line)
        assert done.returncode == 0, line + done.stderr

    fill(work)
    bare = work.publish()
    run(back_up, URL=bare)
    work.write("later.bin", b"later")
    work.commit()
    work.publish_again()
    run(again)
    lose(bare, work.path, cache())
    run(restore)
    assert Work(tmp_path / "restored").read("later.bin") == b"later"
    new_bare(tmp_path / "new.git")
    run(bring, NEW_URL=tmp_path / "new.git")
    lose(cache())
    run(choose, STORE=tmp_path / "chosen")
    new_bare(tmp_path / "newer.git")
    run(bring, NEW_URL=tmp_path / "newer.git")
    assert (tmp_path / "chosen" / "lds.toml").exists()
    lose(tmp_path / "backup.git", tmp_path / "restored", cache())
    here.git("clone", "-q", str(tmp_path / "new.git"), str(tmp_path / "clone"))
    assert Work(tmp_path / "clone").read("later.bin") == b"later"
    assert Work(tmp_path / "clone").read("large.bin") == FILES["large.bin"]
