"""git's configuration and hooks, in and out, with real git."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.work import LAUNCHER, Work

from git_lds.errors import LdsError
from git_lds.git.run import Git
from git_lds.setup import hooks, install
from git_lds.setup.hooks import State

OTHERS = '#!/bin/sh\nwhile read -r line; do echo "$line" >> "$HOME/seen"; done\nexit 0\n'


@pytest.fixture
def bare_work(tmp_path: Path) -> Work:
    """A repository in a home where git-lds is not installed."""
    path = tmp_path / "plain"
    path.mkdir()
    work = Work(path)
    work.git("init", "-q")
    return work


def hook_of(work: Work, name: str = ".git/hooks/pre-push") -> Path:
    return work.path / name


def write_hook(work: Work, text: str, name: str = ".git/hooks/pre-push", mode: int = 0o755) -> Path:
    path = work.write(name, text)
    path.chmod(mode)
    return path


def with_origin(work: Work, tmp_path: Path) -> Path:
    bare = tmp_path / "origin.git"
    work.git("init", "-q", "--bare", str(bare))
    work.git("remote", "add", "origin", str(bare))
    return bare


# configuration


@pytest.mark.parametrize("scope", ["global", "local", "worktree"])
def test_install_sets_the_filter_and_uninstall_leaves_the_configuration_as_it_was(
    bare_work: Work, world: Path, scope: str
) -> None:
    files = [world / ".gitconfig", bare_work.path / ".git/config"]
    before = [file.read_bytes() for file in files]

    bare_work.lds("install", f"--{scope}")
    assert bare_work.git("config", f"--{scope}", "filter.lds.required") == "true"
    for key in ("process", "clean", "smudge"):
        assert str(LAUNCHER) in bare_work.git("config", f"--{scope}", f"filter.lds.{key}")
    assert "%f" in bare_work.git("config", "filter.lds.clean")
    assert os.access(hook_of(bare_work), os.X_OK)

    bare_work.lds("uninstall", f"--{scope}")
    assert [file.read_bytes() for file in files] == before
    assert not hook_of(bare_work).exists()


def test_install_for_the_system_writes_the_systems_file(
    bare_work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GIT_CONFIG_NOSYSTEM")
    system = tmp_path / "system.gitconfig"
    system.write_text("[user]\n\tname = All\n")
    bare_work.lds("install", "--system", GIT_CONFIG_SYSTEM=str(system))
    assert "filter-process" in system.read_text()
    bare_work.lds("uninstall", "--system", GIT_CONFIG_SYSTEM=str(system))
    assert system.read_text() == "[user]\n\tname = All\n"


def test_install_outside_a_repository_sets_only_the_configuration(tmp_path: Path) -> None:
    outside = Work(tmp_path)
    outside.lds("install")
    assert list(tmp_path.iterdir()) == []
    done = outside.try_lds("install", "--local")
    assert done.returncode == 1 and "hint: " in done.stderr


def test_install_twice_changes_nothing(bare_work: Work, world: Path) -> None:
    bare_work.lds("install")
    before = (world / ".gitconfig").read_bytes(), hook_of(bare_work).read_bytes()
    bare_work.lds("install")
    assert ((world / ".gitconfig").read_bytes(), hook_of(bare_work).read_bytes()) == before


def test_install_renews_what_an_older_git_lds_wrote(bare_work: Work) -> None:
    bare_work.git("config", "--global", "filter.lds.process", "/gone/git-lds filter-process")
    bare_work.lds("install")
    assert str(LAUNCHER) in bare_work.git("config", "filter.lds.process")


def test_a_filter_of_somebody_else_is_never_overwritten_without_force(bare_work: Work, world: Path) -> None:
    bare_work.git("config", "--global", "filter.lds.clean", "tr a b")
    before = (world / ".gitconfig").read_bytes()
    done = bare_work.try_lds("install")
    assert done.returncode == 1
    assert "filter.lds.clean" in done.stderr and "hint: " in done.stderr and "--force" in done.stderr
    assert (world / ".gitconfig").read_bytes() == before
    assert not hook_of(bare_work).exists()

    bare_work.lds("uninstall")
    assert bare_work.git("config", "filter.lds.clean") == "tr a b"

    bare_work.lds("install", "--force")
    assert str(LAUNCHER) in bare_work.git("config", "filter.lds.clean")


def test_skip_smudge_is_set_and_taken_back(bare_work: Work, world: Path) -> None:
    before = (world / ".gitconfig").read_bytes()
    bare_work.lds("install", "--skip-smudge")
    assert bare_work.git("config", "lds.skipSmudge") == "true"
    bare_work.lds("install")
    assert bare_work.try_git("config", "lds.skipSmudge").returncode == 1
    bare_work.lds("install", "--skip-smudge")
    bare_work.lds("uninstall")
    assert (world / ".gitconfig").read_bytes() == before


def test_worktree_scope_with_several_work_trees_says_what_git_needs(bare_work: Work, tmp_path: Path) -> None:
    bare_work.git("commit", "-q", "--allow-empty", "-m", "x")
    bare_work.git("worktree", "add", "-q", str(tmp_path / "second"))
    done = Work(tmp_path / "second").try_lds("install", "--worktree")
    assert done.returncode == 1 and "extensions.worktreeConfig" in done.stderr

    bare_work.git("config", "extensions.worktreeConfig", "true")
    Work(tmp_path / "second").lds("install", "--worktree")
    assert bare_work.try_git("config", "filter.lds.process").returncode == 1


def copied_launcher(directory: Path) -> Path:
    """A git-lds at another path, that runs the package under test."""
    directory.mkdir(parents=True)
    program = directory / "git-lds"
    program.write_text(f"#!{sys.executable}\nimport sys\nfrom git_lds.cli import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return program


def bare_path(tmp_path: Path) -> str:
    """A PATH with git and the shell's programs, and without git-lds."""
    assert shutil.which("git-lds", path=os.defpath) is None
    return os.defpath


