"""Pushes in a random life: stores that are restored or emptied, hooks that are passed by, kills, lost confirmations, two clones.

After each push through the hook that worked, the store has all that the branch reaches, whatever happened before.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from kit.kills import dice, kill, start
from kit.published import Published
from kit.stores import Machine
from kit.work import Work, random_bytes

STEPS = 10


class Life:
    """A dataset repository, a second clone of it, and an older copy of the store."""

    def __init__(self, dataset: Published, random: Random, scratch: Path) -> None:
        self.dataset = dataset
        self.random = random
        self.copy = scratch / "older copy"
        self.count = 0
        self.change(dataset.work)
        self.push(dataset.work)
        self.works = [dataset.work, dataset.elsewhere("second", "--branch", dataset.work.path.name)]
        self.copy_store()

    def change(self, work: Work) -> None:
        self.count += 1
        size = self.random.choice([100, 20_000, 300_000])
        work.write(f"{work.path.name} {self.random.randrange(6)}.bin", random_bytes(self.count, size))
        work.commit(f"change {self.count}")

    def push(self, work: Work, *options: str) -> bool:
        return (
            work.try_git("push", "-q", "--force", *options, "origin", f"HEAD:refs/heads/{work.path.name}").returncode
            == 0
        )

    def copy_store(self) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.dataset.store, self.copy)

    def restore_store(self) -> None:
        shutil.rmtree(self.dataset.store)
        shutil.copytree(self.copy, self.dataset.store)

    def empty_store(self) -> None:
        parameters = (self.dataset.store / "lds.toml").read_bytes()
        shutil.rmtree(self.dataset.store)
        self.dataset.store.mkdir()
        (self.dataset.store / "lds.toml").write_bytes(parameters)

    def kill_a_push(self, work: Work) -> None:
        process = start(work, "git", "push", "-q", "--force", "origin", f"HEAD:refs/heads/{work.path.name}")
        try:
            process.wait(self.random.uniform(0, 1.5))
        except Exception:
            kill(process)
        else:
            process.communicate()

    def lose_confirmations(self, work: Work) -> None:
        shutil.rmtree(work.path / ".git/lds/confirmed", ignore_errors=True)

    def mix_up_confirmations(self, work: Work) -> None:
        """Give this clone what the other one remembers of the store."""
        (other,) = (each for each in self.works if each is not work)
        for path in (other.path / ".git/lds/confirmed").glob("*"):
            (work.path / ".git/lds/confirmed").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, work.path / ".git/lds/confirmed" / path.name)

    def rewrite(self, work: Work) -> None:
        self.count += 1
        work.write(f"{work.path.name} rewritten.bin", random_bytes(self.count, 5_000))
        work.git("add", "-A")
        work.git("commit", "-q", "--amend", "-m", f"rewritten {self.count}")

    def take_over(self, work: Work) -> None:
        """Merge what the other clone has, by its pointers alone."""
        (other,) = (each for each in self.works if each is not work)
        if work.try_git("fetch", "-q", "origin").returncode == 0:
            name = f"origin/{other.path.name}"
            if work.try_git("rev-parse", "--verify", "-q", name).returncode == 0:
                work.try_git("merge", "-q", "-X", "ours", "-m", "merge", name)
                if work.try_git("rev-parse", "-q", "--verify", "MERGE_HEAD").returncode == 0:
                    work.git("merge", "--abort")

    def step(self) -> str:
        work = self.random.choice(self.works)
        deeds = {
            "change": lambda: self.change(work),
            "amend": lambda: self.rewrite(work),
            "push past the hook": lambda: self.push(work, "--no-verify"),
            "kill": lambda: (self.change(work), self.kill_a_push(work)),
            "copy": self.copy_store,
            "restore": self.restore_store,
            "empty": self.empty_store,
            "lose": lambda: self.lose_confirmations(work),
            "mix up": lambda: self.mix_up_confirmations(work),
            "take over": lambda: self.take_over(work),
        }
        name = self.random.choice(list(deeds))
        deeds[name]()
        # where no ref is to move git asks no hook
        work.write("plain.txt", f"{self.count} {self.random.random()}")
        work.git("add", "plain.txt")
        work.git("commit", "-qm", "plain")
        pushed = self.push(work)
        if pushed:
            self.assert_complete(work)
        return f"{work.path.name}: {name}, {'pushed' if pushed else 'refused'}"

    def assert_complete(self, work: Work) -> None:
        """What this clone has the bytes of, and its branch reaches, is in the store."""
        from git_lds.repo import Repo
        from git_lds.snapshots import pointers

        with Repo.here(work.path) as repo:
            found = pointers.in_commits(repo.git, ["HEAD"])
            added = [repo.objects.open(each.pointer.oid) for each in found if repo.objects.was_added(each.pointer.oid)]
            contents = [stream.read() for stream in added if stream is not None]
        reader = Machine(work.path.with_name(f"reader {self.count} {self.random.random()}"))
        assert not reader.pull(self.dataset.store, *contents).missing


def live(dataset: Published, scratch: Path, steps: int) -> None:
    random = dice(f"life {dataset.store.name if dataset.store.name == 'lds' else 'x'}")
    life = Life(dataset, random, scratch)
    done = []
    try:
        for _ in range(steps):
            done.append(life.step())
    finally:
        print(*done, sep="\n")
    assert any(each.endswith("pushed") for each in done)


@pytest.mark.parametrize("dataset", ["directory"], indirect=True)
def test_a_push_that_worked_left_nothing_out_whatever_happened_before(dataset: Published, tmp_path: Path) -> None:
    live(dataset, tmp_path, STEPS)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dataset", ["server", "directory", "remote"], indirect=True)
def test_many_pushes_that_worked_left_nothing_out(dataset: Published, tmp_path: Path) -> None:
    live(dataset, tmp_path, 150)
