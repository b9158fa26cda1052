"""Checkout and pull: contents take the place of pointers, and of nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from blake3 import blake3
from kit.matrix import some_of, some_rows
from kit.work import Work, pointer_of, random_bytes

CONTENTS = {
    "a.bin": b"a small file",
    "images/one.png": random_bytes(1, 100_000),
    "images/two.png": random_bytes(2, 300_000),
    "images/large.png": random_bytes(3, 5 << 20),
}


@pytest.fixture
def bare(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with its store, in which everything of CONTENTS is. Made once, then copied."""
    bare, template = work.path.parent / "origin.git", tmp_path_factory.getbasetemp() / "published"
    if template.exists():
        shutil.rmtree(work.path)
        shutil.copytree(template, work.path.parent, dirs_exist_ok=True)
        work.git("remote", "set-url", "origin", str(bare))
        return bare
    for name, data in CONTENTS.items():
        work.write(name, data)
    work.commit()
    work.publish()
    shutil.copytree(work.path, template / "work")
    shutil.copytree(bare, template / "origin.git")
    return bare


def cached(world: Path) -> set[str]:
    """The oids in the user's cache."""
    from git_lds.local.objects import ObjectDirectory

    return {oid.hex() for oid in ObjectDirectory(world / "cache" / "objects")}


def oids(*names: str) -> set[str]:
    return {blake3(CONTENTS[name]).hexdigest() for name in names}


# what is not a pointer stays


@pytest.mark.parametrize("verb", ["pull", "checkout"])
def test_a_modified_file_is_never_overwritten(work: Work, bare: Path, verb: str) -> None:
    """Behaviour 11."""
    clone = work.clone("clone", GIT_LDS_SKIP_SMUDGE="1", source=bare)
    changed = {
        "a.bin": b"edited by the user",
        "images/one.png": pointer_of(b"another pointer"),
        "images/two.png": pointer_of(CONTENTS["images/two.png"]) + b"\n",
    }
    for name, data in changed.items():
        clone.write(name, data)
    clone.lds("fetch")
    clone.lds(verb)
    assert {name: clone.read(name) for name in changed} == changed
    assert clone.read("images/large.png") == CONTENTS["images/large.png"]


@pytest.mark.parametrize("verb", ["pull", "checkout"])
def test_a_directory_where_a_pointer_should_go_stays(work: Work, bare: Path, verb: str) -> None:
    """Behaviour 11."""
    clone = work.clone("clone", source=bare)
    for name in ("a.bin", "images/large.png"):
        (clone.path / name).unlink()
        clone.write(f"{name}/mine.txt", "mine")
    shutil.rmtree(clone.path / "images")
    clone.write("images", "a file where a directory was")
    clone.lds(verb)
    assert clone.read("a.bin/mine.txt") == b"mine"
    assert clone.read("images") == b"a file where a directory was"


def test_git_itself_refuses_to_overwrite_a_modified_file(work: Work) -> None:
    """Behaviour 11, with a branch switch: small and large."""
    work.write("small.bin", b"one")
    work.write("large.bin", random_bytes(1, 5 << 20))
    work.commit()
    work.git("switch", "-qc", "other")
    work.write("small.bin", b"two")
    work.write("large.bin", random_bytes(2, 5 << 20))
    work.commit()
    for name in ("small.bin", "large.bin"):
        work.write(name, b"my edit")
        done = work.try_git("switch", "main")
        assert done.returncode != 0 and name in done.stderr
        assert work.read(name) == b"my edit"
        work.git("checkout", "-q", "--", name)


def test_a_deleted_file_comes_back_and_nothing_else_is_touched(work: Work, bare: Path) -> None:
    clone = work.clone("clone", source=bare)
    (clone.path / "a.bin").unlink()
    clone.write("untracked.bin", b"mine")
    times = {name: (clone.path / name).stat().st_mtime_ns for name in CONTENTS if name != "a.bin"}
    clone.lds("checkout")
    assert clone.read("a.bin") == CONTENTS["a.bin"] and clone.read("untracked.bin") == b"mine"
    assert times == {name: (clone.path / name).stat().st_mtime_ns for name in times}


# what is missing


