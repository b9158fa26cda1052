"""A hostile repository, a hostile store and a hostile client get nothing done that the user did not ask for."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kit.lds_server import ask, pack_of, packed
from kit.matrix import some_of
from kit.published import Published, with_store
from kit.work import LAUNCHER, Work, pointer_of, random_bytes, running_server

GIT = shutil.which("git") or "git"


@pytest.fixture
def pwned(tmp_path: Path) -> Path:
    """A file that is made when somebody else's code runs."""
    return tmp_path / "pwned"


def put_program(directory: Path, name: str, pwned: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {name} >> {shlex.quote(str(pwned))}\nexit 1\n")
    path.chmod(0o755)


def everyday(work: Work, *, git: str = GIT, **environment: object) -> str:
    """Do what people do every day, in a repository that holds pointers; return all that was said."""
    work.write("new file.bin", random_bytes(1, 5000))
    commands = (
        (git, "add", "-A"),
        (git, "status"),
        (git, "commit", "-qm", "a day"),
        (git, "push", "-q", "origin", "HEAD"),
        (git, "switch", "-qc", "other"),
        (LAUNCHER, "status"),
        (LAUNCHER, "track"),
        (LAUNCHER, "doctor"),
        (LAUNCHER, "push", "--all"),
        (LAUNCHER, "pull"),
        (git, "rm", "-q", "--cached", "new file.bin"),
        (git, "reset", "-q", "--hard"),
    )
    said = ""
    for command in commands:
        done = work.try_run(*command, **environment)
        said += f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return said


# 36: programs and shells

PROGRAMS = (
    "git",
    "git-lds",
    "ssh",
    "sh",
    "python",
    "python3",
    "git-credential-ours",
    "cat",
    "b3sum",
    "git-remote-https",
)


def test_programs_are_never_taken_from_the_work_tree(dataset: Published, pwned: Path) -> None:
    """Behaviour 36: also where PATH begins with the current directory, and in other directories than the top."""
    work = dataset.work
    for name in PROGRAMS:
        put_program(work.path, name, pwned)
        put_program(work.path / "below", name, pwned)
    path = os.pathsep.join(["", ".", "below", "./below", os.environ["PATH"]])
    everyday(work, PATH=path)
    assert not pwned.exists(), pwned.read_text()
    assert dataset.refs() and dataset.keys()  # they did what they had to
    below = Work(work.path / "below")
    below.try_lds("import", "ssh://ada@127.0.0.1:1/x.git", "images", PATH=path)
    below.try_lds("import", "ada@127.0.0.1:x.git", "images", PATH=path)
    below.try_lds("import", "https://127.0.0.1:1/x.git", "images", PATH=path)
    assert not pwned.exists(), pwned.read_text()


def test_the_fall_back_to_path_does_not_look_in_the_work_tree(dataset: Published, pwned: Path, tmp_path: Path) -> None:
    """Behaviour 36: the program that was installed is gone, and PATH begins with the current directory."""
    work = dataset.work
    work.write("a.bin", b"a")
    work.commit()
    gone = tmp_path / "gone" / "git-lds"
    for name in ("clean", "smudge", "process"):
        said = work.git("config", "--global", f"filter.lds.{name}")
        work.git("config", "--global", f"filter.lds.{name}", said.replace(str(LAUNCHER), str(gone)))
    hook = work.path / ".git" / "hooks" / "pre-push"
    hook.write_text(hook.read_text().replace(str(LAUNCHER), str(gone)))
    put_program(work.path, "git-lds", pwned)
    without_ours = os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if p != str(LAUNCHER.parent))
    for path in (f":.:{without_ours}", f"{without_ours}:.:"):
        work.write("b.bin", b"b")
        assert work.try_run(GIT, "add", "b.bin", PATH=path).returncode != 0
        assert work.try_run(GIT, "push", "origin", "main", PATH=path).returncode != 0
    assert not pwned.exists(), pwned.read_text()
    assert dataset.refs() == {}


