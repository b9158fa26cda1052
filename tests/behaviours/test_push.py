"""Push: what the pushed commits point to is in the store before any ref moves, whatever is pushed and wherever to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from kit.matrix import some_of, some_rows
from kit.published import PLACES, Published, change
from kit.work import LAUNCHER, Work, pointer_of, random_bytes

CLOSED = "http://127.0.0.1:9/nothing"
"""A store that cannot be reached: every request fails."""

CONTENTS = {
    "tiny.bin": b"x",
    "images/edge.png": random_bytes(1, 128 << 10),
    "images/over.png": random_bytes(2, (128 << 10) + 1),
    "images/large.png": random_bytes(3, 3 << 20),
    "empty.bin": b"",
    "plain.txt": b"git's own\n",
}


everywhere = pytest.mark.parametrize("dataset", some_of(PLACES), indirect=True)
unconfigured = pytest.mark.parametrize("dataset", some_of(["remote", "server"]), indirect=True)
"""With a store that is set up, and with none."""


def silent(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command that worked said nothing."""
    return (done.returncode, done.stdout, done.stderr) == (0, "", "")


# what a push does


@pytest.mark.parametrize("dataset", PLACES, indirect=True)
def test_everything_is_in_the_store_before_the_ref_moves(dataset: Published) -> None:
    """Behaviour 17: git's own hook on the other side looks at the store, just before the ref moves."""
    for name, data in CONTENTS.items():
        dataset.work.write(name, data)
    dataset.work.commit()
    seen = dataset.bare / "seen"
    hook = dataset.bare / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nls '{dataset.store}/log' > '{seen}' 2>&1\n")
    hook.chmod(0o755)
    dataset.work.git("push", "-q", "origin", "main")
    assert seen.read_text().split()[-2:] == [f"{0:020}", "HEAD"]
    assert dataset.entries() == 1
    reader = dataset.assert_gives(CONTENTS)
    assert dataset.work.leftovers() == [] and reader.leftovers() == []


def test_nothing_to_do_prints_nothing(dataset: Published) -> None:
    """Behaviour 17. Where no ref moves, a store that cannot be reached is not even asked."""
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main")
    before = dataset.keys()
    assert silent(dataset.work.try_git("push", "-q", "origin", "main", GIT_LDS_STORE=CLOSED))
    assert silent(dataset.work.try_lds("hook", "pre-push", "origin", str(dataset.bare), input="", GIT_LDS_STORE=CLOSED))
    change(dataset.work, "plain.txt")
    assert silent(dataset.work.try_git("push", "-q", "origin", "main"))
    assert dataset.keys() == before


def test_a_repository_that_tracks_nothing_needs_no_store(new_work: Callable[..., Work], tmp_path: Path) -> None:
    """Behaviour 17."""
    work = new_work(track=())
    work.lds("install")
    work.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    work.git("remote", "add", "origin", "ada@elsewhere:bare.git")
    change(work, "plain.txt")
    assert silent(work.try_git("push", "-q", "origin", "main", GIT_SSH_COMMAND=fake_ssh(tmp_path)))
    assert not (tmp_path / "bare.git" / "lds").exists()


def test_what_was_uploaded_is_said_in_one_line(dataset: Published) -> None:
    change(dataset.work, "a.bin", "b.bin")
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.splitlines() == [
        f"git-lds: uploaded 2 files ({2 * len('a.bin as of 0')} B) to {store_url(dataset)}"
    ]


def store_url(dataset: Published) -> str:
    import tomllib

    return str(tomllib.loads(dataset.work.read(".ldsconfig").decode())["store"]["url"])


def test_deletions_ask_no_store(dataset: Published) -> None:
    """Behaviour 17."""
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main", "main:old", "main:refs/tags/v1")
    before = dataset.keys()
    done = dataset.work.try_git("push", "-q", "origin", ":old", ":refs/tags/v1", GIT_LDS_STORE=CLOSED)
    assert silent(done)
    assert list(dataset.refs()) == ["refs/heads/main"] and dataset.keys() == before