def test_one_missing_object_is_named_and_everything_else_arrives(work: Work, bare: Path, world: Path) -> None:
    """Behaviour 12, for clone, checkout, fetch and pull."""
    lost = {"lost.bin": b"no store has it", "lost large.bin": random_bytes(9, 5 << 20)}
    for name, data in lost.items():
        work.write(name, pointer_of(data))
    work.commit()
    work.git("push", "-q", "--no-verify")
    clone = Work(work.path.parent / "clone")
    for command in (
        ("git", "clone", str(bare), str(clone.path)),
        ("git", "-C", str(clone.path), "reset", "--hard"),
        ("git-lds", "fetch"),
        ("git-lds", "pull"),
    ):
        shutil.rmtree(world / "cache", ignore_errors=True)
        if "reset" in command:
            for name in lost:
                (clone.path / name).unlink()
        where = clone if command[0] == "git-lds" else work
        done = where.try_run(*command)
        assert done.returncode == (0 if "reset" in command else 1), command  # git gives no way to end a reset with 1
        for name, data in lost.items():
            line = next(line for line in done.stderr.splitlines() if blake3(data).hexdigest() in line)
            assert name in line and str(bare / "lds") in line, done.stderr
        assert "Traceback" not in done.stderr
        if command[0] == "git-lds":
            assert cached(world) == oids(*CONTENTS)
        else:
            assert {name: clone.read(name) for name in CONTENTS} == CONTENTS, command
        assert {name: clone.read(name) for name in lost} == {name: pointer_of(data) for name, data in lost.items()}
        assert clone.is_clean()
    assert clone.leftovers() == []
    unborn = work.clone("unborn", "--no-checkout", source=bare)
    assert unborn.try_lds("checkout").stderr.endswith("nothing is checked out yet\nhint: git reset --hard\n")
    clone.git("reset", "-q", "--hard", GIT_LDS_SKIP_SMUDGE="1")
    assert clone.try_lds("pull").returncode == 1
    assert {name: clone.read(name) for name in CONTENTS} == CONTENTS and clone.is_clean()
    for name, data in lost.items():
        assert clone.read(name) == pointer_of(data)
        work.write(name, data)
    work.git("add", "-A")
    work.publish_again()
    clone.lds("pull")
    assert {name: clone.read(name) for name in lost} == lost


def test_without_a_store_the_message_says_so(work: Work, bare: Path) -> None:
    """Behaviour 12."""
    shutil.rmtree(bare / "lds")
    clone = Work(work.path.parent / "clone")
    done = work.try_git("clone", str(bare), str(clone.path))
    assert done.returncode != 0 and "a.bin" in done.stderr and "hint: " in done.stderr
    clone.git("reset", "--hard", GIT_LDS_SKIP_SMUDGE="1")
    done = clone.try_lds("pull")
    assert done.returncode == 1 and "hint: " in done.stderr and "Traceback" not in done.stderr
    assert clone.read("a.bin") == pointer_of(CONTENTS["a.bin"])


# what is in the cone


def test_a_conflicted_path_is_left_alone(work: Work) -> None:
    """Behaviour 13."""
    work.write("a.bin", b"base")
    work.write("b.bin", b"untouched")
    work.commit()
    work.git("switch", "-qc", "theirs")
    work.write("a.bin", b"theirs")
    work.commit()
    work.git("switch", "-q", "main")
    work.write("a.bin", b"ours")
    work.commit()
    assert work.try_git("merge", "theirs").returncode == 1
    for in_place in (b"ours", pointer_of(b"ours"), pointer_of(b"theirs"), b"being resolved"):
        work.write("a.bin", in_place)
        (work.path / "b.bin").unlink()
        work.lds("checkout")
        assert work.read("a.bin") == in_place
        assert work.read("b.bin") == b"untouched"
        assert work.git("ls-files", "-u", "--", "a.bin").count("\n") == 2
    work.git("checkout", "--theirs", "a.bin")
    assert work.read("a.bin") == b"theirs"
    work.git("add", "a.bin")
    work.git("commit", "-qm", "merged")
    assert work.committed("a.bin") == pointer_of(b"theirs") and work.is_clean()