def test_a_helper_of_the_users_is_not_looked_for_in_the_work_tree(
    new_work: Callable[..., Work], tmp_path: Path, pwned: Path, world: Path
) -> None:
    """Behaviour 36: git is asked for credentials, and git starts the helper."""
    (tmp_path / "users").write_text("ada:secret\n")
    (tmp_path / "stores").mkdir()
    helper = world / "bin" / "git-credential-ours"
    helper.parent.mkdir()
    helper.write_text("#!/bin/sh\necho username=ada\necho password=secret\n")
    helper.chmod(0o755)
    work = new_work()
    work.git("config", "--global", "credential.helper", "ours")
    put_program(work.path, "git-credential-ours", pwned)
    path = os.pathsep.join(["", ".", os.environ["PATH"], str(helper.parent)])
    with running_server(tmp_path / "stores", "--users", str(tmp_path / "users")) as url:
        work.git("config", "lds.store", f"{url}/x")
        work.write("a.bin", b"a")
        work.commit()
        work.try_run(LAUNCHER, "push", PATH=path).check_returncode()
    assert not pwned.exists()


HIJACKS = (
    "json",
    "blake3",
    "sitecustomize",
    "usercustomize",
    "git_lds",
    "click",
    "tomllib",
    "httpx",
    "re",
    "encodings",
)


def test_modules_are_never_taken_from_the_work_tree(dataset: Published, pwned: Path) -> None:
    """Behaviour 36: what the filter, the hook or a command imports is not what lies in the current directory."""
    work = dataset.work
    for name in HIJACKS:
        code = f"open({str(pwned)!r}, 'a').write({name!r} + '\\n')\n"
        work.write(f"{name}.py", code)
        work.write(f"{name}/__init__.py", code)
    said = everyday(work)
    assert not pwned.exists(), pwned.read_text()
    assert "Traceback" not in said
    clone = dataset.elsewhere("clone")
    clone.lds("pull")
    assert not pwned.exists() and clone.read("new file.bin") == random_bytes(1, 5000)


METACHARACTERS = (
    "$(touch pwned)",
    "`touch pwned`",
    ";touch pwned;",
    "|touch pwned",
    "&&touch pwned&&",
    "' ;touch pwned; '",
    '" ;touch pwned; "',
    "\ntouch pwned\n",
    ">pwned",
    "--upload-pack=touch pwned",
)


def test_no_shell_is_given_a_name_from_a_repository(dataset: Published) -> None:
    """Behaviour 36: names of files, patterns, branches, remotes and directories that a shell would take for commands."""
    work = dataset.work
    contents = {}
    for number, name in enumerate(METACHARACTERS):
        contents[f"{name}.bin"] = contents[f"{name}/inside.bin"] = b"contents of %d" % number
    work.lds("track", "--", *(name + "*" for name in METACHARACTERS))
    work.lds("track", "--filename", "--", *METACHARACTERS)
    for name, data in contents.items():
        work.write(name, data)
    everyday(work)
    branches = ("$(touch${IFS}pwned)", ";touch${IFS}pwned;", "`touch${IFS}pwned`", "|touch${IFS}pwned")
    for branch in branches:
        work.git("branch", branch)
    work.git("push", "-q", "origin", *branches)
    work.lds("push", "origin", *branches)
    work.lds("fetch", "origin", *branches)
    odd = work.path.parent / "$(touch pwned);'.git"
    work.git("init", "-q", "--bare", str(odd))
    work.git("push", "-q", str(odd), "main")
    work.git("remote", "add", "odd", str(odd))
    work.lds("push", "odd", "main")
    work.try_lds("import", str(odd), "--", next(iter(contents)), "-o", "$(touch pwned)")
    clone = dataset.elsewhere("$(touch pwned) clone")
    assert {name: clone.read(name) for name in contents} == contents
    places = (work.path.parent, work.path, work.path / ".git", dataset.bare, odd, clone.path, dataset.store)
    assert not [place for place in places if (place / "pwned").exists()]


# 37: options and transports

ADDRESSES = (
    "--upload-pack=touch {pwned}",
    "-oProxyCommand=touch {pwned}",
    "ext::sh -c touch% {pwned}",
    "fd::7",
    "ssh://-oProxyCommand=touch${{IFS}}{pwned}/x",
    "-u",
    "ftp://127.0.0.1/x",
)
FOREIGN = ("http://example.org/not-loopback.git", "/etc", "../dataset", "file:///etc")
"""What a repository may not name as upstream of a dependency, though a user may."""