def test_tags_several_refs_and_deletions_go_in_one_push(dataset: Published) -> None:
    """Behaviour 17."""
    work = dataset.work
    change(work, "gone.bin")
    work.git("push", "-q", "origin", "main:doomed")
    wanted = {"main": change(work, "a.bin")}
    for branch in ("one", "two"):
        work.git("switch", "-qc", branch, "main")
        wanted[branch] = change(work, f"{branch}.bin")
    for name, options in (("light", ()), ("annotated", ("-a", "-m", "a tag"))):
        work.git("switch", "-q", "--detach", "main")
        wanted[name] = change(work, f"{name}.bin")
        work.git("tag", *options, name)
    work.git("switch", "-q", "main")
    work.git("push", "-q", "origin", "main", "one", "two", "light", "annotated", ":doomed")
    assert len(dataset.refs()) == 5 and dataset.entries() == 2
    assert all(dataset.gives(*contents.values()) for contents in wanted.values())
    dataset.assert_gives(wanted["annotated"], branch="annotated")


@pytest.mark.parametrize(
    "options", some_of([("--all",), ("--mirror",), ("--tags",), ("--follow-tags", "origin", "main")], ("--mirror",))
)
def test_whatever_option_says_what_to_push(dataset: Published, options: tuple[str, ...]) -> None:
    """Behaviour 17."""
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("tag", "-a", "-m", "a tag", "v1")
    work.git("branch", "other")
    work.git("push", "-q", *options)
    assert dataset.refs() and dataset.gives(*contents.values())


def test_tags_of_a_blob_and_of_a_tree_bring_their_objects(dataset: Published) -> None:
    """Behaviour 17: nothing that is pushed is without its contents, however odd."""
    work = dataset.work
    change(work, "a.bin", "images/b.png")
    work.git("tag", "blob", "HEAD:a.bin")
    work.git("tag", "-a", "-m", "a tag of a tree", "tree", "HEAD:images")
    work.git("push", "-q", "origin", "blob", "tree")
    assert dataset.gives(work.read("a.bin"), work.read("images/b.png"))


def test_a_new_branch_sends_only_what_is_new(dataset: Published) -> None:
    """Behaviour 17."""
    work = dataset.work
    work.write("images/large.png", CONTENTS["images/large.png"])
    work.commit()
    work.git("push", "-q", "origin", "main")
    before = dataset.size()
    work.git("switch", "-qc", "other")
    contents = change(work, "a.bin") | {"images/large.png": CONTENTS["images/large.png"]}
    done = work.try_git("push", "-q", "origin", "other")
    assert done.returncode == 0 and "uploaded 1 file" in done.stderr
    assert dataset.size() - before < 5_000
    assert dataset.gives(*contents.values())


def test_a_force_push_brings_what_replaces_the_old(dataset: Published) -> None:
    """Behaviour 17."""
    work = dataset.work
    change(work, "a.bin")
    old = work.git("rev-parse", "HEAD")
    work.git("push", "-q", "origin", "main")
    work.write("a.bin", b"rewritten")
    work.git("commit", "-qa", "--amend", "-m", "rewritten")
    before = dataset.keys()
    assert work.try_git("push", "-q", "origin", "main").returncode != 0
    assert dataset.keys() == before and dataset.refs() == {"refs/heads/main": old}
    work.git("push", "-q", "--force", "origin", "main")
    dataset.assert_gives({"a.bin": b"rewritten"})


def test_a_remote_branch_that_is_unknown_here_is_overwritten(dataset: Published) -> None:
    """Behaviour 17: git names a commit that this repository does not have."""
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main")
    other = dataset.elsewhere("other")
    change(other, "b.bin")
    other.git("push", "-q", "origin", "main")
    contents = change(dataset.work, "c.bin")
    dataset.work.git("push", "-q", "--force", "origin", "main")
    assert dataset.gives(*contents.values())


