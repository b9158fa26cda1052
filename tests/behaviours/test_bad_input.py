"""Whatever is wrong, a command says what and where in one line, with what to do about it, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.lds_server import entry
from kit.matrix import some_of, some_rows
from kit.published import Published, with_store
from kit.templates import know_files
from kit.work import Work, pointer_of, random_bytes

LARGE = random_bytes(1, 700_000)


TEMPLATE: list[Path] = []
"""What the first test made for the others to copy: that takes 10 ms, and making it a second."""


@pytest.fixture
def healthy(new_work: Callable[..., Work], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A repository with small and large objects, and a store, in its git remote, that has them all."""
    if not TEMPLATE:
        made = with_store(new_work("dataset"), tmp_path / "origin.git" / "lds", None)
        made.work.git("remote", "set-url", "origin", "../origin.git")
        for name, data in {"a.bin": b"a", "images/b.png": LARGE, "plain.txt": b"plain\n"}.items():
            made.work.write(name, data)
        made.work.commit()
        made.work.git("push", "-q", "origin", "main")
        TEMPLATE.append(tmp_path_factory.mktemp("template") / "copy")
        shutil.copytree(tmp_path, TEMPLATE[0])
    shutil.copytree(TEMPLATE[0], tmp_path, dirs_exist_ok=True)
    work = Work(tmp_path / "dataset")
    know_files(work.path)
    return Published(work, tmp_path / "origin.git", tmp_path / "origin.git" / "lds")


def contents_of(*directories: Path) -> dict[str, bytes]:
    """All files below some directories. A file that is there only to be locked says nothing."""
    return {
        str(path): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for directory in directories
        for path in directory.rglob("*")
        if (path.is_symlink() or path.is_file()) and path.name != "imports.lock"
    }