def manifest(**changes: str) -> str:
    keys = {"url": "https://127.0.0.1:1/x.git", "path": "images", "rev": "main", "commit": "1" * 40, "tree": "2" * 40}
    output = changes.pop("output", "data")
    return f"[deps.{quoted(output)}]\n" + "".join(f"{k} = {quoted(v)}\n" for k, v in (keys | changes).items())


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("key", ["url", "path", "rev", "commit", "tree", "output", "store"])
def test_nothing_in_ldsdeps_becomes_an_option_or_another_transport(work: Work, pwned: Path, key: str) -> None:
    """Behaviour 37."""
    work.write("a.bin", b"a")
    work.commit()
    before = work.git("ls-files", "-s")
    for form in {"url": ADDRESSES + FOREIGN, "store": ADDRESSES}.get(key, ADDRESSES[:2]):
        value = form.format(pwned=pwned)
        work.write(".ldsdeps", manifest(**{key: value}))
        done = work.try_lds("update")
        assert done.returncode == 1, (value, done.stderr)
        assert "Traceback" not in done.stderr and done.stderr.startswith("git-lds: ")
        (work.path / "a.bin").unlink()
        work.try_git("checkout", "--", ".")
        assert work.read("a.bin") == b"a"
        assert work.git("ls-files", "-s") == before and not pwned.exists()


@pytest.mark.parametrize("form", ADDRESSES)
def test_no_address_of_a_command_becomes_an_option_or_another_transport(work: Work, pwned: Path, form: str) -> None:
    """Behaviour 37."""
    value = form.format(pwned=pwned)
    for command in (
        ("import", "--", value, "images"),
        ("import", "--rev", value, "--", str(work.path), "images"),
        ("import", "--", str(work.path), value),
        ("init", f"--store={value}"),
        ("push", "--", value),
        ("push", "--", "origin", value),
        ("fetch", "--", value),
        ("fetch", "--", "origin", value),
        ("pull", "--", value),
        ("ls-files", "--", value),
        ("checkout", "--", value),
        ("hook", "pre-push", value, value),
    ):
        done = work.try_lds(*command)
        assert "Traceback" not in done.stderr and done.returncode in (0, 1, 2), (command, done.stderr)
        if command[0] in ("import", "init"):
            assert done.returncode, command
    assert not pwned.exists() and work.git("status", "--porcelain") == "?? .gitattributes"


@pytest.mark.parametrize("form", [*ADDRESSES, "../dataset"])
def test_no_store_of_ldsconfig_becomes_an_option_or_another_transport(work: Work, pwned: Path, form: str) -> None:
    """Behaviour 37."""
    value = form.format(pwned=pwned)
    work.write("a.bin", b"a")
    work.write(".ldsconfig", f"[store]\nurl = {quoted(value)}\nread = [{quoted(value)}]\n")
    work.commit()
    bare = work.path.with_name("bare.git")
    work.git("init", "-q", "--bare", str(bare))
    done = work.try_git("push", str(bare), "main")
    assert done.returncode != 0 and "Traceback" not in done.stderr and "git-lds: " in done.stderr
    assert Work(bare).git("for-each-ref") == "" and not pwned.exists()
    clone = work.clone("clone", GIT_LDS_SKIP_SMUDGE="1")
    done = clone.try_lds("pull", GIT_LDS_CACHE=str(work.path.with_name("empty")))
    assert done.returncode and "Traceback" not in done.stderr and not pwned.exists()