def test_a_dry_run_uploads_nothing(dataset: Published) -> None:
    """Behaviour 17: neither ours, which names the paths, nor git's, for which git runs the hook all the same."""
    work = dataset.work
    contents = change(work, "a.bin", "images/b.png")
    before = dataset.keys()
    assert work.lds("push", "--dry-run").splitlines() == ["a.bin", "images/b.png"]
    for options in (("--dry-run",), ("-qn",)):
        done = work.try_git("push", *options, "origin", "main")
        assert done.returncode == 0, done.stderr
    assert dataset.keys() == before and dataset.refs() == {}
    work.git("push", "-q", "origin", "main")
    assert dataset.gives(*contents.values())


@pytest.mark.parametrize(
    ("words", "is_dry"),
    [
        ("-n origin main", True),
        ("-fn origin", True),
        ("origin --dry-r main", True),
        ("--push-option x -n", True),
        ("-o x -n", True),
        ("origin main", False),
        ("-o -n origin", False),
        ("-on origin", False),
        ("--push-option -n origin", False),
        ("--repo -n", False),
        ("--dry-run --no-dry-run", False),
        ("origin -- -n", False),
        ("--delete --no-verify --atomic --follow-tags origin n", False),
    ],
)
def test_a_dry_run_of_git_is_told_by_its_words(words: str, is_dry: bool) -> None:
    """Behaviour 17. To take a real push for a dry run would be the worst of all: a ref without its contents."""
    from git_lds.cli.pre_push import is_dry_run

    assert is_dry_run(words.split()) == is_dry


def test_an_edit_of_a_large_file_sends_about_the_edit(dataset: Published) -> None:
    data = random_bytes(7, 6 << 20)
    dataset.work.write("images/large.png", data)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    before = dataset.size()
    edited = data[: 3 << 20] + b"an edit" + data[3 << 20 :]
    dataset.work.write("images/large.png", edited)
    dataset.work.commit()
    dataset.work.git("push", "-q", "origin", "main")
    assert dataset.size() - before < 400_000
    dataset.assert_gives({"images/large.png": edited})


# absent objects


@pytest.mark.parametrize(
    ("dataset", "verb"),
    some_rows(
        [(place, "git push") for place in PLACES] + [("server", "git lds push"), ("server", "dry run")],
        *(("server", verb) for verb in ("git push", "git lds push", "dry run")),
    ),
    indirect=["dataset"],
)
def test_objects_that_are_nowhere_refuse_the_push_and_their_paths_are_named(dataset: Published, verb: str) -> None:
    """Behaviour 18. Nothing is uploaded either."""
    work = dataset.work
    change(work, "a.bin")
    work.git("push", "-q", "origin", "main")
    before, refs = dataset.keys(), dataset.refs()
    change(work, "here.bin")
    work.write("images/lost one.png", pointer_of(b"no store has it"))
    work.write("lost.bin", pointer_of(random_bytes(8, 3 << 20)))
    work.commit()
    command = {"git push": ("git", "push", "origin", "main"), "git lds push": (LAUNCHER, "push")}
    done = work.try_run(*command.get(verb, (LAUNCHER, "push", "--dry-run")))
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("git-lds: ")]
    assert len(said) == 1 and "2 objects" in said[0]
    assert "images/lost one.png" in done.stderr and "lost.bin" in done.stderr
    assert blake3(b"no store has it").hexdigest() in done.stderr and "hint: " in done.stderr
    assert "here.bin" not in done.stderr
    assert dataset.refs() == refs and dataset.keys() == before