@pytest.mark.parametrize("directory", ["plain", 'it\'s 100% $HOME `mine`; "quoted"', "ü %f"])
@pytest.mark.parametrize("kept", ["process", "clean"])
def test_git_finds_the_program_with_a_bare_path_wherever_it_stands(
    bare_work: Work, tmp_path: Path, directory: str, kept: str
) -> None:
    program = copied_launcher(tmp_path / "programs" / directory)
    bare_work.try_run(program, "install", "--global").check_returncode()
    if kept == "clean":
        bare_work.git("config", "--global", "--unset", "filter.lds.process")
    bare_work.write(".gitattributes", "*.bin filter=lds\n")
    bare_work.write("it's $(touch owned) a.bin", b"contents")
    bare_work.git("add", "-A", PATH=bare_path(tmp_path))
    assert bare_work.git("cat-file", "blob", ":it's $(touch owned) a.bin").startswith("version git-lds/v1\n")
    assert not (bare_work.path / "owned").exists()


def test_the_filter_falls_back_to_path_when_the_recorded_program_is_gone(bare_work: Work, tmp_path: Path) -> None:
    program = copied_launcher(tmp_path / "old")
    bare_work.try_run(program, "install").check_returncode()
    program.unlink()
    bare_work.write(".gitattributes", "*.bin filter=lds\n")
    bare_work.write("a.bin", b"contents")
    bare_work.git("add", "-A")
    assert bare_work.git("cat-file", "blob", ":a.bin").startswith("version git-lds/v1\n")

    bare_work.write("b.bin", b"more")
    done = bare_work.try_git("add", "b.bin", PATH=bare_path(tmp_path))
    assert done.returncode != 0  # required: never a plain blob because the program was not found
    assert bare_work.git("ls-files", "b.bin") == ""