def test_a_directory_that_only_a_committed_file_names_is_not_made_by_a_push(dataset: Published, tmp_path: Path) -> None:
    """Section 7 of the design: `.ldsconfig` is untrusted."""
    victim = tmp_path / "victim; rm -rf x"
    work = dataset.work
    work.write("a.bin", b"a")
    work.write(".ldsconfig", f"[store]\nurl = {quoted(str(victim))}\n")
    work.commit()
    done = work.try_git("push", "origin", "main")
    assert (
        done.returncode != 0
        and f"hint: if you mean it: git lds init --store {shlex.quote(str(victim))}\n" in done.stderr
    )
    assert not victim.exists() and dataset.refs() == {}
    victim.mkdir()
    assert work.try_git("push", "origin", "main").returncode != 0
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize("name", [".ldsconfig", ".ldsdeps", ".gitattributes"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_our_own_files_are_read_only_where_they_are_plain_files(
    work: Work, tmp_path: Path, name: str, kind: str
) -> None:
    """Behaviour 39: not through a symlink, and nothing waits for a pipe."""
    secret = tmp_path / "secret"
    secret.write_text("a secret\n")
    path = work.path / name
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    for command in (
        ("env",),
        ("deps",),
        ("status",),
        ("track",),
        ("update",),
        ("pull",),
        ("track", "*.png"),
        ("doctor",),
    ):
        done = work.try_lds(*command)
        assert "a secret" not in done.stdout + done.stderr and "Traceback" not in done.stderr, command
        assert done.returncode in (0, 1) and "this is a bug" not in done.stderr, (command, done.stderr)
    assert secret.read_text() == "a secret\n"


# 38 and 40: credentials

SECRET = "s3cr3t-of-ada"


@dataclass
class Seen:
    """What a server received."""

    url: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def logins(self) -> list[str]:
        return [headers["authorization"] for _, _, headers in self.requests if "authorization" in headers]


@contextmanager
def listening(status: int, **headers: str) -> Iterator[Seen]:
    """A server that answers everything with `status`, and remembers what it received."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            seen.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value.format(path=self.path))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = Seen(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def guarded(new_work: Callable[..., Work], tmp_path: Path, world: Path) -> Iterator[Published]:
    """A dataset whose store asks who comes, and a credential helper that knows. It writes down what it is asked."""
    (tmp_path / "users").write_text(f"ada:{SECRET}\n")
    (tmp_path / "stores").mkdir()
    with running_server(tmp_path / "stores", "--users", str(tmp_path / "users")) as url:
        made = with_store(new_work("dataset"), tmp_path / "stores" / "guarded", f"{url}/guarded")
        host = url.removeprefix("http://")
        helper = world / "helper"
        helper.write_text(
            f'#!/bin/sh\nsaid=$(cat)\nprintf \'%s\\n%s\\n\' "$1" "$said" >> {shlex.quote(str(world / "received"))}\n'
            f'case "$1 $said" in "get "*host={host}*) echo username=ada; echo password={SECRET};; esac\n'
        )
        helper.chmod(0o755)
        made.work.git("config", "--global", "credential.helper", str(helper))
        yield made


def received(world: Path) -> str:
    path = world / "received"
    return path.read_text() if path.exists() else ""


SHOUTING = {
    "GIT_TRACE": "1",
    "GIT_TRACE_SETUP": "1",
    "GIT_TRACE2": "1",
    "GIT_CURL_VERBOSE": "1",
    "GIT_TRACE_CURL": "1",
    "GIT_LDS_DEBUG": "1",
    "HTTPX_LOG_LEVEL": "trace",
    "PYTHONWARNINGS": "default",
}


def test_credentials_work_and_are_never_shown_nor_kept(guarded: Published, world: Path, tmp_path: Path) -> None:
    """Behaviour 40: not in any output, however loud, and in no file of the repository or the cache."""
    work = guarded.work
    work.write("a.bin", b"a")
    work.commit()
    said = everyday(work, **SHOUTING)
    done = work.try_lds("push", "-v", "--all", **SHOUTING)
    assert done.returncode == 0, done.stderr
    said += done.stdout + done.stderr
    clone = Work(tmp_path / "clone", tmp_path / "clone.cache")
    done = Work(tmp_path, clone.cache).try_git("clone", "-v", str(guarded.bare), str(clone.path), **SHOUTING)
    assert done.returncode == 0 and clone.read("a.bin") == b"a"
    said += done.stdout + done.stderr
    encoded = base64.b64encode(f"ada:{SECRET}".encode()).decode()
    assert SECRET not in said and encoded not in said
    for directory in (work.path, clone.path, clone.cache, world / "cache", guarded.bare, guarded.store):
        assert directory is not None
        kept = [str(p) for p in directory.rglob("*") if p.is_file() and (SECRET.encode() in p.read_bytes())]
        assert kept == []
    assert "store\n" in received(world)  # git's own helper may keep them


def test_wrong_credentials_are_an_error_without_them(guarded: Published, world: Path) -> None:
    """Behaviour 40."""
    work = guarded.work
    helper = world / "helper"
    helper.write_text("#!/bin/sh\necho username=ada\necho password=wrong-secret\n")
    work.write("a.bin", b"a")
    work.commit()
    done = work.try_git("push", "origin", "main", **SHOUTING)
    assert done.returncode != 0 and "refused the user and password" in done.stderr and "hint: " in done.stderr
    assert "wrong-secret" not in done.stderr and guarded.refs() == {}


def test_no_prompt_where_git_may_not_ask(guarded: Published) -> None:
    """Behaviour 40: GIT_TERMINAL_PROMPT=0, a terminal or not."""
    work = guarded.work
    work.git("config", "--global", "--unset", "credential.helper")
    work.write("a.bin", b"a")
    work.commit()
    script = shutil.which("script")
    commands = [[LAUNCHER, "push"], ["git", "push", "origin", "main"]]
    if script:
        commands.append([script, "-qec", f"{LAUNCHER} push", "/dev/null"])
    for command in commands:
        done = work.try_run(*command, GIT_TERMINAL_PROMPT="0", GIT_ASKPASS="", SSH_ASKPASS="")
        assert done.returncode != 0
        assert "asks for a user and password, and git has none" in done.stdout + done.stderr
    assert guarded.refs() == {}


def test_credentials_do_not_follow_a_redirect_to_another_origin(guarded: Published, world: Path) -> None:
    """Behaviour 40: `.ldsconfig` names a store that sends everybody on to the one that the user has a password for, and back."""
    work = guarded.work
    work.write("a.bin", b"a")
    work.commit()
    work.git("push", "-q", "origin", "main")
    work.git("rm", "-rq", "--cached", "a.bin")
    work.write("lost.bin", pointer_of(b"lost"))
    work.git("add", "lost.bin")
    asked = received(world)
    good = work.lds("env").split("store = ")[1].split("  (")[0]
    with (
        listening(302, Location=good + "{path}") as hostile,
        listening(401, WWW_Authenticate="Basic realm=x") as greedy,
    ):
        for url in (hostile.url, greedy.url):
            for command in (("pull",), ("push", "--all")):
                done = work.try_lds(*command, GIT_LDS_STORE=url, GIT_LDS_CACHE=str(work.path.parent / "empty"))
                assert done.returncode in (0, 1) and "Traceback" not in done.stderr
        assert hostile.requests and greedy.requests
        assert hostile.logins() == greedy.logins() == []
        new = received(world)[len(asked) :]
        assert hostile.url.removeprefix("http://") not in new and good.split("/")[2] not in new
        assert greedy.url.removeprefix("http://") in new


def test_a_store_with_a_redirect_gets_its_login_and_the_target_does_not(guarded: Published, world: Path) -> None:
    """Behaviour 40, the other way round: who is trusted sends us on to who is not."""
    with listening(404) as elsewhere, listening(302, Location=elsewhere.url + "{path}") as trusted:
        helper = world / "helper"
        helper.write_text(f"#!/bin/sh\ncat >/dev/null\necho username=ada\necho password={SECRET}\n")
        work = guarded.work
        work.write("a.bin", b"a")
        work.commit()
        for command in (("pull",), ("push", "--all")):
            work.try_lds(*command, GIT_LDS_STORE=trusted.url)
        assert elsewhere.requests and elsewhere.logins() == []


@pytest.mark.parametrize("place", ["environment", "config", ".ldsconfig", ".ldsdeps", "remote", "init"])
def test_a_password_in_an_address_is_refused_and_not_repeated(work: Work, place: str) -> None:
    """Behaviour 40."""
    url = f"http://ada:{SECRET}@127.0.0.1:9/x"
    environment: dict[str, str] = {}
    work.write("a.bin", b"a")
    work.commit()
    if place == "environment":
        environment = {"GIT_LDS_STORE": url}
    elif place == "config":
        work.git("config", "lds.store", url)
    elif place == ".ldsconfig":
        work.write(".ldsconfig", f'[store]\nurl = "{url}"\n')
    elif place == ".ldsdeps":
        work.write(".ldsdeps", manifest(store=url))
    elif place == "remote":
        work.git("remote", "add", "origin", url)
        work.git("config", "remote.origin.ldsstore", url)
    said = ""
    commands = (
        ("push", "--all"),
        ("pull",),
        ("fetch",),
        ("env",),
        ("env", "--json"),
        ("doctor",),
        ("status",),
        ("update",),
        ("deps",),
    )
    for command in (("init", "--store", url),) if place == "init" else commands:
        done = work.try_lds(*command, **environment)
        said += done.stdout + done.stderr
        assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr, (command, done.stderr)
    assert SECRET not in said
    assert place == ".ldsdeps" or "user" in said, said


def test_line_breaks_in_an_address_reach_no_helper(guarded: Published, world: Path) -> None:
    """Behaviour 38."""
    work = guarded.work
    work.write("a.bin", b"a")
    work.commit()
    work.git("switch", "-qc", "lost")
    work.write("lost.bin", pointer_of(b"lost"))
    work.commit()
    work.git("switch", "-q", "main")
    with listening(401, WWW_Authenticate="Basic realm=x") as greedy:
        for bad in ("\\r", "\\n", "%0d", "%0a", "%0D%0Ahost=evil", "\\u0000", "%00"):
            work.write(".ldsconfig", f'[store]\nurl = "{greedy.url}/x{bad}y"\n')
            for command in (("fetch", "origin", "lost"), ("push", "--all")):
                done = work.try_lds(*command, GIT_LDS_CACHE=str(work.path.parent / "empty"))
                assert done.returncode and "Traceback" not in done.stderr and "bug" not in done.stderr, done.stderr
        assert greedy.logins() == []
    assert received(world) == ""


# 39: where files are written


def lazy_clone(dataset: Published, contents: dict[str, bytes]) -> Work:
    """A clone that has pointers only."""
    for name, data in contents.items():
        dataset.work.write(name, data)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    return dataset.work.clone("lazy", source=dataset.bare, GIT_LDS_SKIP_SMUDGE="1")


@pytest.mark.parametrize("verb", ["pull", "checkout"])
def test_nothing_is_written_through_a_link(dataset: Published, tmp_path: Path, verb: str) -> None:
    """Behaviour 39: a directory, a directory above, or the file itself has become a symlink, or the file has a second name."""
    names = ("images/a.png", "images/deep/b.png", "deep/er/c.bin", "d.bin", "e.bin", "f.bin")
    contents = {name: b"contents of " + name.encode() for name in names}
    lazy = lazy_clone(dataset, contents)
    outside = tmp_path / "outside"
    shutil.copytree(lazy.path / "images", outside / "images")
    shutil.copytree(lazy.path / "deep", outside / "deep")
    for name in ("d.bin", "e.bin"):
        shutil.copy(lazy.path / name, outside / name)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    for directory in ("images", "deep"):
        shutil.rmtree(lazy.path / directory)
    (lazy.path / "images").symlink_to(outside / "images")
    (lazy.path / "deep").mkdir()
    (lazy.path / "deep" / "er").symlink_to("../../outside/deep/er")
    (lazy.path / "d.bin").unlink()
    (lazy.path / "d.bin").symlink_to(outside / "d.bin")
    (lazy.path / "e.bin").unlink()
    os.link(outside / "e.bin", lazy.path / "e.bin")
    lazy.lds("fetch")
    done = lazy.try_lds(verb)
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
    assert lazy.read("f.bin") == contents["f.bin"]


@pytest.mark.parametrize(
    "name",
    some_of(
        [".git", ".GIT", ".git ", ".git.", "GIT~1", ".git::$INDEX_ALLOCATION", ".g\u200cit"],
        ".git",
        ".GIT",
        "GIT~1",
        ".g\u200cit",
    ),
)
def test_no_spelling_of_the_git_directory_is_written_to(dataset: Published, tmp_path: Path, name: str) -> None:
    """Behaviour 39, with an index that git itself would not have written, as another program may."""
    lazy = lazy_clone(dataset, {"a.bin": b"a", "evil.bin": b"[core]\n\tfsmonitor = touch pwned\n"})
    blob = lazy.git("rev-parse", "HEAD:evil.bin")
    harmless = name.replace("g", "h").replace("G", "H")
    for path in (f"{harmless}/config", f"images/{harmless}/config", f"deep/{harmless}"):
        lazy.git("-c", "core.protectNTFS=false", "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
    index = lazy.path / ".git" / "index"
    data = index.read_bytes()[:-20].replace(harmless.encode(), name.encode())
    index.write_bytes(data + hashlib.sha1(data).digest())
    before = sorted((lazy.path / ".git").iterdir())
    config = lazy.read(".git/config")
    lazy.lds("fetch")
    for verb in ("pull", "checkout"):
        done = lazy.try_lds(verb)
        assert "Traceback" not in done.stderr and "this is a bug" not in done.stderr
    assert lazy.read(".git/config") == config and not list(tmp_path.rglob("pwned"))
    assert {*(lazy.path / ".git").iterdir()} - {*before} <= {lazy.path / ".git" / "lds"}
    written = [path for path in lazy.path.rglob("*") if path.name in (name, "config")]
    assert set(written) <= {lazy.path / ".git", lazy.path / ".git" / "config"}


def test_names_cannot_paint_the_terminal(dataset: Published) -> None:
    """Names from a repository are shown on one line and without control characters."""
    work = dataset.work
    name = "\x1b]0;owned\x07\x1b[2J\nfake: \u202elaugh.bin"
    work.write(name, b"a")
    said = everyday(work)
    work.write("\x9b31m lost \x1b[31m.bin", pointer_of(b"lost"))
    work.commit()
    for command in (
        (LAUNCHER, "status"),
        (LAUNCHER, "ls-files", "-l"),
        (LAUNCHER, "push"),
        (LAUNCHER, "pull"),
        ("git", "push", "origin", "HEAD"),
    ):
        done = work.try_run(*command)
        said += done.stdout + done.stderr
    assert "lost" in said
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e"}


# 41: the server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[str]:
    """The URL of a server for the stores in tmp_path/stores alone."""
    (tmp_path / "stores").mkdir()
    with running_server(tmp_path / "stores") as url:
        yield url


def test_a_server_gives_and_takes_nothing_outside_of_its_stores(own_server: str, tmp_path: Path) -> None:
    """Behaviour 41, from outside; tests/server has the rest."""
    (tmp_path / "secret").write_text("a secret")
    (tmp_path / "stores" / "secret").write_text("a secret")
    body = packed(b"body")
    pack = pack_of(body)
    before = sorted(tmp_path.rglob("*"))
    for target in (
        "/../secret",
        "/x/../../secret",
        "/%2e%2e/secret",
        "/x/%2e%2e%2f%2e%2e%2fsecret",
        "/x//secret",
        "//secret",
        "/x/..\\..\\secret",
        f"/{tmp_path}/secret",
        "/secret",
        f"/../{pack}",
        f"/x/../../{pack}",
        f"/.hidden/{pack}",
        f"/x/tmp/{pack}",
        f"/x/{pack}/../../../../secret",
        f"/x/{pack}%00",
        "http://127.0.0.1/../secret",
    ):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            reply = ask(own_server, method, target, b"body" if method == "PUT" else None)
            assert 400 <= reply.status < 500 and b"a secret" not in reply.body, (method, target, reply)
    assert sorted(tmp_path.rglob("*")) == before
    assert ask(own_server, "PUT", f"/x/{pack}", b"other").status == 422
    assert ask(own_server, "GET", f"/x/{pack}").status == 404
    assert ask(own_server, "PUT", f"/x/{pack}", body).status == 201
    assert ask(own_server, "GET", f"/x/{pack}").body == body
