"""Contributions through a fork: its store gets the objects, reviewers read them there, and the merge copies them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit.datasets import Dataset, new_consumer, opened
from kit.git_http import serving_git
from kit.lds_server import serving
from kit.work import Work, pointer_of, random_bytes

from git_lds.deps.contribute.contribute import contribute
from git_lds.deps.contribute.edits import Options
from git_lds.deps.update.add import import_path
from git_lds.deps.upstream import forges
from git_lds.errors import LdsError

LARGE = random_bytes(3, 300_000)


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose name no other test has: the stores of all tests are at one server."""
    return tmp_path_factory.mktemp("forks")


@pytest.fixture
def there(tmp_path: Path, installed: None, shared_server: tuple[str, Path]) -> Dataset:
    """A dataset whose store is behind a server."""
    url, _ = shared_server
    bare, work = tmp_path / "git" / "A.git", Work(tmp_path / "A")
    work.path.mkdir()
    work.git("init", "-q", "--bare", str(bare))
    work.git("init", "-q")
    work.git("remote", "add", "origin", str(bare))
    work.lds("init", "--store", f"{url}/{tmp_path.name}-main")
    work.lds("track", "images/**")
    there = Dataset(work, bare)
    there.publish({"images/a.png": "a", "images/b.png": "b", "code/x.py": "x = 1\n"})
    return there


def in_store(shared_server: tuple[str, Path], name: str) -> Path:
    return shared_server[1] / name


def fixed(tmp_path: Path, url: str) -> Work:
    """A project that imports the dataset and has a fix."""
    here = new_consumer(tmp_path)
    with opened(here) as repo:
        import_path(repo, url, "images", output="data/images")
    here.commit("import")
    here.write("data/images/a.png", LARGE)
    here.commit("Fix a")
    return here


def fresh_clone(there: Dataset, name: str, world: Path, *options: str) -> Work:
    shutil.rmtree(world / "cache", ignore_errors=True)
    return there.work.clone(name, *options, source=there.bare)


@pytest.mark.parametrize("how", ["a remote's store", "--store", "the fork's own .ldsconfig"])
def test_a_fix_through_a_fork_reaches_clones_of_the_main_repository(
    there: Dataset, tmp_path: Path, world: Path, shared_server: tuple[str, Path], how: str
) -> None:
    """The maintainer reads the store of the fork only through git's configuration, or not at all."""
    url, root = shared_server
    store = f"{url}/{tmp_path.name}-fork"
    fork = tmp_path / "git" / "fork.git"
    there.work.git("clone", "-q", "--bare", str(there.bare), str(fork))
    there.publish({"code/x.py": "x = 2\n", "code/y.py": "y\n", "images/new.png": "new"})  # which the fork does not have
    if how.startswith("the fork"):
        own = there.work.clone("own", source=fork)
        own.write(".ldsconfig", f'[store]\nurl = "{store}"\n')
        own.commit("A store of its own")
        own.git("push", "-q", "origin", "main")
    here = fixed(tmp_path, there.url)
    here.git("remote", "add", "fork", str(fork))
    if how.startswith("a remote"):
        here.git("config", "remote.fork.ldsstore", store)
    before = set((root / f"{tmp_path.name}-main").rglob("*"))
    with opened(here) as repo:
        done = contribute(repo, "data/images", Options(remote="fork", store=store if how == "--store" else None))
    assert (done.plan.destination.target, done.plan.destination.store, done.uploaded) == (str(fork), store, 1)
    assert set((root / f"{tmp_path.name}-main").rglob("*")) == before
    branch = done.plan.destination.branch
    assert Work(there.bare).git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert Work(fork).committed("images/a.png", branch) == pointer_of(LARGE)
    assert Work(fork).git("fsck", "--no-dangling") == ""
    with opened(here) as repo:
        assert not contribute(repo, "data/images", Options(remote="fork", store=store)).plan.commits

    maintainer = fresh_clone(there, "maintainer", world)
    maintainer.git("remote", "add", "them", str(fork))
    if not how.startswith("the fork"):
        maintainer.git("config", "remote.them.ldsstore", store)
    maintainer.git("fetch", "-q", "them")
    maintainer.git("merge", "-q", "--no-ff", "-m", "Merge the fix", f"them/{branch}", GIT_LDS_SKIP_SMUDGE="1")
    maintainer.git("push", "-q", "origin", "main")
    (root / f"{tmp_path.name}-fork").rename(root / f"{tmp_path.name}-away")
    fork.rename(tmp_path / "away.git")
    clone = fresh_clone(there, "clone", world)
    assert clone.read("images/a.png") == LARGE and clone.is_clean()