def complaints(done: subprocess.CompletedProcess[str], says: str, *, hint: bool = True) -> list[str]:
    """What is wrong with how a command refused."""
    lines = done.stderr.splitlines()
    ours = [line for line in lines if line.startswith("git-lds: ") and not line.startswith("git-lds: warning: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    wrong = []
    if done.returncode not in (1, 2):
        wrong.append(f"exit code {done.returncode}")
    if len(ours) != 1 or says not in done.stderr:
        wrong.append(f"{len(ours)} lines, and {says!r} {'is' if says in done.stderr else 'is not'} in them")
    if len(hints) > 1 or (hint and not hints):
        wrong.append(f"{len(hints)} hints")
    if "Traceback" in done.stderr or "this is a bug" in done.stderr:
        wrong.append("a bug")
    return [f"{done.args[1:]}: {', '.join(wrong)}\n{done.stdout}{done.stderr}"] if wrong else []


Case = tuple[tuple[str, ...], str]
"""The words of a command, and what it has to say."""


def refused(
    work: Work,
    *cases: Case,
    unchanged: tuple[Path, ...] = (),
    hint: bool = True,
    status: int = 0,
    **environment: object,
) -> None:
    """Run the commands: each must refuse as it should, and change nothing."""
    before = contents_of(work.path, *unchanged)
    wrong = []
    for words, says in cases:
        done = work.try_lds(*words, **environment)
        wrong += complaints(done, says, hint=hint)
        if status and done.returncode != status:
            wrong.append(f"{words}: exit code {done.returncode}")
        after = contents_of(work.path, *unchanged)
        changed = sorted({*before, *after} - {p for p in before if before[p] == after.get(p)})
        if changed:
            wrong.append(f"{words} changed {changed}")
            before = after
    assert not wrong, "\n".join(wrong)


NEED_A_REPOSITORY: tuple[tuple[str, ...], ...] = (
    ("init",),
    ("init", "--store", "/nowhere"),
    ("track", "*.png"),
    ("track",),
    ("untrack", "*.png"),
    ("status",),
    ("ls-files",),
    ("push",),
    ("fetch",),
    ("pull",),
    ("checkout",),
    ("import", "/nowhere", "images"),
    ("update",),
    ("update", "--branch", "x"),
    ("contribute", "data"),
    ("deps",),
    ("diff",),
    ("diff", "HEAD~", "HEAD"),
    ("checkout", "--theirs", "a.bin"),
    ("review",),
    ("check",),
    ("hook", "pre-push", "origin", "/nowhere"),
    ("clean", "a.bin"),
    ("smudge", "a.bin"),
)


def test_outside_of_a_repository(tmp_path: Path, installed: None) -> None:
    directory = tmp_path / "nowhere"
    directory.mkdir()
    refused(Work(directory), *((words, "not inside a git repository") for words in NEED_A_REPOSITORY))
    for words in (("install", "--local"), ("install", "--worktree"), ("uninstall", "--local")):
        refused(Work(directory), (words, "repository"))


def test_in_a_git_directory_and_in_a_bare_repository(healthy: Published) -> None:
    need_files = (
        ("init", "--store", "/somewhere/else"),
        ("track", "*.png"),
        ("track",),
        ("untrack", "*.png"),
        ("status",),
        ("pull",),
        ("checkout",),
        ("import", str(healthy.bare), "images"),
        ("update",),
        ("contribute", "data"),
        ("deps",),
        ("diff",),
        ("checkout", "--ours", "a.bin"),
    )
    for place in (healthy.bare, healthy.work.path / ".git"):
        refused(Work(place), *((words, "no working tree") for words in need_files))


def test_a_repository_without_commits(new_work: Callable[..., Work], tmp_path: Path) -> None:
    work = new_work()
    refused(work, (("push",), "HEAD: no such revision"), (("ls-files", "HEAD"), "HEAD: no such revision"))
    for words in (("status",), ("ls-files",), ("pull",), ("checkout",), ("push", "--all"), ("fetch", "--all")):
        assert work.try_lds(*words).returncode == 0, words
    work.git("init", "-q", "--bare", str(tmp_path / "empty.git"))
    refused(
        Work(tmp_path / "empty.git"), (("push",), "HEAD: no such revision"), (("ls-files",), "HEAD: no such revision")
    )


def test_unknown_revisions_remotes_and_paths(healthy: Published) -> None:
    refused(
        healthy.work,
        (("push", "origin", "nope"), "nope: no such revision"),
        (("push", "origin", "main", "v1 v2"), "v1 v2: no such revision"),
        (("push", "origin", "1" * 40), "1111: no such revision"),
        (("fetch", "origin", "nope"), "nope: no such revision"),
        (("fetch", "origin", "HEAD:a.bin"), "HEAD:a.bin: no such revision"),
        (("ls-files", "nope"), "nope: no such revision"),
        (("push", "nope"), "nope: no such remote"),
        (("fetch", "nope"), "nope: no such remote"),
        (("pull", "nope"), "nope: no such remote"),
        (("update", "nope"), "nope"),
        (("contribute", "nope"), "no commit here has a dependency"),
        (("contribute", "nope", "--branch", "-x"), "cannot be the name of a branch"),
        (("update", "--branch", "a..b"), "cannot be the name of a branch"),
        (("review", "nope"), "nope: no such commit"),
        (("review", "main..nope"), "nope: no such commit"),
        (("check", "nope"), "git has no file at nope"),
        (("check", "--against", "nope"), "nope: no such commit"),
        (("untrack", "*.nope"), "*.nope is not tracked"),
        unchanged=(healthy.store,),
    )
    refused(healthy.work, (("checkout", ":(nope)"), "nope"), hint=False)


def test_wrong_words(healthy: Published, tmp_path: Path) -> None:
    """Unknown options, missing and superfluous arguments: exit 2. tests/cli has more of them."""
    commands = ["init", "track", "untrack", "status", "ls-files", "push", "fetch", "pull", "checkout", "serve"]
    commands += [
        "import",
        "update",
        "contribute",
        "deps",
        "review",
        "check",
        "env",
        "doctor",
        "version",
        "diff",
        "install",
        "uninstall",
        "clean",
        "smudge",
    ]
    root = ("serve", "--root", str(tmp_path / "stores"))
    cases: list[Case] = [((name, "--nope"), "--nope") for name in commands]
    cases += [
        (("import",), "argument"),
        (("contribute",), "argument"),
        (("diff", "a", "b", "c", "--"), "a third"),
        (("checkout", "--to", "file", "a.bin"), "--to needs one path"),
        (("checkout", "--ours"), "--ours needs the path"),
        (("track", "--merge", "coco"), "--merge needs a pattern"),
        (("track", "--merge", "nope", "*.json"), "nope"),
        (("import", "url"), "argument"),
        ((*root, "--port", "many"), "port"),
        ((*root, "--users", str(tmp_path / "none")), "none"),
        ((*root, "--host", "not a host"), "not a host"),
        ((*root, "--host", "0.0.0.0", "--port", "0"), "other machines can reach"),
        (("hook", "post-nothing", "a", "b"), "hook"),
        (("init", "--store"), "--store"),
        (("push", "--dry-run=yes"), "dry-run"),
    ]
    refused(healthy.work, *cases, unchanged=(healthy.store,), hint=False, status=2)


def test_a_server_that_cannot_start(healthy: Published, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused(
            healthy.work,
            (("serve", "--root", str(healthy.work.path / "a.bin"), "--port", "0"), "a.bin"),
            (("serve", "--root", str(tmp_path / "stores"), "--port", port), f"cannot listen on 127.0.0.1:{port}"),
        )


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "a b c",
        "a b c d e",
        "refs/heads/main -x refs/heads/main " + "0" * 40,
        "a --all b --all",
        "\0 \0 \0 \0",
    ],
)
def test_lines_that_git_does_not_write(healthy: Published, line: str) -> None:
    refused(
        healthy.work,
        (("hook", "pre-push", "origin", "x"), ""),
        input=line + "\n",
        unchanged=(healthy.store,),
        hint=False,
    )


# stores


def test_no_store_at_all(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("a.bin", b"a")
    work.write("lost.bin", pointer_of(b"lost"))
    work.commit()
    refused(
        work, *((words, "no store is configured") for words in (("push",), ("push", "--all"), ("fetch",), ("pull",)))
    )


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x could not be reached"),
        ("http://no-such-host.invalid/x", "no-such-host.invalid/x could not be reached"),
        ("nonsense", "nonsense is not the URL of a store"),
        ("s3a://bucket/x", "s3a://bucket/x is not the URL of a store"),
        ("http://", "http://"),
        ("http://127.0.0.1:99999/x", "99999"),
        ("http://127.0.0.1:9/x?y=z", "without ? or #"),
        ("file://elsewhere/x", "has no host"),
        ("/dev/null", "/dev/null"),
        ("/dev/null/x", "/dev/null/x"),
        ("/proc/nope", "/proc/nope"),
    ],
)
def test_stores_that_are_none(healthy: Published, store: str, says: str) -> None:
    work = healthy.work
    work.write("new.bin", b"new")
    work.write("lost.bin", pointer_of(b"lost"))
    work.git("add", "-A")
    work.git("commit", "-qm", "new")
    before = healthy.refs()
    done = work.try_git("push", "origin", "main", GIT_LDS_STORE=store)
    wrong = complaints(done, says, hint=False)
    assert not wrong and healthy.refs() == before, wrong
    wrong = complaints(work.try_lds("fetch", GIT_LDS_STORE=store), "", hint=False)
    assert not wrong, wrong