def test_a_sparse_checkout_fetches_and_writes_only_its_cone(work: Work, world: Path) -> None:
    """Behaviour 13."""
    contents = {
        "top.bin": b"top",
        "in/a.bin": b"inside",
        "in/large.bin": random_bytes(1, 5 << 20),
        "out/b.bin": b"outside",
    }
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    bare = work.publish()
    clone = work.clone("clone", "--sparse", source=bare)
    assert cached(world) == {blake3(b"top").hexdigest()}
    clone.git("sparse-checkout", "set", "in")
    assert {name: clone.read(name) for name in contents if name != "out/b.bin"} == {
        name: data for name, data in contents.items() if name != "out/b.bin"
    }
    clone.lds("pull")
    clone.lds("checkout")
    assert not (clone.path / "out").exists()
    assert blake3(b"outside").hexdigest() not in cached(world)
    assert clone.is_clean()
    clone.git("sparse-checkout", "disable")
    assert clone.read("out/b.bin") == b"outside" and clone.is_clean()


def test_a_sparse_index_is_understood(work: Work) -> None:
    """Behaviour 13: with index.sparse a whole directory is one entry of git's index."""
    work.write("in/a.bin", b"inside")
    work.write("out/b.bin", b"outside")
    work.commit()
    bare = work.publish()
    clone = work.clone("clone", "--sparse", source=bare)
    clone.git("sparse-checkout", "set", "--sparse-index", "in")
    (clone.path / "in" / "a.bin").unlink()
    clone.lds("pull")
    assert clone.read("in/a.bin") == b"inside" and not (clone.path / "out").exists()
    assert clone.is_clean()


def test_a_partial_clone_brings_the_blobs_and_objects_of_its_cone_alone(work: Work, world: Path) -> None:
    """Behaviour 13."""
    work.write("in/a.bin", b"an older inside")
    work.write("out/b.bin", b"outside")
    work.commit()
    work.write("in/a.bin", b"inside")
    work.commit()
    bare = work.publish()
    Work(bare).git("config", "uploadpack.allowFilter", "true")
    clone = work.clone("clone", "--filter=blob:none", "--sparse", source=f"file://{bare}")
    clone.git("sparse-checkout", "set", "in")
    assert clone.read("in/a.bin") == b"inside"

    def lacking() -> set[str]:
        listed = clone.git("rev-list", "--objects", "--all", "--missing=print")
        return {line for line in listed.splitlines() if line.startswith("?")}

    assert len(lacking()) == 2
    clone.lds("pull")
    clone.lds("checkout")
    clone.lds("status")
    assert len(lacking()) == 2, "nothing that the clone left out was fetched"
    assert cached(world) == {blake3(b"inside").hexdigest()}
    assert clone.is_clean()


# what comes wrong


class _Lying(BaseHTTPRequestHandler):
    """A store over HTTP that answers with the files of a directory, after `tamper` has had a look at each body."""

    root: Path
    tamper: Callable[[str, bytes], bytes]

    def do_GET(self) -> None:
        path = self.root / self.path.lstrip("/").split("?")[0]
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = path.read_bytes()
        asked = self.headers.get("Range")
        status = 200
        if asked:
            first, last = (int(n or len(data) - 1) for n in asked.removeprefix("bytes=").split("-"))
            whole, data, status = len(data), data[first : last + 1], 206
        body = type(self).tamper(self.path, data)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{max(whole, first + len(body))}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


