"""How an upstream is reached: over SSH, with credentials of its own, from within a submodule."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.datasets import Dataset, files_of, new_consumer, new_dataset, opened, state_of
from kit.git_http import serving_git
from kit.work import Work

from git_lds.deps.contribute.contribute import contribute
from git_lds.deps.update.add import import_path
from git_lds.deps.update.update import update
from git_lds.errors import LdsError

_SSH = """#!/bin/sh
# as ssh would on the other machine: the last argument is for a shell there
for last; do :; done
echo "$last" >>"$0.log"
exec sh -c "$last"
"""


@pytest.fixture
def there(tmp_path: Path, installed: None, server: str) -> Dataset:
    there = new_dataset(tmp_path)
    there.work.lds("init", "--store", f"{server}/a")
    there.publish({"images/a.png": "a", "images/b.png": "b"})
    return there


def goes_round(there: Dataset, here: Work, url: str) -> None:
    """Import, fix, update, and send the fix back."""
    with opened(here) as repo:
        import_path(repo, url, "images", output="data")
    here.commit("import")
    here.write("data/a.png", "fixed")
    here.commit("a fix")
    there.publish({"images/b.png": "newer"})
    with opened(here) as repo:
        assert update(repo)[0].changed == (b"data/b.png",)
    here.commit("update")
    with opened(here) as repo:
        sent = contribute(repo, "data")
    assert sent.written and sent.uploaded == 1
    there.work.git("fetch", "-q")
    there.work.git("merge", "-q", "--no-edit", f"origin/{sent.plan.destination.branch}")
    assert files_of(there.work, "images") == files_of(here, "data") == {"a.png": b"fixed", "b.png": b"newer"}


def test_over_ssh(there: Dataset, tmp_path: Path, world: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(_SSH)
    ssh.chmod(0o755)
    with open(world / ".gitconfig", "a") as config:
        config.write(f"[core]\n\tsshCommand = {ssh}\n[ssh]\n\tvariant = ssh\n")
    goes_round(there, new_consumer(tmp_path), f"ssh://ada@dataset.example{there.bare}")
    commands = (tmp_path / "ssh.log").read_text().splitlines()
    assert {line.split()[0] for line in commands} == {"git-upload-pack", "git-receive-pack"}


def test_with_credentials_that_git_has(there: Dataset, tmp_path: Path, world: Path) -> None:
    Work(there.bare).git("config", "http.receivepack", "true")
    here = new_consumer(tmp_path)
    before = state_of(here)
    with serving_git(tmp_path, "ada:se cret") as (url, _):
        with opened(here) as repo, pytest.raises(LdsError, match="cannot read"):
            import_path(repo, f"{url}/A.git", "images", output="data")
        assert state_of(here) == before
        # as a credential manager does: in the user's own configuration, and for this host alone
        with open(world / ".gitconfig", "a") as config:
            config.write(f'[credential "{url}"]\n\thelper = "!printf \'username=ada\\\\npassword=se cret\\\\n\' #"\n')
        goes_round(there, here, f"{url}/A.git")
    kept = [path.read_bytes() for path in here.path.rglob("*") if path.is_file()]
    assert not any(b"se cret" in data or b"se%20cret" in data for data in kept)


def test_from_within_a_submodule(there: Dataset, tmp_path: Path) -> None:
    project = new_consumer(tmp_path, "project")
    outer = new_consumer(tmp_path, "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(project.path), "lib/project")
    outer.commit("with a submodule")
    inner = Work(outer.path / "lib/project")
    goes_round(there, inner, there.url)
    assert inner.is_clean() and outer.git("status", "--porcelain") == " M lib/project"
    assert not (outer.path / ".ldsdeps").exists() and not (outer.path / ".git/lds").exists()
