"""Ownership of files: where flock works, where it fails, and where it succeeds but excludes no process."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kit.flock import flock_says, run_environment
from kit.work import Work, pointer_of, random_bytes

from git_lds import files, hashing, locks
from git_lds.errors import LdsError
from git_lds.files import Scratch
from git_lds.local.objects import SMALL, ObjectDirectory
from git_lds.transfer import partial

UNSUPPORTED = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]
LONG_AGO = time.time() - 4 * 24 * 3600


def files_below(*directories: Path) -> list[Path]:
    return [path for directory in directories for path in directory.rglob("*") if path.is_file()]


def flock_fails(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(fd: int, operation: int) -> None:
        if code:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    monkeypatch.setattr(locks, "_works", {})


# git, from beginning to end


@pytest.mark.parametrize("code", UNSUPPORTED)
def test_add_push_and_clone_work_without_flock(work: Work, tmp_path: Path, code: int) -> None:
    told = flock_says(tmp_path / "flock", code)
    for name, size in (("a.bin", 5000), ("b.bin", 900_000), ("c.bin", 9 << 20)):
        work.write(name, random_bytes(size, size))
        work.git("add", "-A", **told)
    work.git("commit", "-qm", "files", **told)
    assert len(files_below(work.path / ".git/lds")) == 4  # a pack with its index, two large ones
    work.git("init", "-q", "--bare", str(tmp_path / "up.git"))
    work.git("push", "-q", str(tmp_path / "up.git"), "main", GIT_LDS_STORE=tmp_path / "store", **told)
    other = work.clone("clone", source=tmp_path / "up.git", GIT_LDS_STORE=tmp_path / "store", **told)
    assert all(other.read(name) == work.read(name) for name in ("a.bin", "b.bin", "c.bin"))
    assert work.leftovers() == []
    assert len(files_below(Path(os.environ["GIT_LDS_CACHE"]), tmp_path / "store")) < 40


def test_a_fault_of_a_lock_is_one_line_and_nothing_is_left(work: Work, tmp_path: Path) -> None:
    told = flock_says(tmp_path / "flock", errno.EIO)
    work.write("a.bin", random_bytes(1, 5000))
    work.write("b.bin", random_bytes(2, 900_000))
    done = work.try_git("add", "-A", **told)
    assert done.returncode != 0 and "Input/output error" in done.stderr and "Traceback" not in done.stderr
    assert [path for path in files_below(work.path / ".git/lds") if path.stat().st_size] == []
    work.commit()
    assert len(work.local_objects()) == 2


def test_simultaneous_clones_with_one_cache_are_whole_if_flock_excludes_no_process(
    work: Work, tmp_path: Path, world: Path
) -> None:
    for number in range(20):
        work.write(f"{number}.bin", random_bytes(number, 9000))
    work.write("mid.bin", random_bytes(100, 300_000))
    work.write("big.bin", random_bytes(101, 9 << 20))
    work.commit()
    bare = work.publish()
    environment = run_environment(tmp_path / "flock", 0)
    clones = [
        subprocess.Popen(
            ["git", "clone", "-q", str(bare), str(tmp_path / f"clone{number}")],
            env=environment, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for number, clone in enumerate(clones):
        _, said = clone.communicate(timeout=200)
        assert clone.returncode == 0, said
        for path in work.path.glob("*.bin"):
            assert (tmp_path / f"clone{number}" / path.name).read_bytes() == path.read_bytes()


# packs

APPEND = """
import os, sys, time
from pathlib import Path
from git_lds import hashing
from git_lds.local.objects import ObjectDirectory
directory = ObjectDirectory(Path(sys.argv[1]))
for number in range(150):
    data = f"{sys.argv[2]} {number} ".encode() * 100
    directory.put(hashing.of_bytes(data), data)
    if number == 0:
        print("begun", flush=True)
        sys.stdin.readline()