ANSWERS = {
    "a page for people": (200, b"<!DOCTYPE html><html><body>Welcome to our web site</body></html>", "lds.toml"),
    "not found": (404, b"not here", "there is no store at"),
    "forbidden": (403, b"no", "403"),
    "gone": (410, b"", "410"),
    "not ours": (200, b"[format]\nversion = 99\n", "format 99"),
    "nothing": (200, b"", "lds.toml"),
    "not text": (200, bytes(range(256)), "lds.toml"),
    "endless": (200, b"x" * (1 << 21), "lds.toml"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_servers_that_are_no_store(healthy: Published, what: str) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    status, body, says = ANSWERS[what]

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # aborted requests would be printed on the stderr of this process, which a test may be capturing
        def handle_error(self, *_: object) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/x"
        work = healthy.work
        work.write("lost.bin", pointer_of(b"lost"))
        work.commit()
        cases = [(("pull",), says), (("push", "--dry-run"), says)]
        refused(work, *cases[: 1 if status == 404 else 2], GIT_LDS_STORE=url, hint=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def only(directory: Path, pattern: str) -> Path:
    """The one file that matches; of several the largest."""
    return max(directory.glob(pattern), key=lambda path: path.stat().st_size)


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "flipped": flipped,
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "nonsense": lambda data: b"\x00\xff nonsense" * 100,
}
PARTS = {
    "parameters": "lds.toml",
    "log entry": f"log/{0:020}",
    "index": "index/*/*",
    "pack": "pack/*/*",
}


@pytest.mark.parametrize(
    ("part", "damage"),
    some_rows(
        [(part, damage) for part in PARTS for damage in DAMAGES],
        ("parameters", "flipped"),
        ("parameters", "nonsense"),
        ("log entry", "cut"),
        ("index", "flipped"),
        ("index", "empty"),
        ("pack", "flipped"),
        ("pack", "cut"),
    ),
)
def test_a_damaged_store_is_named_and_nothing_wrong_arrives(healthy: Published, part: str, damage: str) -> None:
    """For somebody who reads it for the first time, and for somebody who pushes."""
    path = only(healthy.store, PARTS[part])
    path.chmod(0o644)
    data = DAMAGES[damage](path.read_bytes())
    if part == "parameters" and damage == "flipped":
        data = path.read_bytes().replace(b"fastcdc", b"slowcdc")
    path.write_bytes(data)
    reader = Work(healthy.work.path.with_name("reader"), healthy.work.path.with_name("reader.cache"))
    healthy.work.git("clone", "-q", str(healthy.bare), str(reader.path), GIT_LDS_SKIP_SMUDGE="1")
    before = contents_of(healthy.store)
    wrong = complaints(reader.try_lds("pull"), str(healthy.store))
    for name, contents in (("a.bin", b"a"), ("images/b.png", LARGE)):
        if reader.read(name) not in (contents, pointer_of(contents)):
            wrong.append(f"{name} is wrong")
    if part in ("parameters", "log entry"):
        reader.write("new.bin", b"new")
        reader.commit()
        refs = healthy.refs()
        if reader.try_git("push", "-q", "origin", "main").returncode == 0 or healthy.refs() != refs:
            wrong.append("pushed all the same")
    assert not wrong, "\n".join(wrong)
    assert contents_of(healthy.store) == before


def test_a_store_of_a_newer_git_lds_says_to_upgrade(healthy: Published) -> None:
    path = healthy.store / PARTS["parameters"]
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"version = 1", b"version = 2"))
    reader = Work(healthy.work.path.with_name("reader"), healthy.work.path.with_name("reader.cache"))
    healthy.work.git("clone", "-q", str(healthy.bare), str(reader.path), GIT_LDS_SKIP_SMUDGE="1")
    done = reader.try_lds("pull")
    assert not complaints(done, "format 2") and "hint: upgrade git-lds" in done.stderr
    path.write_bytes(whole)
    newer = json.loads(entry(1)) | {"version": 3}
    (healthy.store / "log" / f"{1:020}").write_text(json.dumps(newer))
    done = reader.try_lds("pull")
    assert not complaints(done, f"{1:020}") and "hint: upgrade git-lds" in done.stderr


