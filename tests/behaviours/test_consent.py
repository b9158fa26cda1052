"""Whom a repository may have the user send what to: an adversary's repository against real stores, and what consent is."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.lds_server import serving
from kit.matrix import some_of
from kit.published import Published, with_store
from kit.seaweed import Seaweed
from kit.work import Work, add_remote, new_bare, pointer_of, random_bytes

_HOW = ("merge with a conflict", "squash")
_OTHER_ANSWERS = [(b"YES", True), (b"", False), (b"maybe", False)]

SECRET = b"what is not for everybody"
LARGE_SECRET = random_bytes(77, 300_000)


@pytest.fixture
def private(new_work: Callable[..., Work], tmp_path: Path) -> Published:
    """The victim's own dataset, whose store is a directory, with two objects in it."""
    work = new_work("private")
    store = tmp_path / "private store"
    private = Published(work, tmp_path / "private.git", store)
    new_bare(private.bare)
    add_remote(work, private.bare)
    work.lds("init", "--store", str(store))
    work.write("a.bin", SECRET)
    work.write("b.bin", LARGE_SECRET)
    work.commit()
    work.git("push", "-q", "origin", "main")
    return private


def hostile(
    new_work: Callable[..., Work], tmp_path: Path, files: dict[str, str], store: str | None = None
) -> Published:
    """A stranger's repository with a store of its own that holds pointers to the victim's objects."""
    work = new_work("stranger")
    bare = tmp_path / "stranger.git"
    new_bare(bare)
    add_remote(work, bare)
    for name, text in files.items():
        work.write(name, text)
    for name, data in (("data/a.bin", SECRET), ("data/b.bin", LARGE_SECRET)):
        work.write(name, pointer_of(data))
    work.commit()
    work.git("push", "-q", "--no-verify", "origin", "main")
    return Published(work, bare, Path(store) if store else bare / "lds")


def pushed_by_the_victim(
    stranger: Published, name: str = "victim", source: str | Path | None = None
) -> tuple[Work, str]:
    """Clone what the stranger has, commit a file, and push; return the clone and what the push said."""
    work = Work(stranger.work.path.with_name(name))
    stranger.work.try_git("clone", "-q", str(source or stranger.bare), str(work.path))
    work.write("mine.txt", "hello\n")
    work.git("add", "mine.txt")
    work.git("commit", "-qm", "mine")
    return work, work.try_git("push", "-q", "origin", "main").stderr


def assert_not_leaked(stranger: Published) -> None:
    assert not stranger.gives(SECRET) and not stranger.gives(LARGE_SECRET)


@pytest.mark.parametrize("how", some_of(["read", "vendored dependency", "cache alone"], "read", "cache alone"))
def test_a_directory_that_only_a_strangers_files_name_is_not_copied_from(
    private: Published, new_work: Callable[..., Work], tmp_path: Path, world: Path, how: str
) -> None:
    files = {
        "read": {".ldsconfig": f'[store]\nread = ["{private.store}"]\n'},
        "vendored dependency": {
            ".ldsdeps": f'version = 1\n\n[deps."data"]\nurl = "https://example.org/x.git"\npath = "data"\nrev = "main"\n'
            f'commit = "{"1" * 40}"\ntree = "{"2" * 40}"\nstore = "{private.store}"\nvendor = true\n'
        },
        "cache alone": {},
    }[how]
    stranger = hostile(new_work, tmp_path, files)
    if how == "cache alone":
        private.elsewhere("reader", cache=world / "cache")  # the user's cache has all of it
    work, said = pushed_by_the_victim(stranger)
    assert_not_leaked(stranger)
    assert "a.bin" in said and "b.bin" in said
    if how != "cache alone":
        # what the push brings itself refuses it, and says how to agree
        work.git("update-ref", "-d", "refs/remotes/origin/main")
        done = work.try_lds("push", "origin", "main")
        assert done.returncode == 1 and f"hint: if you trust it: git lds trust '{private.store}'" in done.stderr
        assert_not_leaked(stranger)
        work.lds("trust", str(private.store))
        work.lds("push", "origin", "main")
        assert stranger.gives(SECRET, LARGE_SECRET)