@unconfigured
def test_what_is_absent_here_and_in_the_store_is_fine(dataset: Published) -> None:
    """Behaviour 18: a clone that left its pointers moves and copies them, and pushes."""
    contents = change(dataset.work, "a.bin", "images/b.png")
    dataset.work.git("push", "-q", "origin", "main")
    lazy = Work(dataset.work.path.parent / "lazy", dataset.work.path.parent / "lazy.cache")
    dataset.work.git("clone", "-q", str(dataset.bare), str(lazy.path), GIT_LDS_SKIP_SMUDGE="1")
    lazy.git("mv", "a.bin", "renamed.bin")
    lazy.write("copied.bin", lazy.read("images/b.png"))
    lazy.commit()
    assert lazy.local_objects() == set()
    before = dataset.keys()
    lazy.git("push", "-q", "origin", "main")
    assert dataset.keys() == before
    dataset.assert_gives({"renamed.bin": contents["a.bin"], "copied.bin": contents["images/b.png"]})


def test_what_is_in_another_store_only_is_copied_there_first(dataset: Published, tmp_path: Path) -> None:
    """Behaviour 18: clones of the second remote would not get it. If no store has it the push is refused."""
    contents = change(dataset.work, "a.bin", "images/b.png")
    dataset.work.git("push", "-q", "origin", "main")
    lazy = dataset.elsewhere("lazy", cache=tmp_path / "empty cache")
    shutil.rmtree(tmp_path / "empty cache")
    second = Published(lazy, tmp_path / "second.git", tmp_path / "second store")
    lazy.git("init", "-q", "--bare", str(second.bare))
    lazy.git("remote", "add", "second", str(second.bare))
    lazy.git("config", "remote.second.ldsstore", str(second.store))
    lazy.lds("install")
    dataset.store.rename(tmp_path / "away")
    done = lazy.try_git("push", "-q", "second", "main")
    assert done.returncode != 0 and "a.bin" in done.stderr and "second store" in done.stderr
    assert second.refs() == {} and not second.entries()
    (tmp_path / "away").rename(dataset.store)
    before = dataset.keys()
    lazy.git("push", "-q", "second", "main")
    assert second.gives(*contents.values()) and dataset.keys() == before


def test_a_push_without_a_store_is_refused_with_what_to_do(new_work: Callable[..., Work], tmp_path: Path) -> None:
    """Behaviour 18: a git remote on another machine, and no store is configured."""
    work = new_work()
    work.git("init", "-q", "--bare", str(tmp_path / "bare.git"))
    work.git("remote", "add", "origin", "ada@elsewhere:bare.git")
    work.lds("install")
    change(work, "a.bin")
    done = work.try_git("push", "-q", "origin", "main", GIT_SSH_COMMAND=fake_ssh(tmp_path))
    assert done.returncode != 0
    assert "no store is configured for origin" in done.stderr and "hint: git lds init --store URL" in done.stderr
    assert Work(tmp_path / "bare.git").git("for-each-ref") == ""
    store = tmp_path / "store"
    work.git("push", "-q", "origin", "main", GIT_SSH_COMMAND=fake_ssh(tmp_path), GIT_LDS_STORE=str(store))
    assert (store / "lds.toml").exists()


def fake_ssh(directory: Path) -> str:
    """A stand-in for ssh: runs on this machine, in `directory`, what git wants to run on the other."""
    script = directory / "fake-ssh"
    script.write_text(f'#!/bin/sh\nfor last; do :; done\ncd "{directory}" && exec sh -c "$last"\n')
    script.chmod(0o755)
    return str(script)


def test_a_store_out_of_reach_refuses_the_push(dataset: Published) -> None:
    change(dataset.work, "a.bin")
    dataset.work.git("config", "lds.store", CLOSED)
    done = dataset.work.try_git("push", "-q", "origin", "main")
    assert done.returncode != 0 and f"git-lds: {CLOSED} could not be reached" in done.stderr
    assert dataset.refs() == {}


# what is in the range


def test_what_was_added_and_deleted_again_inside_the_range_is_uploaded(dataset: Published) -> None:
    """Behaviour 19: a checkout of the commit between gets it."""
    work = dataset.work
    change(work, "a.bin")
    work.git("push", "-q", "origin", "main")
    passing = change(work, "passing.bin", "images/passing.png")
    between = work.git("rev-parse", "HEAD")
    work.git("rm", "-q", *passing)
    work.git("commit", "-qm", "and gone")
    work.git("push", "-q", "origin", "main")
    reader = dataset.assert_gives({})
    reader.git("checkout", "-q", between)
    assert {name: reader.read(name) for name in passing} == passing