def test_a_hint_or_checkpoint_that_is_damaged_costs_time_only(healthy: Published) -> None:
    for hint in (b"", b"nonsense", b'{"seq": 99999, "checkpoint": "checkpoint/../../x"}', bytes(4096)):
        (healthy.store / "log" / "HEAD").write_bytes(hint)
        healthy.assert_gives({"a.bin": b"a", "images/b.png": LARGE}, f"reader of {len(hint)} bytes")


@pytest.mark.parametrize("damage", some_of(["flipped", "nonsense", "empty"]))
def test_a_damaged_cache_costs_time_only(healthy: Published, world: Path, damage: str) -> None:
    """Whatever is kept of stores and of their objects can be had again."""
    healthy.work.write("old.bin", b"old")
    healthy.work.commit()
    healthy.work.git("push", "-q", "origin", "main")
    reader = healthy.assert_gives({"a.bin": b"a"})
    healthy.work.write("new.bin", b"new")
    healthy.work.commit()
    assert reader.cache is not None
    for cache in (world / "cache", reader.cache):
        files = [path for path in cache.rglob("*") if path.is_file()]
        assert len(files) > 2
        for path in files:
            path.chmod(0o644)
            path.write_bytes(DAMAGES[damage](path.read_bytes()))
    healthy.work.git("push", "-q", "origin", "main")
    reader.git("pull", "-q")
    for name in ("a.bin", "images/b.png"):
        (reader.path / name).unlink()
    done = reader.try_lds("pull")
    if done.returncode:
        # a large object is read only once, while it is put in the working tree: then it is too late to do without it
        assert not complaints(done, "images/b.png: the copy in the cache was damaged, and is deleted")
        reader.lds("pull")
    assert (reader.read("a.bin"), reader.read("images/b.png"), reader.read("new.bin")) == (b"a", LARGE, b"new")
    assert reader.is_clean()


