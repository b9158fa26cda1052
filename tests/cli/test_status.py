"""What `git lds status` says, in repositories where something is wrong and where nothing is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.work import Work

RAW = ("-c", "filter.lds.process=", "-c", "filter.lds.clean=", "-c", "filter.lds.required=false")
"""Options of git with which it adds files as a client without git-lds does."""


def status(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.lds("status", "--json"))
    return found


@pytest.fixture
def healthy(new_work: Callable[..., Work], tmp_path: Path) -> Work:
    """A repository with a remote and a store, where all is pushed."""
    work = new_work()
    work.lds("init", "--store", str(tmp_path / "store"))
    work.write("a.bin", b"contents of a")
    work.write("images/b.png", b"contents of b")
    work.commit()
    work.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    work.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    work.git("push", "-q", "-u", "origin", "main")
    return work


def test_where_all_is_well_nothing_but_the_store_is_said(healthy: Work, tmp_path: Path) -> None:
    done = healthy.try_lds("status")
    assert (done.stdout, done.stderr) == (f"Store: {tmp_path}/store\n", "")
    assert [name for name, value in status(healthy).items() if value] == ["store"]


# no false alarms


def test_a_file_that_was_only_touched_is_not_changed(healthy: Work) -> None:
    for name in ("a.bin", "images/b.png"):
        os.utime(healthy.path / name, (1_000_000_000, 1_000_000_000))
    assert healthy.git("diff-files", "--name-only") == "a.bin\nimages/b.png"
    assert status(healthy)["unstaged"] == []
    assert healthy.git("diff-files", "--name-only") == "", "git need not look into them again"


@pytest.mark.parametrize("obstacle", ["locked", "optional locks are off"])
def test_a_touched_file_is_not_changed_where_the_index_is_not_to_be_written(healthy: Work, obstacle: str) -> None:
    os.utime(healthy.path / "a.bin", (1_000_000_000, 1_000_000_000))
    index = healthy.path / ".git/index"
    before = index.read_bytes()
    if obstacle == "locked":
        (healthy.path / ".git/index.lock").write_bytes(b"somebody's")
    done = healthy.try_lds("status", "--json", GIT_OPTIONAL_LOCKS="0" if obstacle != "locked" else "1")
    assert json.loads(done.stdout)["unstaged"] == [] and done.stderr == ""
    assert index.read_bytes() == before
    if obstacle == "locked":
        assert (healthy.path / ".git/index.lock").read_bytes() == b"somebody's"


def test_files_that_are_changed_deleted_or_in_conflict_are_told_apart(healthy: Work) -> None:
    healthy.git("switch", "-qc", "side")
    healthy.write("images/b.png", b"theirs")
    healthy.commit()
    healthy.git("switch", "-q", "main")
    healthy.write("images/b.png", b"ours")
    healthy.commit()
    healthy.write("c.bin", b"c")
    healthy.commit()
    assert healthy.try_git("merge", "side").returncode == 1
    healthy.write("a.bin", b"edited here")
    (healthy.path / "c.bin").unlink()
    healthy.write("other.txt", b"not ours")
    healthy.git("add", "-N", "other.txt")
    healthy.write("new.bin", b"new")
    healthy.git("add", "-N", "new.bin")
    found = {change["path"]: change["kind"] for change in status(healthy)["unstaged"]}
    assert found == {"a.bin": "M", "c.bin": "D", "images/b.png": "U", "new.bin": "A"}


# contents that went into git


def test_contents_that_git_has_under_a_pattern_are_listed(healthy: Work) -> None:
    healthy.write("raw.bin", b"raw " * 100)
    healthy.write("images/short.png", b"raw")
    healthy.git(*RAW, "add", "raw.bin", "images/short.png")
    assert status(healthy)["plain"] == ["images/short.png", "raw.bin"]
    healthy.git("commit", "-qm", "by a client without filters")
    assert status(healthy)["plain"] == ["images/short.png", "raw.bin"]
    said = healthy.lds("status")
    assert (
        "Tracked, but stored in git as plain files (git add --renormalize PATH…):\n  images/short.png\n  raw.bin"
        in said
    )
    healthy.git("add", "--renormalize", "raw.bin", "images/short.png")
    assert status(healthy)["plain"] == []


def test_files_that_are_rightly_plain_are_not_listed(healthy: Work) -> None:
    healthy.write(".gitattributes", "* filter=lds diff=lds merge=lds -text\n*.md -filter\nREADME !filter\n")
    for name, data in (
        (".gitignore", "*.o\n"),
        ("empty.bin", ""),
        ("a.md", "plain"),
        ("README", "plain"),
        (".ldsdeps", ""),
    ):
        healthy.write(name, data)
    (healthy.path / "link.bin").symlink_to("a.md")
    healthy.commit()
    assert status(healthy)["plain"] == []
    assert "pointers: every tracked file is a pointer in git" in healthy.try_lds("doctor").stdout


def test_a_long_list_of_plain_files_is_cut(healthy: Work) -> None:
    for number in range(30):
        healthy.write(f"raw{number:02}.bin", b"raw")
    healthy.git(*RAW, "add", "raw*.bin")
    assert len(status(healthy)["plain"]) == 30
    assert "  raw09.bin\n  … and 20 more" in healthy.lds("status")


# pushes that do not upload


def warnings(work: Work, **environment: str) -> dict[str, dict[str, str]]:
    done = work.try_lds("status", "--json", **environment)
    assert done.returncode == 0, done.stderr
    found = {warning["name"]: warning for warning in json.loads(done.stdout)["warnings"]}
    assert done.stderr.count("git-lds: warning: ") == len(found), "each is also said, in one line"
    return found


def test_a_hook_that_is_not_in_effect_is_told_with_the_command_that_mends_it(healthy: Work) -> None:
    hook = healthy.path / ".git/hooks/pre-push"
    ours = hook.read_bytes()
    hook.chmod(0o644)
    assert warnings(healthy)["hook"]["hint"] == f"chmod +x {hook}"
    hook.chmod(0o755)
    hook.write_text("#!/bin/sh\n# git lds hook pre-push\nexit 0\n")
    assert "another hook" in warnings(healthy)["hook"]["message"], "a comment runs nothing"
    # as `pre-commit install --overwrite -t pre-push` leaves it, and then with a hook before it that nothing runs
    hook.write_text("#!/usr/bin/env bash\n# File generated by pre-commit\nexec pre-commit hook-impl\n")
    assert "pre-commit uninstall -t pre-push" in warnings(healthy)["hook"]["hint"]
    legacy = hook.with_name("pre-push.legacy")
    legacy.write_bytes(ours)
    assert "hook" in warnings(healthy)
    legacy.chmod(0o755)
    assert warnings(healthy) == {}
    hook.unlink()
    assert warnings(healthy)["hook"]["hint"] == "git lds install"
    healthy.lds("install")
    assert warnings(healthy) == {}


def test_hooks_that_are_configured_elsewhere_are_told_with_the_file_that_says_so(healthy: Work) -> None:
    husky = healthy.path / ".husky/_"
    husky.mkdir(parents=True)
    healthy.git("config", "core.hooksPath", ".husky/_")
    assert "core.hooksPath is .husky/_ in .git/config" in warnings(healthy)["hook"]["message"]
    (husky / "pre-push").write_text('#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
    (husky / "pre-push").chmod(0o755)
    hint = warnings(healthy)["hook"]["hint"]
    assert hint.startswith(f"add this line to {healthy.path}/.husky/pre-push: ")
    healthy.write(".husky/pre-push", hint.partition(": ")[2] + "\n")
    assert warnings(healthy) == {}
    healthy.git("config", "core.hooksPath", "/dev/null")
    assert warnings(healthy)["hook"]["hint"].startswith("git config --local --unset core.hooksPath")


def test_a_repository_that_tracks_nothing_needs_no_hook(new_work: Callable[..., Work]) -> None:
    assert warnings(new_work("plain", track=())) == {}


def test_what_was_pushed_past_the_hook_is_listed_until_a_store_has_it(healthy: Work, tmp_path: Path) -> None:
    healthy.write("past.bin", b"pushed past the hook")
    healthy.commit()
    healthy.write("never pushed.bin", b"added and given up")
    healthy.git("add", ".")
    assert status(healthy)["unconfirmed"] == []
    healthy.git("push", "-q", "--no-verify", "origin", "main")
    assert [file["path"] for file in status(healthy)["unconfirmed"]] == ["past.bin"]
    section = "Pushed, but in no store that this machine knows of (git lds push --all origin):\n  past.bin (20 B)"
    assert section in healthy.lds("status")
    healthy.lds("push", "--all", "origin")
    assert status(healthy)["unconfirmed"] == []


def test_what_was_pushed_is_in_no_store_that_is_new(healthy: Work, tmp_path: Path) -> None:
    healthy.write(".ldsconfig", f'[store]\nurl = "{tmp_path}/elsewhere"\n')
    assert [file["path"] for file in status(healthy)["unconfirmed"]] == ["a.bin", "images/b.png"]
    healthy.git("config", "lds.store", str(tmp_path / "elsewhere"))
    healthy.lds("push", "--all", "origin")
    assert status(healthy)["unconfirmed"] == []


def test_a_store_at_a_server_is_known_again(served: Work) -> None:
    served.write("a.bin", b"contents")
    served.commit()
    served.git("push", "-q", "origin", "main")
    assert status(served)["unconfirmed"] == []
    served.write("past.bin", b"past")
    served.commit()
    served.git("push", "-q", "--no-verify", "origin", "main")
    assert [file["path"] for file in status(served)["unconfirmed"]] == ["past.bin"]


# settings


def test_faults_of_settings_are_warnings(healthy: Work) -> None:
    healthy.write(".ldsdeps", "[deps\n")
    assert ".ldsdeps is not valid TOML" in warnings(healthy)["dependencies"]["message"]
    healthy.write(".ldsdeps", 'x = 1\n[deps."a"]\nurl = 5\n')
    assert warnings(healthy)["dependencies"]["message"].endswith("(and 1 more: git lds doctor)")
    healthy.write(".ldsdeps", "")
    healthy.write(".ldsconfig", healthy.read(".ldsconfig") + b'[core]\nhook = "x"\n')
    assert "core.hook" in warnings(healthy)["settings"]["message"]


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"deps = 5", b"[deps]\na = 1", b"[deps.a.b.c]\n", b"[[deps]]\n"])
def test_no_settings_of_dependencies_end_a_status(healthy: Work, bad: bytes) -> None:
    healthy.write(".ldsdeps", bad)
    assert "dependencies" in warnings(healthy)


def test_directories_that_cannot_be_written_to_are_told(healthy: Work, world: Path) -> None:
    (world / "file").write_text("not a directory")
    found = warnings(healthy, GIT_LDS_CACHE=str(world / "file"))["cache"]
    assert found["message"] == f"{world}/file is not a directory" and "export GIT_LDS_CACHE=" in found["hint"]
    found = warnings(healthy, GIT_LDS_CACHE=str(world / "file" / "deeper"))["cache"]
    assert found["message"] == f"{world}/file is not a directory"
    if os.getuid():
        for directory, name in ((world / "cache", "cache"), (healthy.path / ".git/lds", "local store")):
            directory.chmod(0o500)
            assert warnings(healthy)[name]["message"] == f"{directory} is not writable"
            directory.chmod(0o700)


# attributes that switch the filter off


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        (".gitattributes", "* -filter\n", ".gitattributes:3 says * -filter"),
        (".gitattributes", "# a comment\n*.bin !filter\n", ".gitattributes:4 says *.bin !filter"),
        (".gitattributes", "*.bin filter=other\n", ".gitattributes:3 says *.bin filter=other"),
        (".git/info/attributes", "*.txt text\n*.bin -filter\n", ".git/info/attributes:2 says *.bin -filter"),
        ("sub/.gitattributes", "*.bin -filter\n", "no effect in sub/: sub/.gitattributes:1 says *.bin -filter"),
        (".gitattributes", "* text=auto\n", "are converted: .gitattributes:3 says * text=auto"),
        ("sub/.gitattributes", "* text\n", "are converted in sub/: sub/.gitattributes:1 says * text"),
    ],
)
def test_a_later_attribute_that_undoes_a_pattern_is_named_with_its_line(
    healthy: Work, file: str, text: str, says: str
) -> None:
    before = (healthy.path / file).read_text() if (healthy.path / file).exists() else ""
    healthy.write(file, before + text)
    healthy.git("add", ".")
    found = warnings(healthy)["attributes in effect"]
    assert says in found["message"] and "*.bin (.gitattributes:1" in found["message"], found
    doctor = healthy.try_lds("doctor")
    assert doctor.returncode == 1 and doctor.stdout.count(says) == 1


def test_an_attribute_inside_of_a_tracked_directory_that_undoes_its_pattern_is_named(healthy: Work) -> None:
    healthy.lds("track", "images/**", "/deep/**", "deep/down/**", "other/**")
    healthy.write("images/raw/.gitattributes", "* -filter\n")
    healthy.write("deep/down/below/.gitattributes", "*.c text\n* !filter\n")
    healthy.write("other/.gitattributes", "*.c -filter\n")
    healthy.git("add", ".")
    told = [line for line in healthy.try_lds("doctor").stdout.splitlines() if "no effect" in line]
    assert len(told) == 2
    assert "2 more patterns have no effect in deep/down/below/: deep/down/below/.gitattributes:2 says * !f" in told[0]
    assert "1 more pattern have no effect in images/raw/: images/raw/.gitattributes:1 says * -filter" in told[1]


def test_exceptions_that_are_meant_are_no_fault(healthy: Work) -> None:
    lines = healthy.read(".gitattributes").decode()
    exceptions = ("/*.bin -filter", "thumbs/** -filter", "a?.bin !filter", "images/*.svg -filter", "*.txt text=auto")
    healthy.write(".gitattributes", "* text=auto\n" + lines + "\n".join(exceptions) + "\n")
    healthy.write("sub/.gitattributes", "*.c text\nnotes.bin -filter\n")
    healthy.git("config", "core.attributesFile", str(healthy.path.parent / "shared"))
    healthy.write("../shared", "*.bin -filter\n* text=auto\n")
    healthy.git("add", ".")
    assert warnings(healthy) == {}