def test_a_conflict_of_binary_files_keeps_ours_and_offers_theirs(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("a.bin", b"base\0")
    work.commit()
    work.git("switch", "-qc", "side")
    work.write("a.bin", b"theirs\0")
    work.commit()
    work.git("switch", "-q", "main")
    work.write("a.bin", b"ours\0")
    work.commit()
    done = work.try_git("merge", "side")
    assert done.returncode == 1 and "CONFLICT" in done.stdout
    assert work.read("a.bin") == b"ours\0"
    assert work.git("status", "--porcelain") == "UU a.bin"
    work.git("checkout", "--theirs", "a.bin")
    assert work.read("a.bin") == b"theirs\0"
    work.git("merge", "--abort")
    assert work.read("a.bin") == b"ours\0" and work.is_clean()


# hooks


def test_a_foreign_hook_is_never_overwritten_and_the_line_to_add_is_said(bare_work: Work) -> None:
    hook = write_hook(bare_work, OTHERS)
    done = bare_work.try_lds("install")
    assert done.returncode == 1
    assert str(hook) in done.stderr
    assert f"hint: add this line to it, before anything that reads its input: {hooks.LINE}\n" in done.stderr
    assert hook.read_text() == OTHERS
    assert "filter-process" in bare_work.git("config", "filter.lds.process")

    bare_work.lds("uninstall")
    assert hook.read_text() == OTHERS


def test_force_adds_our_lines_to_a_shell_hook_and_both_run(bare_work: Work, world: Path, tmp_path: Path) -> None:
    bare = with_origin(bare_work, tmp_path)
    hook = write_hook(bare_work, OTHERS, mode=0o700)
    bare_work.lds("install", "--force")
    once = hook.read_text()
    bare_work.lds("install", "--force")
    assert hook.read_text() == once and hook.stat().st_mode & 0o777 == 0o700
    for line in OTHERS.splitlines():
        assert line in once

    bare_work.write(".gitattributes", "*.bin filter=lds\n")
    bare_work.write("a.bin", b"contents")
    commit = bare_work.commit()
    bare_work.git("push", "-q", "origin", "main")
    assert (world / "seen").read_text().split() == ["refs/heads/main", commit, "refs/heads/main", "0" * 40]
    assert (bare / "lds" / "lds.toml").exists()

    bare_work.git("push", "-q", "origin", "main")  # nothing to push: neither hook sees a line
    assert len((world / "seen").read_text().splitlines()) == 1

    bare_work.lds("uninstall")
    assert hook.read_text() == OTHERS


def test_a_failing_foreign_hook_still_stops_the_push_after_ours(bare_work: Work, tmp_path: Path) -> None:
    bare = with_origin(bare_work, tmp_path)
    write_hook(bare_work, "#!/usr/bin/env bash\nset -euo pipefail\nexit 7\n")
    bare_work.lds("install", "--force")
    bare_work.write("a", "x")
    bare_work.commit()
    assert bare_work.try_git("push", "-q", "origin", "main").returncode != 0
    assert Work(bare).git("for-each-ref") == ""


@pytest.mark.parametrize("text", ["#!/usr/bin/env python3\nprint(1)\n", "\x7fELF\x00", "echo no shebang\n"])
def test_force_does_not_touch_a_hook_that_is_no_shell_script(bare_work: Work, text: str) -> None:
    hook = write_hook(bare_work, text)
    assert bare_work.try_lds("install", "--force").returncode == 1
    assert hook.read_text() == text


def test_force_does_not_write_through_a_symlinked_hook(bare_work: Work) -> None:
    target = write_hook(bare_work, OTHERS, name="tools/pre-push")
    hook_of(bare_work).parent.mkdir(exist_ok=True)
    hook_of(bare_work).symlink_to(target)
    assert bare_work.try_lds("install", "--force").returncode == 1
    assert target.read_text() == OTHERS and hook_of(bare_work).is_symlink()


def test_a_foreign_hook_that_calls_us_is_left_alone_and_counts(bare_work: Work) -> None:
    text = f"#!/bin/sh\n{hooks.LINE}\necho done\n"
    hook = write_hook(bare_work, text)
    bare_work.lds("install")
    assert hook.read_text() == text
    assert hooks.look(Git(bare_work.path)).state is State.CALLS_US
    bare_work.lds("uninstall")
    assert hook.read_text() == text


def test_uninstall_keeps_what_others_added_to_our_hook(bare_work: Work) -> None:
    bare_work.lds("install")
    hook = hook_of(bare_work)
    hook.write_text(hook.read_text() + "echo mine\n")
    bare_work.lds("install")
    assert "echo mine" in hook.read_text()
    bare_work.lds("uninstall")
    assert hook.read_text() == "#!/bin/sh\necho mine\n"


@pytest.mark.parametrize("where", ["absolute", "home", "relative"])
def test_the_hook_goes_where_core_hookspath_says(bare_work: Work, world: Path, tmp_path: Path, where: str) -> None:
    value, directory = {
        "absolute": (str(tmp_path / "shared hooks"), tmp_path / "shared hooks"),
        "home": ("~/my-hooks", world / "my-hooks"),
        "relative": (".githooks", bare_work.path / ".githooks"),
    }[where]
    bare_work.git("config", "core.hooksPath", value)
    bare_work.write("deep/er/file", "x")
    Work(bare_work.path / "deep/er").lds("install")
    assert "git-lds" in (directory / "pre-push").read_text()
    assert not hook_of(bare_work).exists()
    bare = with_origin(bare_work, tmp_path)
    bare_work.write(".gitattributes", "*.bin filter=lds\n")
    bare_work.write("a.bin", b"contents")
    bare_work.commit()
    Work(bare_work.path / "deep").git("push", "-q", "origin", "main")
    assert (bare / "lds" / "lds.toml").exists()
    bare_work.lds("uninstall")
    assert not (directory / "pre-push").exists()


def test_hooks_that_are_turned_off_are_an_error_and_not_a_crash(bare_work: Work) -> None:
    bare_work.git("config", "core.hooksPath", "/dev/null")
    done = bare_work.try_lds("install")
    assert done.returncode == 1 and "hint: " in done.stderr and "Traceback" not in done.stderr


def test_worktrees_share_the_hook_of_their_repository(bare_work: Work, tmp_path: Path) -> None:
    bare_work.git("commit", "-q", "--allow-empty", "-m", "x")
    bare_work.git("worktree", "add", "-q", str(tmp_path / "second"))
    second = Work(tmp_path / "second")
    second.lds("install")
    assert "git-lds" in hook_of(bare_work).read_text()
    second.lds("uninstall")
    assert not hook_of(bare_work).exists()


def test_a_bare_repository_gets_the_hook(tmp_path: Path) -> None:
    Work(tmp_path).git("init", "-q", "--bare", "store.git")
    bare = Work(tmp_path / "store.git")
    bare.lds("install", "--local")
    assert "git-lds" in bare.read("hooks/pre-push").decode()
    bare.lds("uninstall", "--local")
    assert not (bare.path / "hooks/pre-push").exists()


def test_a_push_is_refused_when_the_program_is_not_to_be_found(bare_work: Work, tmp_path: Path) -> None:
    bare = with_origin(bare_work, tmp_path)
    program = copied_launcher(tmp_path / "old")
    bare_work.try_run(program, "install").check_returncode()
    program.unlink()
    bare_work.write("a", "x")
    bare_work.commit()
    done = bare_work.try_git("push", "origin", "main", PATH=bare_path(tmp_path))
    assert done.returncode != 0
    assert "git-lds program was not found" in done.stderr and "hint: " in done.stderr
    assert Work(bare).git("for-each-ref") == ""
    direct = bare_work.try_run(hook_of(bare_work), "origin", str(bare), PATH=bare_path(tmp_path), input="")
    assert direct.returncode == 2

    bare_work.git("push", "-q", "origin", "main")  # PATH has one
    assert Work(bare).git("for-each-ref") != ""


# ensure: after one global install, any clone


def test_ensure_puts_the_hook_in_quietly(bare_work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    hooks.ensure(Git(bare_work.path))
    assert hooks.look(Git(bare_work.path)).state is State.OURS
    assert capfd.readouterr() == ("", "")


def test_ensure_leaves_foreign_hooks_and_directories_of_the_work_tree_alone(bare_work: Work) -> None:
    hook = write_hook(bare_work, OTHERS)
    hooks.ensure(Git(bare_work.path))
    assert hook.read_text() == OTHERS

    bare_work.git("config", "core.hooksPath", ".githooks")
    hooks.ensure(Git(bare_work.path))
    assert not (bare_work.path / ".githooks").exists()


def test_ensure_says_nothing_when_the_hook_cannot_be_written(bare_work: Work) -> None:
    bare_work.git("config", "core.hooksPath", "/dev/null")
    hooks.ensure(Git(bare_work.path))


def test_a_clone_has_the_hook_after_one_global_install(new_work: Callable[..., Work], tmp_path: Path) -> None:
    source = new_work("source")
    source.write("a.bin", b"first")
    source.commit()
    bare = tmp_path / "origin.git"
    source.git("init", "-q", "--bare", str(bare))
    source.git("push", "-q", str(bare), "main")
    source.git("clone", "-q", str(bare), str(tmp_path / "clone"))
    clone = Work(tmp_path / "clone")
    clone.write("b.bin", b"second")
    clone.commit()
    assert hooks.look(Git(clone.path)).state is State.OURS


# hook managers


def test_husky_is_told_apart_and_its_own_hook_counts(bare_work: Work) -> None:
    bare_work.git("config", "core.hooksPath", ".husky/_")
    write_hook(bare_work, '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n', name=".husky/_/pre-push")
    hook = hooks.look(Git(bare_work.path))
    assert (hook.state, hook.manager) == (State.FOREIGN, "husky")
    done = bare_work.try_lds("install")
    assert done.returncode == 1 and ".husky/pre-push" in done.stderr
    bare_work.write(".husky/pre-push", f"{hooks.LINE}\n")
    assert hooks.look(Git(bare_work.path)).state is State.CALLS_US
    bare_work.lds("install")


def test_our_hook_under_pre_commit_counts(bare_work: Work) -> None:
    bare_work.lds("install")
    hook_of(bare_work).rename(hook_of(bare_work).with_name("pre-push.legacy"))
    write_hook(bare_work, "#!/usr/bin/env bash\n# File generated by pre-commit: https://pre-commit.com\n")
    hook = hooks.look(Git(bare_work.path))
    assert (hook.state, hook.manager) == (State.CALLS_US, "pre-commit")


def test_a_hook_that_may_not_run_is_made_to(bare_work: Work) -> None:
    bare_work.lds("install")
    hook_of(bare_work).chmod(0o644)
    assert hooks.look(Git(bare_work.path)).state is State.NOT_EXECUTABLE
    bare_work.lds("install")
    assert hooks.look(Git(bare_work.path)).state is State.OURS


def test_the_verbs_raise_and_do_not_print(bare_work: Work, capfd: pytest.CaptureFixture[str]) -> None:
    write_hook(bare_work, OTHERS)
    with pytest.raises(LdsError) as caught:
        install.install(Git(bare_work.path), LAUNCHER)
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("entries", [":/nowhere", "/nowhere:", ".", "/nowhere::/x", "/nowhere:lib"])
def test_modules_in_a_repository_are_not_imported_whatever_pythonpath_says(
    world: Path, tmp_path: Path, entries: str
) -> None:
    """Behaviour 36: git runs the filter and the hook in the working tree of a repository that others wrote."""
    Work(world).lds("install")
    work = Work(tmp_path / "hostile")
    work.path.mkdir()
    work.git("init", "-q")
    work.git("init", "-q", "--bare", tmp_path / "origin.git")
    work.git("remote", "add", "origin", tmp_path / "origin.git")
    for directory in ("", "lib/"):
        for module in ("re", "blake3", "dataclasses"):
            work.write(f"{directory}{module}.py", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    work.write(".gitattributes", "*.bin filter=lds -text\n")
    work.write("a.bin", b"contents")
    work.git("add", ".", PYTHONPATH=entries)
    work.git("commit", "-qm", "hostile")
    work.git("push", "-q", "origin", "HEAD", PYTHONPATH=entries)
    Work(tmp_path).git("clone", "-q", tmp_path / "origin.git", "copy", PYTHONPATH=entries)
    assert (tmp_path / "copy" / "a.bin").read_bytes() == b"contents"
    assert not (tmp_path / "ran").exists()
