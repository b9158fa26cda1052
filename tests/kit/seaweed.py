"""A real distributed store for the tests: a SeaweedFS cluster on loopback, one for all processes of a run, ended with them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

SCRIPT = Path(__file__).parents[2] / "scripts" / "seaweed"
PROGRAM = Path(os.environ.get("WEED") or SCRIPT.parent.parent / ".venv-seaweed" / "bin" / "weed")
MISSING = f"NOT TESTED: stores in buckets, for there is no SeaweedFS at {PROGRAM}; ./scripts/test installs it"


@dataclass(frozen=True)
class Seaweed:
    """A running cluster: how it is reached, as `scripts/seaweed` says it, and its directory."""

    reached: Mapping[str, str]
    directory: Path

    def environment(self, person: str = "owner") -> dict[str, str]:
        """The variables by which `person` (owner, writer, reader: see scripts/seaweed) reaches it."""
        return {
            "AWS_ENDPOINT_URL": self.reached["AWS_ENDPOINT_URL"],
            "AWS_REGION": self.reached["AWS_REGION"],
            "AWS_ACCESS_KEY_ID": self.reached[f"{person.upper()}_KEY"],
            "AWS_SECRET_ACCESS_KEY": self.reached[f"{person.upper()}_SECRET"],
        }

    def new_store(self) -> str:
        """The address of a store that is not there yet."""
        return f"s3://{self.reached['BUCKET']}/{os.urandom(8).hex()}"

    @property
    def plain_http(self) -> str:
        """The address of a new store behind the filer: a real HTTP store that takes any PUT and has no put-if-absent."""
        return f"{self.reached['FILER']}/plain/{os.urandom(8).hex()}"

    def files(self) -> Files:
        return Files(
            S3Store(self.reached["BUCKET"], client_options={"allow_http": True}, **_config(self.environment()))
        )

    def process(self, name: str) -> int:
        """The id of the process `name`: master, volume0, volume1, filer, s3."""
        return int((self.directory / f"{name}.pid").read_text())


def path_in_bucket(url: str) -> str:
    return url.removeprefix("s3://").partition("/")[2]


@dataclass(frozen=True)
class Files:
    """What is in the bucket, past git-lds."""

    client: S3Store

    def add(self, path: str, data: bytes = b"") -> None:
        obstore.put(self.client, path, data)

    def names(self, directory: str) -> set[str]:
        return {found["path"][len(directory) + 1 :] for page in obstore.list(self.client, directory) for found in page}


def _config(environment: Mapping[str, str]) -> dict[str, str]:
    names = {"endpoint": "AWS_ENDPOINT_URL", "region": "AWS_REGION"}
    names |= {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": "AWS_SECRET_ACCESS_KEY"}
    return {name: environment[variable] for name, variable in names.items()}


def start(directory: Path, held: Path) -> Seaweed:
    """Start a cluster that ends when `held` is no longer locked. Skips the test if the program is missing."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip(MISSING)
    done = subprocess.run(
        [sys.executable, SCRIPT, "start", directory, "--while-held", held],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return found(directory)


def found(directory: Path) -> Seaweed:
    lines = (directory / "env").read_text().splitlines()
    return Seaweed(dict(line.split("=", 1) for line in lines), directory)


class Shared:
    """The cluster of a run, started by its first user. It lives while one of the processes that share it does."""

    def __init__(self, root: Path) -> None:
        directory = root / "seaweed"
        self._path = root / "seaweed.held"
        self._held = open(self._path, "ab")
        fcntl.flock(self._held, fcntl.LOCK_SH)
        with open(root / "seaweed.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.cluster = found(directory) if (directory / "env").exists() else start(directory, self._path)

    def close(self) -> None:
        """Let go of it. Whoever is last sees it end, so that its files can be deleted."""
        self._held.close()
        with open(self._path, "ab") as held, contextlib.suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            subprocess.run([sys.executable, SCRIPT, "stop", self.cluster.directory], check=True, timeout=60)