def test_what_was_merged_is_uploaded_from_both_sides(dataset: Published) -> None:
    """Behaviour 19, also for what the merge itself made."""
    work = dataset.work
    change(work, "a.bin")
    work.git("switch", "-qc", "side")
    side = change(work, "side.bin")
    work.git("switch", "-q", "main")
    main = change(work, "main.bin")
    work.git("merge", "-q", "--no-commit", "side")
    work.write("evil.bin", b"only in the merge")
    work.commit()
    work.git("push", "-q", "origin", "main")
    assert dataset.gives(*(side | main).values(), b"only in the merge")


def test_the_same_object_is_uploaded_once(dataset: Published) -> None:
    """Behaviour 19: under several names, in several commits, and again from another clone."""
    work, data = dataset.work, random_bytes(9, 2 << 20)
    for name in ("one.bin", "two.bin", "images/three.png"):
        work.write(name, data)
        work.commit()
    work.git("push", "-q", "origin", "main")
    assert (2 << 20) < dataset.size() < (2 << 20) + 60_000
    before = dataset.keys()
    other = dataset.elsewhere("other")
    other.write("four.bin", data)
    other.commit()
    other.git("push", "-q", "origin", "main")
    assert dataset.keys("pack/") == {key for key in before if key.startswith("pack/")}
    assert dataset.gives(data)


# from where, and to where


def test_worktrees_and_bare_repositories_push_as_well(dataset: Published, tmp_path: Path) -> None:
    """Behaviour 20: the hook is theirs too, and the objects come from where they lie."""
    work = dataset.work
    change(work, "a.bin")
    work.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Work(tmp_path / "side")
    contents = change(side, "side.bin")
    side.git("push", "-q", "origin", "side", "main")
    assert dataset.gives(*contents.values())

    work.git("init", "-q", "--bare", str(tmp_path / "second.git"))
    between = dataset.elsewhere("between.git", "--bare")
    between.lds("install", "--local")
    between.git("remote", "add", "second", str(tmp_path / "second.git"))
    between.git("config", "remote.second.ldsstore", str(tmp_path / "second store"))
    between.git("push", "-q", "second", "side")
    assert Published(between, tmp_path / "second.git", tmp_path / "second store").gives(*contents.values())


@pytest.mark.parametrize(
    "options",
    some_of([("--depth", "1"), ("--filter=blob:none",), ("--sparse",)], ("--depth", "1"), ("--filter=blob:none",)),
)
def test_shallow_partial_and_sparse_clones_push(dataset: Published, options: tuple[str, ...]) -> None:
    """Behaviour 17."""
    change(dataset.work, "a.bin", "images/b.png")
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main")
    Work(dataset.bare).git("config", "uploadpack.allowFilter", "true")
    clone = dataset.elsewhere("clone", *options, source=f"file://{dataset.bare}")
    contents = change(clone, "c.bin")
    done = clone.try_git("push", "-q", "origin", "main")
    assert done.returncode == 0 and "uploaded 1 file" in done.stderr, done.stderr
    assert dataset.gives(*contents.values())


@pytest.mark.parametrize(
    "form", some_of(["path", "file url", "relative path", "rewritten"], "relative path", "rewritten")
)
@pytest.mark.parametrize("dataset", ["remote"], indirect=True)
def test_a_push_by_url_works_as_by_name(dataset: Published, form: str) -> None:
    """Behaviour 17."""
    contents = change(dataset.work, "a.bin")
    url = {
        "path": str(dataset.bare),
        "file url": f"file://{dataset.bare}",
        "relative path": "../origin.git",
        "rewritten": "short:origin.git",
    }[form]
    dataset.work.git("config", f"url.{dataset.bare.parent}/.insteadOf", "short:")
    dataset.work.git("remote", "remove", "origin")
    dataset.work.git("push", "-q", url, "main")
    assert dataset.gives(*contents.values())


