"""Clean and smudge through real git: what goes in comes out, and git stores pointers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from kit.work import Work, pointer_of, random_bytes

KINDS = {
    "tiny.bin": b"x",
    "text.bin": b"lines\r\nof\ntext\r\n",
    "small.bin": random_bytes(1, 20_000),
    "images/edge.png": random_bytes(2, 128 << 10),
    "images/over.png": random_bytes(3, (128 << 10) + 1),
    "images/deep/er/large.png": random_bytes(4, 6 << 20),
    "empty.bin": b"",
}


def without_filter(work: Work, *args: str) -> None:
    """Run git as somebody does who has no git-lds."""
    work.git("-c", "filter.lds.process=", "-c", "filter.lds.clean=", "-c", "filter.lds.required=false", *args)


def test_clone_with_only_the_process_filter_checks_out_contents_on_every_branch(work: Work, world: Path) -> None:
    """Behaviour 1."""
    for name, data in KINDS.items():
        work.write(name, data)
    work.commit()
    work.git("switch", "-qc", "other")
    changed = {name: data + b"!" for name, data in KINDS.items() if data}
    for name, data in changed.items():
        work.write(name, data)
    work.commit()
    work.git("switch", "-q", "main")
    work.git("config", "--global", "--unset", "filter.lds.clean")
    work.git("config", "--global", "--unset", "filter.lds.smudge")
    clone = work.clone("clone", "--shared")
    for name, data in KINDS.items():
        assert clone.read(name) == data, name
        assert clone.committed(name) == (pointer_of(data) if data else b"")
    clone.git("switch", "-q", "other")
    for name, data in changed.items():
        assert clone.read(name) == data, name
        assert clone.committed(name) == pointer_of(data)
    assert clone.is_clean()
    clone.write("new.bin", b"added with the process alone")
    clone.commit()
    assert clone.committed("new.bin") == pointer_of(b"added with the process alone")


def test_the_one_shot_filters_give_the_same_as_the_process(work: Work) -> None:
    """Behaviour 1, for a git that is configured with clean and smudge alone."""
    for name, data in KINDS.items():
        work.write(name, data)
    work.git("config", "--global", "--unset", "filter.lds.process")
    work.commit()
    for name, data in KINDS.items():
        assert work.committed(name) == (pointer_of(data) if data else b"")
        (work.path / name).unlink()
    work.git("checkout", "-q", "--", ".")
    assert {name: work.read(name) for name in KINDS} == KINDS
    assert work.is_clean() and work.leftovers() == []


@pytest.mark.parametrize("on_disk", [None, 10, 5 << 20])
@pytest.mark.parametrize("piped", [1024, 3 << 20])
def test_hash_object_hashes_what_is_piped_whatever_is_on_disk(work: Work, on_disk: int | None, piped: int) -> None:
    """Behaviour 2."""
    if on_disk is not None:
        work.write("f.bin", random_bytes(1, on_disk))
    data = random_bytes(2, piped)
    done = subprocess.run(
        ["git", "hash-object", "--path", "f.bin", "--stdin"],
        cwd=work.path,
        input=data,
        capture_output=True,
        timeout=60,
        check=True,
    )
    expected = subprocess.run(
        ["git", "hash-object", "--stdin"], cwd=work.path, input=pointer_of(data), capture_output=True, check=True
    )
    assert done.stdout == expected.stdout


def test_a_file_that_is_swapped_while_git_pipes_it_counts_as_it_was_piped(work: Work) -> None:
    """Behaviour 3, with git; with a second file behind it in tests/filters."""
    work.write("f.bin", b"something else")
    git = subprocess.Popen(
        ["git", "hash-object", "-w", "--path", "f.bin", "--stdin"],
        cwd=work.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert git.stdin is not None and git.stdout is not None
    data = random_bytes(3, 2 << 20)
    git.stdin.write(data[: 1 << 20])
    git.stdin.flush()
    work.write("f.bin", b"swapped, and shorter")
    git.stdin.write(data[1 << 20 :])
    git.stdin.close()
    blob = git.stdout.read().decode().strip()
    assert git.wait(60) == 0
    assert work.git("cat-file", "blob", blob) + "\n" == pointer_of(data).decode()
    assert blake3(data).hexdigest() in work.local_objects()


def test_files_of_exactly_1024_bytes_are_followed_by_others_in_one_add(work: Work) -> None:
    """Behaviour 4. 1024 bytes is where other filters stop looking for a pointer."""
    sizes = [1024, 1024, 7, 1023, 1024, 1025, 0, 1024, 65516, 65516, 1024, 65517, 131072, 1024]
    written = {f"{n:02}.bin": random_bytes(n, size) for n, size in enumerate(sizes)}
    for name, data in written.items():
        work.write(name, data)
    work.commit()
    for name, data in written.items():
        assert work.committed(name) == (pointer_of(data) if data else b""), name
        (work.path / name).unlink()
    work.git("checkout", "-q", ".")
    assert {name: work.read(name) for name in written} == written


def test_cleaning_a_pointer_is_the_identity_known_object_or_not(work: Work) -> None:
    """Behaviour 5."""
    unknown = pointer_of(b"no store has it")
    work.write("known.bin", b"contents")
    work.commit()
    before = work.local_objects()
    work.write("known.bin", pointer_of(b"contents"))
    work.write("unknown.bin", unknown)
    work.git("add", "-A")
    assert work.committed("known.bin", "") == pointer_of(b"contents")
    assert work.committed("unknown.bin", "") == unknown
    assert work.local_objects() == before
    assert work.git("diff", "--cached", "--name-only") == "unknown.bin"


@pytest.mark.parametrize(
    "text",
    [
        pointer_of(b"x") + b"extra 1\n",
        pointer_of(b"x") + b"\n",
        pointer_of(b"x")[:-1],
        pointer_of(b"x").replace(b"\n", b"\r\n"),
        pointer_of(b"x") + b" " * 1024,
        pointer_of(b"x").replace(b"size 1", b"size 01"),
        pointer_of(b"x").replace(b"size 1", b"size 99999999999999999999"),
        b"\n" + pointer_of(b"x"),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 1\n",
    ],
)
def test_text_that_only_looks_like_a_pointer_is_content(work: Work, text: bytes) -> None:
    """Behaviour 5."""
    work.write("f.bin", text)
    work.commit()
    assert work.committed("f.bin") == pointer_of(text)
    (work.path / "f.bin").unlink()
    work.git("checkout", "-q", "f.bin")
    assert work.read("f.bin") == text


RAW = {
    "short.bin": b"committed raw",
    "spaces and ünicode.bin": b"raw again\n",
    "lines\nand \x1b[31m.bin": b"raw with a hostile name",
    "long.bin": random_bytes(5, 3 << 20),
    "almost.bin": pointer_of(b"x") + b"more\n",
}


def test_raw_blobs_under_a_tracked_pattern_clone_byte_for_byte_and_are_named_once(work: Work) -> None:
    """Behaviour 6."""
    work.write("proper.bin", b"a pointer")
    work.commit()
    for name, data in RAW.items():
        work.write(name, data)
    without_filter(work, "add", "--", *RAW)
    without_filter(work, "commit", "-qm", "raw")
    clone = Work(work.path.parent / "clone")
    done = work.try_git("clone", "-q", "--shared", str(work.path), str(clone.path))
    assert done.returncode == 0
    assert {name: clone.read(name) for name in RAW} == RAW
    assert clone.read("proper.bin") == b"a pointer"
    lines = [line for line in done.stderr.splitlines() if "committed as it is" in line]
    for shown in ("short.bin", "spaces and ünicode.bin", r"lines\nand \x1b[31m.bin", "long.bin", "almost.bin"):
        assert len([line for line in lines if line.startswith(f"git-lds: {shown}:")]) == 1, done.stderr
    assert len(lines) == len(RAW)
    assert not clone.starts_filter("status") and clone.is_clean()


def test_raw_blobs_become_pointers_when_the_user_says_so(work: Work) -> None:
    """Behaviour 6: what the message about them tells to do."""
    work.write("raw.bin", b"committed raw")
    without_filter(work, "add", "-A")
    without_filter(work, "commit", "-qm", "raw")
    work.git("add", "--renormalize", ".")
    assert work.committed("raw.bin", "") == pointer_of(b"committed raw")
    assert work.read("raw.bin") == b"committed raw"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"GIT_LDS_EXCLUDE": "images"}, {"a.bin"}),
        ({"GIT_LDS_INCLUDE": "*.bin"}, {"a.bin"}),
        ({"GIT_LDS_INCLUDE": "images/**,*.bin", "GIT_LDS_EXCLUDE": "images/two*"}, {"a.bin", "images/one.png"}),
        ({"GIT_LDS_EXCLUDE": "*"}, set()),
    ],
)
def test_include_and_exclude_leave_pointers_and_download_nothing(
    work: Work, world: Path, settings: dict[str, str], wanted: set[str]
) -> None:
    """Behaviour 7. The store that is named does not exist, so a download would fail."""
    contents = {"a.bin": b"a", "images/one.png": random_bytes(1, 6 << 20), "images/two.png": b"two"}
    for name, data in contents.items():
        work.write(name, data)
    work.write(".ldsconfig", '[store]\nurl = "http://127.0.0.1:9/nowhere"\n')
    work.commit()
    here = work.clone("clone", "--shared", **settings)
    for name, data in contents.items():
        assert here.read(name) == (data if name in wanted else pointer_of(data)), name
    assert here.is_clean()
    if not wanted:
        assert not list((world / "cache").rglob("*.pack"))
        far = work.clone("far", GIT_LDS_EXCLUDE="*")
        assert far.is_clean() and far.read("a.bin") == pointer_of(b"a")
    here.git("add", "-A")
    assert here.git("diff", "--cached", "--name-only") == ""


def test_the_committed_exclude_counts_from_the_first_checkout_on(work: Work) -> None:
    """Behaviour 7: while a clone fills its working tree, `.ldsconfig` is not there yet."""
    work.write("a.bin", b"a")
    work.write("images/one.png", b"one")
    work.write(".ldsconfig", '[fetch]\nexclude = ["images/"]\n')
    work.commit()
    clone = work.clone("clone", "--shared")
    assert clone.read("a.bin") == b"a"
    assert clone.read("images/one.png") == pointer_of(b"one")
    assert clone.is_clean()


@pytest.mark.parametrize("how", ["environment", "option"])
def test_skip_smudge_leaves_valid_pointers_and_pull_fills_them_later(work: Work, world: Path, how: str) -> None:
    """Behaviour 8."""
    contents = {"a.bin": b"a", "images/one.png": random_bytes(1, 6 << 20)}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    bare = work.clone("origin.git", "--bare").path
    work.git("remote", "add", "origin", str(bare))
    work.lds("push", "origin")
    work.git("push", "-q", "-u", "origin", "main")
    environment = {"GIT_LDS_SKIP_SMUDGE": "1"} if how == "environment" else {}
    if how == "option":
        work.lds("install", "--skip-smudge")
    clone = work.clone("clone", source=bare, **environment)
    for name, data in contents.items():
        assert clone.read(name) == pointer_of(data)
    assert clone.is_clean()
    clone.lds("pull", **environment)
    assert {name: clone.read(name) for name in contents} == contents
    assert clone.is_clean() and clone.leftovers() == []


def test_empty_files_are_empty_blobs_and_checkout_leaves_their_time_stamp_alone(work: Work) -> None:
    """Behaviour 9."""
    work.write("empty.bin", b"")
    work.write("full.bin", b"full")
    work.commit()
    assert work.committed("empty.bin") == b""
    assert work.local_objects() == {blake3(b"full").hexdigest()}
    os.utime(work.path / "empty.bin", (1_000_000_000, 1_000_000_000))
    os.utime(work.path / "full.bin", (1_000_000_000, 1_000_000_000))
    work.lds("checkout")
    assert (work.path / "empty.bin").stat().st_mtime == 1_000_000_000
    assert (work.path / "full.bin").stat().st_mtime == 1_000_000_000
    assert work.is_clean()
    (work.path / "empty.bin").unlink()
    work.git("checkout", "-q", ".")
    assert work.read("empty.bin") == b"" and work.is_clean()


NAMES = [
    b"with space.bin",
    b" leading and trailing .bin",
    b"quo\"te'.bin",
    b"new\nline.bin",
    b"ends in newline.bin\n",
    b"-n.bin",
    b"--.bin",
    b"\xff\xfe not utf-8.bin",
    "é combining e\u0301 雪.bin".encode(),
    b"x" * 196 + b".bin",
    b"tab\tand\x01control.bin",
    b"back\\slash.bin",
    b"$(touch pwned);`touch pwned`.bin",
    b"%f%%.bin",
    b"=.bin",
    b"images/-dash directory/new\nline/\xff.png",
    b"images/" + b"/".join([b"d" * 200] * 5) + b"/f.png",
]


@pytest.mark.parametrize("one_shot", [False, True], ids=["process", "one-shot"])
def test_hostile_names_work(work: Work, one_shot: bool) -> None:
    """Behaviour 10."""
    work.write(".gitattributes", "* filter=lds diff=lds merge=lds -text\n.gitattributes !filter !diff !merge\n")
    if one_shot:
        work.git("config", "--global", "--unset", "filter.lds.process")
    contents = {name: b"contents of %d" % n for n, name in enumerate(NAMES[::2] if one_shot else NAMES)}
    # large ones too, which are not sent through git
    contents |= {b"large-" + name: random_bytes(n, 4_300_000) for n, name in enumerate(NAMES[3:5]) if not one_shot}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    blobs = work.git("ls-tree", "-r", "-z", "HEAD")
    assert blobs.count("\0") == len(contents) + 1
    clone = work.clone("clone", "--shared")
    for name, data in contents.items():
        assert clone.read(name) == data, name
    assert clone.is_clean()
    assert not list(clone.path.rglob("pwned")) and not list(work.path.rglob("pwned"))
    for name in contents:
        os.truncate(os.path.join(os.fsencode(clone.path), name), 0)
        os.unlink(os.path.join(os.fsencode(clone.path), name))
    clone.lds("checkout")
    for name, data in contents.items():
        assert clone.read(name) == data, name
    assert clone.is_clean()


def test_objects_are_named_on_standard_output_of_no_filter(work: Work) -> None:
    """What the filter has to say never gets into a file."""
    work.write("a.bin", b"a")
    work.commit()
    done = work.try_git("cat-file", "--filters", "HEAD:a.bin")
    assert (done.stdout, done.stderr, done.returncode) == ("a", "", 0)


def test_content_that_is_stored_already_is_not_written_again(new_work: Callable[..., Work]) -> None:
    """A `git status` after `touch` writes nothing, neither for small files nor for large ones."""
    work = new_work()
    work.write("small.bin", b"small")
    work.write("large.bin", random_bytes(1, 5 << 20))
    work.commit()

    def stored() -> dict[str, tuple[int, int]]:
        found = [p for p in (work.path / ".git" / "lds").rglob("*") if p.is_file()]
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}

    before = stored()
    for name in ("small.bin", "large.bin"):
        os.utime(work.path / name)
    assert work.is_clean()
    work.git("add", "-A")
    assert stored() == before


def test_what_was_downloaded_is_not_stored_again_by_a_status_after_touch(work: Work) -> None:
    work.write("small.bin", b"small")
    work.write("large.bin", random_bytes(1, 5 << 20))
    work.commit()
    clone = work.clone("clone", "--shared")
    for name in ("small.bin", "large.bin"):
        os.utime(clone.path / name)
    assert clone.is_clean()
    assert clone.local_objects() == set()