directory.close()
"""


@pytest.mark.parametrize("code", [None, 0, errno.ENOLCK])
def test_many_processes_that_append_at_once_lose_nothing(tmp_path: Path, code: int | None) -> None:
    environment = {**os.environ} if code is None else run_environment(tmp_path / "flock", code)
    root = tmp_path / "objects"
    for round in range(2):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", APPEND, str(root), f"{round}{number}"],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for number in range(4)
        ]  # fmt: skip
        for process in started:
            assert process.stdout and process.stdout.readline() == "begun\n"
        for process in started:
            process.communicate("go\n", timeout=100)
            assert process.returncode == 0
    with closing(ObjectDirectory(root)) as directory:
        for who in (f"{round}{number}" for round in range(2) for number in range(4)):
            for number in range(150):
                data = f"{who} {number} ".encode() * 100
                assert directory.read(hashing.of_bytes(data)) == data
    packs = list((root / "packs").iterdir())
    # each had one for itself, and those of the first round were gone on with in the second
    assert sorted(path.suffix for path in packs) == [".idx"] * 4 + [".pack"] * 4


# abandoned files and files in use


def hold_scratch(directory: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    code = (
        "import sys; from pathlib import Path; from git_lds.files import Scratch, write_all\n"
        "scratch = Scratch(Path(sys.argv[1])); write_all(scratch.fd, b'contents'); print('made', flush=True)\n"
        "sys.stdin.readline(); scratch.move_to(Path(sys.argv[1]).parent / 'name')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(directory)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout and process.stdout.readline() == "made\n"
    return process


@pytest.mark.parametrize("code", [0, *UNSUPPORTED])
def test_without_locks_a_sweep_spares_files_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    directory = tmp_path / "tmp"
    process = hold_scratch(directory, run_environment(tmp_path / "flock", code))
    flock_fails(monkeypatch, code)
    assert files.sweep(directory) == 0
    process.communicate("go on\n", timeout=60)
    assert (tmp_path / "name").read_bytes() == b"contents"


@pytest.mark.parametrize("code", [0, *UNSUPPORTED])
def test_without_locks_a_sweep_deletes_files_that_are_days_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    flock_fails(monkeypatch, code)
    with Scratch(tmp_path) as young, Scratch(tmp_path) as old:
        os.utime(old.path, (LONG_AGO, LONG_AGO))
        assert files.sweep(tmp_path) == 1
        assert list(tmp_path.iterdir()) == [young.path]


def test_files_of_another_machine_are_swept_by_age_only(tmp_path: Path) -> None:
    young, old = (tmp_path / f"{number:016x}.0badb007.0badbeef" for number in range(2))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (LONG_AGO, LONG_AGO))
    assert files.sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [young]


def test_a_file_whose_name_was_taken_away_gets_its_name_with_all_it_holds(tmp_path: Path) -> None:
    with Scratch(tmp_path / "tmp") as scratch:
        files.write_all(scratch.fd, b"all of it")
        shutil.rmtree(tmp_path / "tmp")
        scratch.move_to(tmp_path / "to" / "name")
    assert (tmp_path / "to" / "name").read_bytes() == b"all of it"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_files_under_way_survive_the_deletion_of_their_directory(tmp_path: Path) -> None:
    data = random_bytes(3, SMALL + 1)
    oid = hashing.of_bytes(data)
    with closing(ObjectDirectory(tmp_path)) as directory:
        with closing(partial.begin(tmp_path, oid)) as kept:  # type: ignore[type-var]
            assert kept is not None
            files.write_all(kept.fd, data)
            shutil.rmtree(tmp_path / "partial")
            directory.adopt(oid, kept)
        path = directory.path(oid)
        assert path is not None and path.read_bytes() == data
        assert files_below(tmp_path / "partial") == []


@pytest.mark.parametrize("code", [None, 0, errno.ENOSYS])
def test_one_process_alone_has_an_object_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    if code is not None:
        flock_fails(monkeypatch, code)
    oid = hashing.of_bytes(b"an object")
    first = partial.begin(tmp_path, oid)
    assert first is not None and partial.begin(tmp_path, oid) is None
    first.close()
    again = partial.begin(tmp_path, oid)
    assert again is not None
    again.discard()
    assert files_below(tmp_path) == []


# owners


def own(path: Path) -> bool:
    fd = locks.open_or_create(path)
    try:
        return locks.own(fd, path)
    finally:
        os.close(fd)


def killed_owner(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from git_lds import locks\n"
        "assert locks.own(locks.open_or_create(Path(sys.argv[1])), sys.argv[1]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_process_of_this_machine_is_no_longer_an_owner(tmp_path: Path) -> None:
    killed_owner(tmp_path / "file")
    assert own(tmp_path / "file")


@pytest.mark.parametrize("code", [None, 0, errno.ENOLCK])
@pytest.mark.parametrize("who", ["0badb007.0badbeef 7", ""])
def test_an_owner_on_another_machine_counts_for_three_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, who: str
) -> None:
    if code is not None:
        flock_fails(monkeypatch, code)
    owner = tmp_path / "file.owner"
    owner.write_text(who)
    assert not own(tmp_path / "file") and owner.read_text() == who
    os.utime(owner, (LONG_AGO, LONG_AGO))
    assert own(tmp_path / "file") and owner.read_text() == locks._me()
    locks.disown(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_only_the_owner_releases_ownership(tmp_path: Path) -> None:
    (tmp_path / "file.owner").write_text("0badb007.0badbeef 7")
    locks.disown(tmp_path / "file")
    assert (tmp_path / "file.owner").exists()


def test_waiting_for_an_owner_ends_with_the_file_to_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock_fails(monkeypatch, errno.ENOLCK)
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    path = tmp_path / "imports.lock"
    with locks.locked(path):
        with pytest.raises(LdsError) as told, locks.locked(path):
            pass
        assert f"{path}.owner" in told.value.message and f"rm {path}.owner" in (told.value.hint or "")
    with locks.locked(path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["imports.lock"]


def test_this_machine_is_recognised_by_its_boot_id_or_its_name() -> None:
    boot, _, name = locks.machine().partition(".")
    assert locks.is_this_machine(locks.machine())
    if boot:
        assert locks.is_this_machine(f"{boot}.0badbeef")
    if name:
        assert locks.is_this_machine(f"0badb007.{name}")
    assert not any(map(locks.is_this_machine, ("", ".", "0badb007.0badbeef", f"{name}.{boot}")))


def test_an_import_works_without_flock(new_work: Callable[..., Work], tmp_path: Path) -> None:
    told = flock_says(tmp_path / "flock", errno.ENOSYS)
    upstream = new_work("upstream")
    upstream.write("data/a.bin", random_bytes(1, 5000))
    upstream.commit()
    upstream.publish("upstream.git")
    work = new_work("work")
    work.commit("start")
    work.lds("import", str(tmp_path / "upstream.git"), "data", "-o", "data", **told)
    assert work.read("data/a.bin") == upstream.read("data/a.bin")
    assert pointer_of(upstream.read("data/a.bin")) == work.git("show", ":data/a.bin").encode() + b"\n"
    assert not list((work.path / ".git/lds").rglob("*.owner"))