@unconfigured
def test_a_remote_may_have_any_name(dataset: Published) -> None:
    """Behaviour 17: there is no `origin`, and names hold slashes and dots."""
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("remote", "rename", "origin", "up/stream.v1")
    work.git("push", "-q", "up/stream.v1", "main")
    assert silent(work.try_git("push", "-q", "up/stream.v1", "main"))
    contents |= change(work, "b.bin")
    done = work.try_git("push", "-q", "up/stream.v1", "main")
    assert "uploaded 1 file" in done.stderr
    assert dataset.gives(*contents.values())


def test_two_remotes_have_two_stores(dataset: Published, tmp_path: Path) -> None:
    """Behaviour 17: what one store has says nothing of the other."""
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("push", "-q", "origin", "main")
    second = Published(work, tmp_path / "second.git", tmp_path / "second store")
    work.git("init", "-q", "--bare", str(second.bare))
    work.git("remote", "add", "second", str(second.bare))
    work.git("config", "remote.second.ldsstore", f"file://{str(second.store).replace(' ', '%20')}")
    contents |= change(work, "b.bin")
    before = dataset.keys()
    work.git("push", "-q", "second", "main")
    assert dataset.keys() == before and second.entries() == 1
    assert second.gives(*contents.values())
    assert not dataset.gives(contents["b.bin"])
    # a clone of the second configures where its store is; fetch takes a remote's name
    reader = second.elsewhere("reader", "-c", f"remote.origin.ldsstore={second.store}")
    assert {name: reader.read(name) for name in contents} == contents
    work.git("push", "-q", "origin", "main")
    assert dataset.gives(*contents.values())


def test_a_remote_whose_name_begins_another_s_gets_what_only_that_has(dataset: Published, tmp_path: Path) -> None:
    """refs/remotes/origin/fork/main says nothing of `origin`, though it begins like what does."""
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("init", "-q", "--bare", str(tmp_path / "fork.git"))
    work.git("config", "remote.origin/fork.url", str(tmp_path / "fork.git"))
    work.git("config", "remote.origin/fork.fetch", "+refs/heads/*:refs/remotes/origin/fork/*")
    work.git("config", "remote.origin/fork.ldsstore", str(tmp_path / "fork store"))
    work.git("push", "-q", "origin/fork", "main")
    work.git("push", "-q", "origin", "main")
    assert dataset.gives(*contents.values())


def test_the_environment_overrides_the_store(dataset: Published, tmp_path: Path) -> None:
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main", GIT_LDS_STORE=str(tmp_path / "instead"))
    assert (tmp_path / "instead" / "lds.toml").exists() and dataset.keys() == set()


# repair


@everywhere
def test_push_all_fills_a_store_that_lost_everything(dataset: Published) -> None:
    """A store is emptied, or a push went past it: `git lds push --all` brings all branches and tags."""
    work = dataset.work
    contents = change(work, "a.bin", "images/b.png")
    work.git("push", "-q", "origin", "main")
    shutil.rmtree(dataset.store)
    work.git("switch", "-qc", "side")
    side = change(work, "side.bin")
    work.git("push", "-q", "--no-verify", "origin", "side")
    work.git("switch", "-q", "main")
    assert silent(work.try_git("push", "-q", "origin", "main", "side"))
    done = work.try_lds("push", "--all")
    if done.returncode and dataset.store.name == "shared store":
        # a directory that only a committed file names is not made without the user's word
        assert f"hint: if you mean it: git lds init --store '{dataset.store}'" in done.stderr
        work.lds("init", "--store", str(dataset.store))
        work.lds("push", "--all")
    assert dataset.gives(*contents.values(), *side.values())
    before = dataset.keys()
    assert "Everything is in" in work.try_lds("push", "--all").stderr
    assert dataset.keys() == before