def test_an_object_that_only_a_fork_has_is_read_from_its_store(
    there: Dataset, tmp_path: Path, world: Path, shared_server: tuple[str, Path]
) -> None:
    fork = tmp_path / "git" / "fork.git"
    store = f"{shared_server[0]}/{tmp_path.name}-fork"
    there.work.git("clone", "-q", "--bare", str(there.bare), str(fork))
    here = fixed(tmp_path, there.url)
    with opened(here) as repo:
        branch = contribute(repo, "data/images", Options(remote=str(fork), store=store)).plan.destination.branch
    reviewer = fresh_clone(there, "reviewer", world)
    reviewer.git("remote", "add", "them", str(fork))
    reviewer.git("fetch", "-q", "them")
    assert "images/a.png" in reviewer.try_git("checkout", "-q", f"them/{branch}").stderr
    reviewer.git("checkout", "-qf", "main")
    reviewer.git("config", "remote.them.ldsstore", store)
    reviewer.git("checkout", "-q", f"them/{branch}")
    assert reviewer.read("images/a.png") == LARGE and reviewer.is_clean()


def test_over_http_with_a_store_of_its_own(there: Dataset, tmp_path: Path, world: Path) -> None:
    """A git server and a store, both over HTTP. The user may not push to the first."""
    fork = tmp_path / "git" / "fork.git"
    there.work.git("clone", "-q", "--bare", str(there.bare), str(fork))
    Work(fork).git("config", "http.receivepack", "true")
    with serving_git(tmp_path / "git") as (url, seen):
        here = fixed(tmp_path, f"{url}/A.git")
        with opened(here) as repo, pytest.raises(LdsError) as failed:
            contribute(repo, "data/images")
        assert "cannot push lds/ada-test/data-images" in failed.value.message and "403" in failed.value.message
        assert failed.value.hint is not None and "--remote" in failed.value.hint
        seen.clear()
        with opened(here) as repo:
            done = contribute(repo, "data/images", Options(remote=f"{url}/fork.git"))
        assert len(seen) <= 12, seen
        # `insteadOf` and its like are the user's own word, for pushes apart
        world_config = world / ".gitconfig"
        world_config.write_text(world_config.read_text() + f'[url "{tmp_path}/git/"]\n\tpushInsteadOf = {url}/\n')
        with opened(here) as repo:
            assert contribute(repo, "data/images", Options(branch="by-path")).written
    assert Work(fork).committed("images/a.png", done.plan.destination.branch) == pointer_of(LARGE)
    assert Work(there.bare).committed("images/a.png", "by-path") == pointer_of(LARGE)


def test_invalid_forks_are_refused(there: Dataset, tmp_path: Path) -> None:
    here = fixed(tmp_path, there.url)
    for remote, says in (
        ("unknown", "no such remote"),
        ("ext::touch ran", "would start a helper"),
        ("--upload-pack=touch ran", "not the URL"),
        ("http://example.org/x.git", "http is used only on this machine"),
        ("https://user:secret@example.org/x.git", "must not hold a password"),
        (str(tmp_path / "absent.git"), "cannot read"),
    ):
        with opened(here) as repo, pytest.raises(LdsError) as failed:
            contribute(repo, "data/images", Options(remote=remote))
        assert says in failed.value.message and "\n" not in failed.value.message
    assert not (here.path / "ran").exists()


@pytest.mark.parametrize(
    ("upstream", "target", "page"),
    [
        ("https://github.com/o/r.git", "", "https://github.com/o/r/compare/main...lds/a/b-%C3%BC?expand=1"),
        (
            "git@github.com:o/r.git",
            "https://github.com/me/r",
            "https://github.com/o/r/compare/main...me:lds/a/b-%C3%BC?expand=1",
        ),
        (
            "ssh://git@gitlab.com:22/group/sub/r.git",
            "",
            "https://gitlab.com/group/sub/r/-/merge_requests/new?"
            "merge_request%5Bsource_branch%5D=lds%2Fa%2Fb-%C3%BC&merge_request%5Btarget_branch%5D=main",
        ),
        ("https://codeberg.org/o/r.git", "", "https://codeberg.org/o/r/compare/main...lds/a/b-%C3%BC"),
        (
            "https://bitbucket.org/o/r.git",
            "",
            "https://bitbucket.org/o/r/pull-requests/new?source=lds%2Fa%2Fb-%C3%BC&t=1&dest=main",
        ),
        ("https://github.com/o/r.git", "https://gitlab.com/me/r.git", None),
        ("https://example.org/o/r.git", "", None),
        ("/srv/git/r.git", "", None),
        ("https://github.com/r", "", None),
    ],
)
def test_the_page_of_a_known_host(upstream: str, target: str, page: str | None) -> None:
    assert forges.compare_page(upstream, target or upstream, "main", "lds/a/b-ü") == page


def test_a_store_that_the_user_may_not_write_to(there: Dataset, tmp_path: Path, world: Path) -> None:
    root = tmp_path / "guarded"
    with serving(root, users={"ada": "secret"}, allow_anonymous=False) as served:
        here = fixed(tmp_path, there.url)
        with opened(here) as repo, pytest.raises(LdsError) as failed:
            contribute(repo, "data/images", Options(store=f"{served.url}/main"))
    assert "nothing was pushed" in failed.value.message and "--store URL" in str(failed.value.hint)
    assert Work(there.bare).git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