@contextmanager
def lying_server(root: Path, tamper: Callable[[str, bytes], bytes]) -> Iterator[str]:
    handler = type("Lying", (_Lying,), {"root": root, "tamper": staticmethod(tamper)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def flipped(key: str, body: bytes) -> bytes:
    """One wrong bit in each kilobyte of a pack, but for what could be headers."""
    data = bytearray(body)
    if "/pack/" in key:
        for at in range(min(500, len(data) - 1), len(data), 1000):
            data[at] ^= 1
    return bytes(data)


LIES: dict[str, Callable[[str, bytes], bytes]] = {
    "same length, wrong bytes": flipped,
    "short": lambda key, body: body[: len(body) * 2 // 3] if "/pack/" in key else body,
    "long": lambda key, body: body[:100] + b"more" + body[100:] if "/pack/" in key else body,
    "nothing": lambda key, body: b"" if "/pack/" in key else body,
    "zeros": lambda key, body: bytes(len(body)) if "/pack/" in key else body,
    "a page for people": lambda key, body: b"<html>sorry" if "/pack/" in key else body,
    "a wrong index": lambda key, body: bytes(len(body)) if "/index/" in key else body,
    "a wrong log": lambda key, body: body[: len(body) // 2] if "/log/" in key else body,
}


@pytest.mark.parametrize(
    "lie", some_of(LIES, "same length, wrong bytes", "short", "long", "a wrong index", "a wrong log")
)
def test_a_corrupt_download_is_never_stored_and_never_reaches_the_work_tree(
    work: Work, bare: Path, world: Path, lie: str
) -> None:
    """Behaviour 14."""
    clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
    shutil.rmtree(world / "cache", ignore_errors=True)
    with lying_server(bare / "lds", LIES[lie]) as url:
        clone.git("config", "lds.store", url)
        done = clone.try_lds("pull")
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr and "hint:" in done.stderr
        for name, data in CONTENTS.items():
            assert clone.read(name) in (pointer_of(data), data)
        here = cached(world)
        assert here <= oids(*CONTENTS) and here != oids(*CONTENTS)
        assert {line.split()[1] for line in clone.unreadable()} == oids(*CONTENTS) - here
        assert clone.is_clean() and clone.leftovers() == []
        if lie in ("same length, wrong bytes", "a wrong log"):
            done = work.try_git("clone", "-c", f"lds.store={url}", str(bare), str(work.path.parent / "second"))
            assert done.returncode != 0 and "Traceback" not in done.stderr
        for path in (work.path.parent / "second").rglob("*.png"):
            name = str(path.relative_to(work.path.parent / "second"))
            assert path.read_bytes() in (CONTENTS[name], pointer_of(CONTENTS[name]))
    clone.git("config", "--unset", "lds.store")
    clone.lds("pull")
    assert {name: clone.read(name) for name in CONTENTS} == CONTENTS


def test_a_damaged_local_copy_never_reaches_the_work_tree(work: Work) -> None:
    """Behaviour 14, for what was right once: each way out of the local store, small and large."""
    contents = {
        "small.bin": random_bytes(1, 20_000),
        "middle.bin": random_bytes(2, 300_000),
        "large.bin": random_bytes(3, 5 << 20),
    }
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    for path in (work.path / ".git" / "lds").rglob("*"):
        if path.is_file() and path.suffix != ".idx":
            path.chmod(0o644)
            damaged = bytearray(path.read_bytes())
            damaged[len(damaged) // 2] ^= 1
            path.write_bytes(damaged)
    for name in contents:
        done = work.try_git("cat-file", "--filters", f"HEAD:{name}")
        assert done.returncode != 0 and "git-lds: " in done.stderr and "Traceback" not in done.stderr
        (work.path / name).unlink()
    done = work.try_git("checkout", ".")
    assert "git-lds: " in done.stderr
    for name, data in contents.items():
        assert not (work.path / name).exists() or work.read(name) == pointer_of(data)
        work.write(name, pointer_of(data))
    done = work.try_lds("checkout")
    assert done.returncode == 1 and "Traceback" not in done.stderr and "hint:" in done.stderr
    for name, data in contents.items():
        assert work.read(name) == pointer_of(data)


# how it is written


def mode(work: Work, name: str) -> int:
    return stat.S_IMODE((work.path / name).stat().st_mode)


@pytest.mark.parametrize("mask", some_of([0o022, 0o077, 0o002], 0o077))
def test_the_executable_bit_is_right_also_for_files_that_were_missing(work: Work, mask: int) -> None:
    """Behaviour 15."""
    contents = {
        "run.bin": b"small",
        "run-large.bin": random_bytes(1, 5 << 20),
        "data.bin": b"data",
        "data-large.bin": random_bytes(2, 5 << 20),
    }
    for name, data in contents.items():
        (work.write(name, data)).chmod(0o755 if name.startswith("run") else 0o644)
    work.commit()
    bare = work.publish()
    before = os.umask(mask)
    try:
        clone = work.clone("clone", source=bare)
        later = work.clone("later", source=bare, GIT_LDS_SKIP_SMUDGE="1")
        (later.path / "run.bin").unlink()
        (later.path / "data-large.bin").unlink()
        (later.path / "run-large.bin").unlink()
        later.lds("pull")
    finally:
        os.umask(before)
    for each in (clone, later):
        for name, data in contents.items():
            assert each.read(name) == data
            assert mode(each, name) == (0o777 if name.startswith("run") else 0o666) & ~mask, name
        assert each.is_clean()


@pytest.mark.parametrize("how", ["reference", "shared", "shared twice", "worktree", "environment"])
def test_objects_of_borrowed_repositories_are_used_and_not_downloaded(
    work: Work, bare: Path, world: Path, how: str
) -> None:
    """Behaviour 16. The store is gone, so a download would fail."""
    shutil.rmtree(bare / "lds")
    shutil.rmtree(world / "cache", ignore_errors=True)
    if how == "reference":
        there = work.clone("there", "--reference", str(work.path), source=bare)
    elif how == "shared":
        there = work.clone("there", "--shared")
    elif how == "shared twice":
        there = work.clone("between", "--shared").clone("there", "--shared")
    elif how == "environment":
        there = work.clone("there", "--no-checkout", source=bare)
        there.git("reset", "-q", "--hard", GIT_ALTERNATE_OBJECT_DIRECTORIES=str(work.path / ".git" / "objects"))
    else:
        there = Work(work.path.parent / "there")
        work.git("worktree", "add", "-q", str(there.path), "-b", "side")
        there.write("new.bin", b"added in the working tree")
        there.commit()
        (there.path / "new.bin").unlink()
        work.git("merge", "-q", "side")
        assert work.read("new.bin") == b"added in the working tree"
        there.git("checkout", "-q", ".")
    assert {name: there.read(name) for name in CONTENTS} == CONTENTS
    assert there.is_clean() and there.leftovers() == []
    assert cached(world) == set()


def test_checkout_of_a_path_takes_git_s_pathspecs_from_where_it_is_called(work: Work, bare: Path) -> None:
    clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
    clone.lds("fetch")
    Work(clone.path / "images").lds("checkout", "one.png")
    assert clone.read("images/one.png") == CONTENTS["images/one.png"]
    assert clone.read("images/two.png") == pointer_of(CONTENTS["images/two.png"])
    Work(clone.path / "images").lds("checkout", ":(top,glob)*.bin", ":(top,exclude)images/large.png")
    assert clone.read("a.bin") == CONTENTS["a.bin"]
    assert clone.read("images/two.png") == pointer_of(CONTENTS["images/two.png"])
    Work(clone.path / "images").lds("checkout", ":(icase)TWO.PNG")
    assert clone.read("images/two.png") == CONTENTS["images/two.png"]
    assert clone.read("images/large.png") == pointer_of(CONTENTS["images/large.png"])
    assert clone.is_clean()


@pytest.mark.parametrize(
    ("start", "end"),
    some_rows(
        [
            (("merge", "side"), ("merge", "--abort")),
            (("merge", "side"), ("reset", "--merge")),
            (("merge", "side"), ("reset", "--hard")),
            (("cherry-pick", "side"), ("cherry-pick", "--abort")),
            (("rebase", "side"), ("rebase", "--abort")),
        ],
        (("merge", "side"), ("merge", "--abort")),
        (("rebase", "side"), ("rebase", "--abort")),
    ),
)
def test_who_wants_out_of_a_merge_while_the_store_is_down_gets_out(
    work: Work, tmp_path: Path, world: Path, start: tuple[str, ...], end: tuple[str, ...]
) -> None:
    """Ours is no longer on this machine: it came from the store, and the cache was emptied."""
    work.write("a.bin", "base")
    work.write("b.bin", "base")
    work.commit("base")
    for branch, data in (("side", "side"), ("main", "main")):
        work.git("switch", "-q", *(["-c"] if branch == "side" else []), branch)
        work.write("a.bin", data)
        work.write(f"{branch}.bin", data)
        work.commit(branch)
    bare = work.publish()
    work.git("push", "-q", "origin", "side")
    clone = work.clone("clone", source=bare)
    clone.git("branch", "-q", "side", "origin/side")
    assert clone.try_git(*start).returncode == 1
    shutil.rmtree(world / "cache")
    shutil.rmtree(clone.path / ".git/lds", ignore_errors=True)
    (bare / "lds").rename(tmp_path / "away")
    done = clone.try_git(*end)
    hints = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    assert done.returncode == 0 and "a.bin (" in done.stderr, done.stderr
    assert hints == [f"hint: once they can be fetched: git -C {clone.path} lds pull"]
    assert clone.is_clean() and clone.git("rev-parse", "HEAD") == work.git("rev-parse", "main")
    assert clone.read("a.bin") == pointer_of(b"main")
    (tmp_path / "away").rename(bare / "lds")
    clone.lds("pull")
    assert {name: clone.read(name) for name in ("a.bin", "b.bin", "main.bin")} == {
        "a.bin": b"main", "b.bin": b"base", "main.bin": b"main"
    }  # fmt: skip
    assert clone.is_clean() and not (clone.path / "side.bin").exists()