@unconfigured
def test_a_remote_that_was_made_anew_gets_everything(dataset: Published) -> None:
    """What the remote-tracking refs know is of the remote and the store that were there before."""
    work = dataset.work
    contents = change(work, "a.bin", "images/b.png")
    work.git("push", "-q", "origin", "main")
    shutil.rmtree(dataset.store)
    shutil.rmtree(dataset.bare)
    work.git("init", "-q", "--bare", str(dataset.bare))
    work.git("push", "-q", "origin", "main")
    dataset.assert_gives(contents)
    before = dataset.keys()
    work.git("push", "-q", "origin", "main:other")
    assert dataset.keys() == before


@unconfigured
def test_a_push_to_a_store_that_was_emptied_gives_it_what_older_commits_need(dataset: Published) -> None:
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("push", "-q", "origin", "main")
    shutil.rmtree(dataset.store)
    contents |= change(work, "b.bin")
    work.git("push", "-q", "origin", "main")
    dataset.assert_gives(contents)


def test_push_all_fills_a_store_that_was_restored_from_an_older_copy(dataset: Published, tmp_path: Path) -> None:
    work = dataset.work
    contents = change(work, "a.bin")
    work.git("push", "-q", "origin", "main")
    shutil.copytree(dataset.store, tmp_path / "copy")
    for _ in range(2):
        contents |= change(work, "b.bin", "c.bin")
        work.git("push", "-q", "origin", "main")
    shutil.rmtree(dataset.store)
    shutil.copytree(tmp_path / "copy", dataset.store)
    work.lds("push", "--all")
    assert dataset.gives(*contents.values())
    contents |= change(work, "d.bin")
    work.git("push", "-q", "origin", "main")
    dataset.assert_gives(contents)


# many at once


@pytest.mark.parametrize("dataset", some_of(["directory", "server"]), indirect=True)
def test_people_who_push_at_once_all_succeed_and_nothing_is_lost(dataset: Published) -> None:
    """Behaviour 22: branches of their own, with objects of their own and one that all of them have."""
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main")
    people = [dataset.elsewhere(f"person {n}") for n in range(3)]
    wanted: dict[str, dict[str, bytes]] = {}
    for n, person in enumerate(people):
        person.git("switch", "-qc", f"branch-{n}")
        person.write("shared.bin", random_bytes(10, 1 << 20))
        wanted[f"branch-{n}"] = {"shared.bin": random_bytes(10, 1 << 20)}
    for round in range(2):
        for n, person in enumerate(people):
            name = f"of {n} in round {round}.bin"
            data = random_bytes(100 * round + n, 200_000 if n % 2 else 20_000)
            person.write(name, data)
            person.commit()
            wanted[f"branch-{n}"][name] = data
        running = [start_push(person, f"branch-{n}") for n, person in enumerate(people)]
        for process in running:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    assert dataset.entries() == 1 + 2 * len(people)
    assert all(dataset.gives(*contents.values()) for contents in wanted.values())
    dataset.assert_gives(wanted["branch-0"], branch="branch-0")


def start_push(work: Work, branch: str) -> subprocess.Popen[str]:
    import os

    environment = {**os.environ, "GIT_LDS_CACHE": str(work.cache)}
    command = ["git", "push", "-q", "origin", branch]
    return subprocess.Popen(command, cwd=work.path, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_who_push_the_same_branch_end_with_both_contributions(dataset: Published) -> None:
    """Behaviour 22: git lets one of them win; the other pulls and pushes."""
    change(dataset.work, "a.bin")
    dataset.work.git("push", "-q", "origin", "main")
    people = [dataset.elsewhere(f"person {n}") for n in range(2)]
    contents: dict[str, bytes] = {}
    for n, person in enumerate(people):
        contents |= change(person, f"of {n}.bin")
    running = [start_push(person, "main") for person in people]
    for process in running:
        process.communicate(timeout=120)
    for person in people:
        person.git("pull", "-q", "--rebase", "origin", "main")
        person.git("push", "-q", "origin", "main")
    dataset.assert_gives(contents)