# this machine


@pytest.mark.parametrize(
    ("name", "damage"),
    some_rows(
        [(name, damage) for damage in ("flipped", "cut", "empty") for name in ("a.bin", "images/b.png")],
        ("a.bin", "cut"),
        ("images/b.png", "flipped"),
    ),
)
def test_a_damaged_local_copy_is_named_and_not_pushed(
    new_work: Callable[..., Work], tmp_path: Path, name: str, damage: str
) -> None:
    made = with_store(new_work("dataset"), tmp_path / "origin.git" / "lds", None)
    work = made.work
    data = b"a" * 1000 if name == "a.bin" else LARGE
    work.write(name, data)
    work.commit()
    path = max((p for p in (work.path / ".git" / "lds").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    path.chmod(0o644)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    done = work.try_lds("push")
    wrong, wrong_hint = complaints(done, name), done.stderr
    done = work.try_git("push", "origin", "main")
    assert not wrong and done.returncode and made.refs() == {}, "\n".join(wrong) + done.stderr
    (work.path / name).unlink()
    done = work.try_git("checkout", "--", ".")
    assert done.returncode != 0 or work.read(name) == pointer_of(data)
    done = work.try_lds("checkout")
    assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr
    assert not (work.path / name).exists() or work.read(name) == pointer_of(data)
    assert "git add --renormalize PATH" in wrong_hint
    work.write(name, data)
    work.git("add", "--renormalize", name)
    work.git("push", "-q", "origin", "main")
    made.assert_gives({name: data})


@pytest.mark.parametrize("size", some_of([0, 2, 10**9, 10**15, 2**63 - 1], 0, 10**15))
def test_a_pointer_that_lies_about_the_size(healthy: Published, size: int) -> None:
    """The object is there, and has another size. Nothing is allocated for what is only said."""
    work = healthy.work
    objects = {"small.bin": b"small", "large.bin": random_bytes(2, 300_000)}
    for name, data in objects.items():
        work.write(name, data)
    work.commit()
    work.git("push", "-q", "origin", "main")
    for name, data in objects.items():
        work.write(name, pointer_of(data).replace(b"size %d" % len(data), b"size %d" % size))
    work.commit()
    for words in (("push",), ("status",), ("ls-files", "-s"), ("pull",), ("checkout",)):
        done = work.try_lds(*words)
        assert done.returncode in (0, 1), (words, done.stderr)
        assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr, (words, done.stderr)
    work.try_git("push", "-q", "origin", "main")
    reader = Work(work.path.with_name("reader"), work.path.with_name("reader.cache"))
    done = work.try_git("clone", "-q", str(healthy.bare), str(reader.path))
    assert "Traceback" not in done.stderr
    assert reader.read("a.bin") == b"a" and reader.read("images/b.png") == LARGE
    for name, data in objects.items():
        said = pointer_of(data).replace(b"size %d" % len(data), b"size %d" % size)
        if (reader.path / name).exists():
            assert reader.read(name) in (data, said)


TOML = {
    "not TOML": b"this is [not TOML",
    "not UTF-8": b'[store]\nurl = "\xff"\n',
    "conflict": b"<<<<<<< ours\n[store]\n=======\n>>>>>>> theirs\n",
    "deep": b"x = " + b"[" * 5000 + b"]" * 5000,
    "huge": b"# " + b"x" * (2 << 20),
    "NUL": b"\0" * 100,
}


@pytest.mark.parametrize("what", TOML)
def test_a_damaged_ldsconfig_is_named(healthy: Published, what: str) -> None:
    healthy.work.write(".ldsconfig", TOML[what])
    healthy.work.write("lost.bin", pointer_of(b"lost"))
    healthy.work.git("add", "-A")
    words = (("push",), ("fetch",), ("pull",), ("status",), ("init", "--store", "/x"), ("env",))
    refused(healthy.work, *((each, ".ldsconfig") for each in words), unchanged=(healthy.store,))


@pytest.mark.parametrize(
    "text",
    [
        "[store]\nurl = 7\n",
        '[store]\nurl = ""\n',
        '[store]\nread = "x"\n',
        "[store]\nread = [1]\n",
        '[fetch]\ninclude = "x"\n',
        "[fetch]\nexclude = {}\n",
    ],
)
def test_a_value_of_the_wrong_kind_in_ldsconfig_is_named(healthy: Published, text: str) -> None:
    key = text.split("\n")[1].split(" ")[0]
    healthy.work.write(".ldsconfig", text)
    refused(healthy.work, (("pull",), f".{key}"), (("push",), f".{key}"), unchanged=(healthy.store,))


@pytest.mark.parametrize(
    "text", [*TOML.values(), b"deps = 3", b"[deps.x]\nurl = 3\n", b"[other]\n", b'[deps.x]\nurl = "https://x/y"\n']
)
def test_a_damaged_ldsdeps_is_named(healthy: Published, text: bytes) -> None:
    healthy.work.write(".ldsdeps", text)
    words = (("update",), ("deps",), ("import", str(healthy.bare), "images", "-o", "imported"))
    refused(healthy.work, *((each, ".ldsdeps") for each in words), unchanged=(healthy.store,))
    assert healthy.work.try_lds("pull").returncode == 0  # reading objects goes on


def test_directories_that_cannot_be_written_are_named(healthy: Published, tmp_path: Path) -> None:
    """A file stands where a directory should be, which stops also root."""
    work, blocked = healthy.work, tmp_path / "blocked"
    work.write("new.bin", b"new")
    work.commit()
    blocked.write_bytes(b"")
    refused(work, (("push",), str(blocked)), GIT_LDS_STORE=str(blocked), hint=False)
    reader = Work(tmp_path / "reader", blocked)
    work.git("clone", "-q", str(healthy.bare), str(reader.path), GIT_LDS_SKIP_SMUDGE="1")
    refused(reader, (("pull",), str(blocked)), hint=False)
    shutil.rmtree(work.path / ".git" / "lds" / "tmp", ignore_errors=True)
    (work.path / ".git" / "lds" / "tmp").write_bytes(b"")
    refused(work, (("push",), "lds/tmp"), hint=False, unchanged=(healthy.store,))
    work.write("more.bin", LARGE[:300_000])
    done = work.try_git("add", "more.bin")
    assert done.returncode != 0 and "more.bin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_directories_without_permission_are_named(healthy: Published, tmp_path: Path) -> None:
    work = healthy.work
    work.write("new.bin", b"new")
    work.commit()
    for directory in (healthy.store / "log", healthy.store / "pack", work.path / ".git" / "lds"):
        directory.chmod(0o500)
        refused(work, (("push",), directory.name), hint=False)
        directory.chmod(0o755)


def test_a_git_that_is_missing_or_too_old(healthy: Published, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    done = healthy.work.try_lds("status", PATH=str(old))
    assert not complaints(done, "git was not found on PATH"), done.stderr
    (old / "git").write_text("#!/bin/sh\necho git version 2.17.1\n")
    (old / "git").chmod(0o755)
    done = healthy.work.try_lds("install", PATH=f"{old}:{os.environ['PATH']}")
    assert not complaints(done, "git 2.17.1 is too old"), done.stderr


def test_a_damaged_index_of_git_is_named(healthy: Published) -> None:
    index = healthy.work.path / ".git" / "index"
    for data in (b"nonsense", b"nonsense" * 1000):
        index.write_bytes(data)
        refused(
            healthy.work,
            *((words, "index") for words in (("status",), ("ls-files",), ("pull",), ("checkout",), ("track",))),
            hint=False,
        )
        done = healthy.work.try_git("add", "a.bin")
        assert "Traceback" not in done.stderr


def test_a_settings_file_of_git_that_is_locked_or_damaged(healthy: Published, world: Path) -> None:
    lock = world / ".gitconfig.lock"
    lock.write_bytes(b"")
    refused(healthy.work, (("uninstall",), "gitconfig"), (("install", "--skip-smudge"), "gitconfig"), hint=False)
    lock.unlink()
    (healthy.work.path / ".git" / "config").write_text("[core\nnonsense")
    refused(healthy.work, *((words, "config") for words in (("status",), ("push",), ("pull",))), hint=False)