def test_credentials_are_not_used_to_copy_from_a_store_that_only_a_strangers_files_name(
    new_work: Callable[..., Work], tmp_path: Path, world: Path
) -> None:
    (tmp_path / "stores").mkdir()
    with serving(tmp_path / "stores", users={"ada": "secret"}) as server:
        url = server.url
        work = new_work("private")
        work.git("config", "--global", "credential.helper", "!f() { echo username=ada; echo password=secret; }; f")
        private = with_store(work, tmp_path / "stores" / "private", f"{url}/private")
        work.write("a.bin", SECRET)
        work.write("b.bin", LARGE_SECRET)
        work.commit()
        work.git("push", "-q", "origin", "main")
        assert private.gives(SECRET, LARGE_SECRET)
        stranger = hostile(new_work, tmp_path, {".ldsconfig": f'[store]\nread = ["{url}/private"]\n'})
        victim, said = pushed_by_the_victim(stranger)
        assert victim.read("data/a.bin") == SECRET  # it may be read
        assert_not_leaked(stranger)
        assert f"{url}/private" in said or "a.bin" in said
        victim.lds("trust", f"{url}")
        victim.lds("push", "--all")
        assert stranger.gives(SECRET, LARGE_SECRET)


def test_a_bucket_that_only_a_strangers_files_name_is_not_copied_from(
    new_work: Callable[..., Work], tmp_path: Path, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys for it are in the user's environment, for everything that runs there."""
    for name, value in seaweed.environment().items():
        monkeypatch.setenv(name, value)
    address = seaweed.new_store()
    work = new_work("private")
    private = Published(work, tmp_path / "private.git", tmp_path / "nowhere")
    new_bare(private.bare)
    add_remote(work, private.bare)
    work.lds("init", "--store", address)
    work.write("a.bin", SECRET)
    work.write("b.bin", LARGE_SECRET)
    work.commit()
    work.git("push", "-q", "origin", "main")
    stranger = hostile(new_work, tmp_path, {".ldsconfig": f'[store]\nread = ["{address}"]\n'})
    victim, _ = pushed_by_the_victim(stranger)
    assert victim.read("data/a.bin") == SECRET  # it may be read
    assert_not_leaked(stranger)
    victim.lds("trust", address)
    victim.lds("push", "--all")
    assert stranger.gives(SECRET, LARGE_SECRET)


def test_what_a_store_gives_to_everybody_is_copied_without_asking(
    new_work: Callable[..., Work], tmp_path: Path, world: Path
) -> None:
    (tmp_path / "stores").mkdir()
    with serving(tmp_path / "stores") as server:
        url = server.url
        work = new_work("public")
        with_store(work, tmp_path / "stores" / "public", f"{url}/public")
        work.write("a.bin", SECRET)
        work.write("b.bin", LARGE_SECRET)
        work.commit()
        work.git("push", "-q", "origin", "main")
        shutil.rmtree(world / "cache")
        other = hostile(new_work, tmp_path, {".ldsconfig": f'[store]\nread = ["{url}/public"]\n'})
        _, said = pushed_by_the_victim(other)
        assert other.gives(SECRET, LARGE_SECRET) and "warning" not in said


def test_a_directory_that_a_repository_from_elsewhere_names_is_not_even_read(
    private: Published, new_work: Callable[..., Work], tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = hostile(new_work, tmp_path, {".ldsconfig": f'[store]\nread = ["{private.store}"]\n'})
    shutil.rmtree(world / "cache")
    work = Work(tmp_path / "victim")
    stranger.work.git("clone", "-q", str(stranger.bare), str(work.path), GIT_LDS_SKIP_SMUDGE="1")
    work.git("remote", "set-url", "origin", "https://example.org/stranger.git")
    done = work.try_lds("pull")
    assert done.returncode == 1 and f"git lds trust '{private.store}'" in done.stderr, done.stderr
    assert work.read("data/a.bin") == pointer_of(SECRET)
    work.lds("trust", str(private.store))
    work.lds("pull")
    assert work.read("data/a.bin") == SECRET and work.read("data/b.bin") == LARGE_SECRET


# the address of the store changes


def changed_by(dataset: Published, other: Work, store: Path) -> str:
    """Somebody else changes the address of the store, and pushes that; return the commit."""
    other.git("config", "user.name", "Mallory")
    other.write(".ldsconfig", f'[store]\nurl = "{store}"\n')
    commit = other.commit("Faster store")
    other.git("push", "-q", "--no-verify", "origin", "main")
    return commit


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
def test_a_pulled_change_of_the_stores_address_sends_nothing_before_the_user_agrees(
    dataset: Published, tmp_path: Path
) -> None:
    work = dataset.work
    work.write("a.bin", b"a")
    work.commit()
    work.git("push", "-q", "-u", "origin", "main")
    clone = dataset.elsewhere("clone")
    other = dataset.elsewhere("other")
    new = Published(work, dataset.bare, tmp_path / "new store")
    other.git("init", "-q", str(tmp_path / "unused"))
    Work(tmp_path / "unused").lds("init", "--store", str(new.store))
    commit = changed_by(dataset, other, new.store)
    for victim in (work, clone):
        victim.git("pull", "-q", "--rebase")
        victim.write(f"{victim.path.name}.bin", b"mine")
        victim.commit()
        done = victim.try_git("push", "-q", "origin", "HEAD:refs/heads/" + victim.path.name)
        assert done.returncode != 0 and new.entries() == 0
        assert commit[:7] in done.stderr and "Mallory" in done.stderr and str(new.store) in done.stderr
        assert f"hint: if you trust it: git lds trust '{new.store}'" in done.stderr
    work.lds("trust", str(new.store))
    work.git("push", "-q", "origin", "main")
    assert new.gives(b"a", b"mine")


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
@pytest.mark.parametrize("how", some_of(["commit", "amend", "rebased"], "rebased"))
def test_a_change_of_the_stores_address_that_was_made_here_needs_no_more_words(
    dataset: Published, tmp_path: Path, how: str
) -> None:
    work = dataset.work
    work.write("a.bin", b"a")
    work.commit()
    work.git("push", "-q", "-u", "origin", "main")
    new = Published(work, dataset.bare, tmp_path / "new store")
    new_bare(tmp_path / "unused")
    Work(tmp_path / "unused").git("init", "-q", "../made")
    Work(tmp_path / "made").lds("init", "--store", str(new.store))
    if how == "rebased":
        other = dataset.elsewhere("other")
        other.write("their.txt", "theirs")
        other.commit()
        other.git("push", "-q", "origin", "main")
    work.write(".ldsconfig", f'[store]\nurl = "{new.store}"\n')
    work.write("plain.txt", "plain")
    work.commit("Another store")
    if how == "amend":
        work.git("commit", "-q", "--amend", "-m", "Yet another store")
    if how == "rebased":
        work.git("pull", "-q", "--rebase")
    work.git("push", "-q", "origin", "main")
    assert new.gives(b"a")


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
@pytest.mark.parametrize("how", some_of(["merge with a conflict", "squash", "amend", "not committed"], *_HOW))
def test_a_change_of_the_stores_address_that_was_only_committed_here_is_somebody_elses(
    dataset: Published, tmp_path: Path, how: str
) -> None:
    work = dataset.work
    work.write("a.bin", b"a")
    work.write("both.txt", "base\n")
    work.commit()
    work.git("push", "-q", "-u", "origin", "main")
    other = dataset.elsewhere("other")
    new = Published(work, dataset.bare, tmp_path / "new store")
    other.git("init", "-q", str(tmp_path / "unused"))
    Work(tmp_path / "unused").lds("init", "--store", str(new.store))
    other.write("both.txt", "theirs\n")
    changed_by(dataset, other, new.store)
    work.write("mine.bin", b"mine")
    if how == "merge with a conflict":
        work.write("both.txt", "ours\n")
        work.commit()
        assert work.try_git("pull", "-q", "--no-rebase").returncode != 0
        work.write("both.txt", "both\n")
    elif how == "squash":
        work.git("fetch", "-q")
        work.git("merge", "-q", "--squash", "origin/main")
    elif how == "amend":
        work.git("fetch", "-q")
        work.git("reset", "-q", "--hard", "origin/main")
        work.write("mine.bin", b"mine")
    else:
        work.git("fetch", "-q")
        work.git("rm", "-q", ".ldsconfig")
        work.commit("No store")
        work.git("checkout", "-q", "origin/main", "--", ".ldsconfig")
        work.git("reset", "-q")
    if how == "not committed":
        work.git("add", "mine.bin")
    else:
        work.git("add", "-A")
    work.git("commit", "-q", *(["--amend", "-m", "mine"] if how == "amend" else ["-m", "mine", "--allow-empty"]))
    done = work.try_git("push", "-q", "--force", "origin", "main:refs/heads/mine")
    assert done.returncode != 0 and f"git lds trust '{new.store}'" in done.stderr, done.stderr
    assert new.entries() == 0


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
def test_the_settings_of_the_commit_that_is_pushed_count(dataset: Published, tmp_path: Path) -> None:
    """Whoever clones it has these, whatever is checked out or edited here."""
    work = dataset.work
    work.write("a.bin", b"a")
    work.commit()
    work.git("push", "-q", "origin", "main")
    new = Published(work, dataset.bare, tmp_path / "new store")
    Work(tmp_path).git("init", "-q", "made")
    Work(tmp_path / "made").lds("init", "--store", str(new.store))
    work.git("switch", "-qc", "move")
    work.write(".ldsconfig", f'[store]\nurl = "{new.store}"\n')
    work.write("b.bin", b"b")
    work.commit("move")
    work.git("switch", "-q", "main")
    work.git("push", "-q", "origin", "move")
    assert new.gives(b"a", b"b")
    work.write(".ldsconfig", f'[store]\nurl = "{new.store}"\n')
    work.write("c.bin", b"c")
    work.git("add", "c.bin")
    work.git("commit", "-qm", "c")
    work.git("push", "-q", "origin", "main")
    assert dataset.gives(b"a", b"c") and not new.gives(b"c")


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
def test_a_store_is_not_moved_from_a_clone_without_what_the_old_one_has(dataset: Published, tmp_path: Path) -> None:
    work = dataset.work
    work.write("a.bin", b"a")
    work.write("large.bin", LARGE_SECRET)
    work.commit()
    work.git("push", "-q", "origin", "main")
    clone = dataset.elsewhere("clone")
    refs = dataset.refs()
    new = Published(work, dataset.bare, tmp_path / "new store")
    clone.write(".ldsconfig", "")
    clone.lds("init", "--store", str(new.store))
    clone.commit("move")
    done = clone.try_git("push", "-q", "origin", "main")
    assert done.returncode != 0 and dataset.refs() == refs, done.stderr
    assert f"hint: if you trust it: git lds trust '{dataset.store}'" in done.stderr
    clone.lds("trust", str(dataset.store))
    clone.git("push", "-q", "origin", "main")
    assert new.gives(b"a", LARGE_SECRET)


def test_a_file_that_is_moved_is_not_added_anew(private: Published, new_work: Callable[..., Work], world: Path) -> None:
    """Its contents are here for another repository, and its pointer is a stranger's."""
    private.elsewhere("reader", cache=world / "cache")
    stranger = hostile(new_work, private.bare.parent, {})
    victim = Work(private.bare.parent / "victim")
    victim_clone = stranger.work.try_git("clone", "-q", str(stranger.bare), str(victim.path))
    assert victim_clone.returncode == 0 and victim.read("data/a.bin") == SECRET
    (victim.path / "data").rename(victim.path / "moved")
    victim.commit("moved")
    assert "moved/a.bin" in victim.try_git("push", "-q", "origin", "main").stderr
    assert_not_leaked(stranger)
    # nor where the push brings it
    victim.git("update-ref", "-d", "refs/remotes/origin/main")
    done = victim.try_lds("push", "origin", "main")
    assert done.returncode == 1 and "moved/a.bin" in done.stderr
    assert_not_leaked(stranger)


@pytest.mark.parametrize(
    "url", ["file://{}", "FILE://{}", "File:///localhost/..{}", "fiLe://localhost{}", "{}", "{}/../private store"]
)
def test_every_spelling_of_a_directory_is_one(work: Work, tmp_path: Path, url: str) -> None:
    from git_lds.config.settings import StoreSetting
    from git_lds.consent import is_inside
    from git_lds.repo import Repo

    address = url.format(tmp_path / "private store")
    assert is_inside(address)
    work.git("remote", "add", "origin", "https://example.org/x.git")
    work.lds("trust", str(tmp_path / "private"), "https://example.org/ok")
    work.git("config", "--add", "lds.trust", "")
    with Repo.here(work.path) as repo:
        assert not repo.consent.may_ask(StoreSetting(address, ".ldsconfig", trusted=False))
        for other in (
            f"{tmp_path}/private/../private store",
            "https://example.org/ok/../x",
            "https://example.org/ok/%2e%2e/x",
        ):
            assert not repo.consent.trusts(other)
        assert repo.consent.trusts("HTTPS://Example.org/ok/y")


def test_a_fresh_clone_pushes_to_the_store_that_it_came_with(dataset: Published) -> None:
    dataset.work.write("a.bin", b"a")
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    clone = dataset.elsewhere("clone")
    clone.write("b.bin", b"b")
    clone.commit()
    clone.git("push", "-q", "origin", "main")
    assert dataset.gives(b"a", b"b")


def test_a_mirror_sends_nothing_to_a_store_that_its_repository_moved_to_since(
    private: Published, tmp_path: Path
) -> None:
    """It has no reflog that could tell what it was cloned with."""
    mirror = Work(tmp_path / "mirror.git")
    private.work.git("clone", "-q", "--mirror", str(private.bare), str(mirror.path))
    mirror.lds("fetch", "--all")
    new = Published(private.work, private.bare, tmp_path / "new store")
    Work(tmp_path).git("init", "-q", "made")
    Work(tmp_path / "made").lds("init", "--store", str(new.store))
    changed_by(private, private.elsewhere("other"), new.store)
    mirror.git("remote", "update")
    new_bare(tmp_path / "backup.git")
    mirror.lds("install", "--local")
    done = mirror.try_git("push", "-q", str(tmp_path / "backup.git"), "main")
    assert done.returncode != 0 and f"git lds trust '{new.store}'" in done.stderr, done.stderr
    assert new.entries() == 0


def test_what_was_pulled_from_elsewhere_into_a_repository_without_remotes_is_a_strangers(work: Work) -> None:
    from git_lds.config.settings import StoreSetting
    from git_lds.repo import Repo

    setting = StoreSetting("/somewhere/private", ".ldsconfig", trusted=False)
    for address, may_be_asked in ((None, True), ("https://example.org/x", False), ("/srv/git/x", True)):
        if address is not None:
            work.write(".git/FETCH_HEAD", f"{'1' * 40}\t\tbranch 'main' of {address}\n")
        with Repo.here(work.path) as repo:
            assert repo.consent.may_ask(setting) == may_be_asked, address
    # `git pull URL` without a branch: git writes the URL alone
    work.write(".git/FETCH_HEAD", f"{'1' * 40}\t\thttps://example.org/x\n")
    with Repo.here(work.path) as repo:
        assert not repo.consent.may_ask(setting)


# git lds trust


def test_trust_lists_adds_and_removes(work: Work, tmp_path: Path) -> None:
    assert work.lds("trust") == ""
    work.lds("trust", "https://store.example.org/", "../elsewhere")
    work.lds("trust", "--global", "https://everywhere.example.org")
    work.lds("trust", "https://store.example.org")  # twice is once
    listed = work.lds("trust").splitlines()
    assert [line.split("  ")[0] for line in listed] == [
        "https://everywhere.example.org",
        "https://store.example.org",
        str(tmp_path / "elsewhere"),
    ]
    work.lds("trust", "--remove", "https://store.example.org")
    work.lds("trust", "--remove", "--global", "https://everywhere.example.org/")
    assert work.lds("trust").startswith(str(tmp_path / "elsewhere"))
    work.lds("trust", "--remove", "../elsewhere")
    assert work.lds("trust") == ""
    done = work.try_lds("trust", "--remove", "https://store.example.org")
    assert done.returncode == 1 and "git lds trust" in done.stderr


@pytest.mark.parametrize(
    "address", ["-x", "", "ftp://x", "https://user:hunter2@example.org", "x\ny", "https://example.org/%0a"]
)
def test_trust_refuses_what_is_no_address(work: Work, address: str) -> None:
    done = work.try_lds("trust", "--", address)
    assert done.returncode == 2 and done.stderr.startswith("git-lds: ") and "hunter2" not in done.stderr
    assert work.lds("trust") == ""


def test_trust_holds_for_stores_below_an_address_and_for_no_other(work: Work) -> None:
    from git_lds.repo import Repo

    work.lds("trust", "https://example.org/lds", "/stores/a")
    with Repo.here(work.path) as repo:
        for url in (
            "https://example.org/lds",
            "https://example.org/lds/",
            "https://example.org/lds/x/y",
            "file:///stores/a",
        ):
            assert repo.consent.trusts(url), url
        for url in ("https://example.org/ldsx", "https://example.org", "https://evil.org/lds", "/stores/ab", "/stores"):
            assert not repo.consent.trusts(url), url


# asked on a terminal


def on_a_terminal(work: Work, answer: bytes, *command: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, on which `answer` is typed when a question stands there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(work.path)
        os.execvpe(command[0], command, {**os.environ, "GIT_TERMINAL_PROMPT": "1"})
    said, asked = b"", False
    with contextlib.suppress(OSError):  # EIO is how a terminal ends
        while block := os.read(terminal, 4096):
            said += block
            if not asked and said.endswith(b"[y/N] "):
                asked = True
                os.write(terminal, answer + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


@pytest.mark.parametrize(
    ("answer", "agrees"),
    [(b"y", True), (b"n", False), *(pytest.param(*each, marks=pytest.mark.slow) for each in _OTHER_ANSWERS)],
)
def test_a_push_on_a_terminal_asks_and_goes_on_when_the_user_agrees(
    private: Published, new_work: Callable[..., Work], tmp_path: Path, answer: bytes, agrees: bool
) -> None:
    stranger = hostile(new_work, tmp_path, {".ldsconfig": f'[store]\nread = ["{private.store}"]\n'})
    work = Work(tmp_path / "victim")
    stranger.work.git("clone", "-q", str(stranger.bare), str(work.path), GIT_LDS_SKIP_SMUDGE="1")
    work.lds("init")
    second = Published(work, tmp_path / "second.git", tmp_path / "second.git" / "lds")
    new_bare(second.bare)
    add_remote(work, second.bare, "second")
    status, said = on_a_terminal(work, answer, "git", "push", "-q", "second", "HEAD:main")
    assert f"Trust {private.store} in this repository? [y/N]" in said
    assert (status == 0) == agrees == bool(second.refs()), said
    assert second.gives(SECRET, LARGE_SECRET) == agrees
    assert (str(private.store) in work.lds("trust")) == agrees
