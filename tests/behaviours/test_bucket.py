"""Stores in buckets, with the commands that people type: a real distributed store, and what may be wrong with one."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit.seaweed import Seaweed, path_in_bucket, start
from kit.work import LAUNCHER, Work, random_bytes

from git_lds.store.backends.bucket import BucketBackend
from git_lds.store.backends.http import Http
from git_lds.store.client.store import Store
from git_lds.store.format.keys import HEAD, PARAMETERS, Parameters, log_key

CONTENTS = {f"images/{n}.png": random_bytes(n, 20_000 + n) for n in range(30)} | {
    "images/large.png": random_bytes(99, 5_000_000)
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    bare = tmp_path / "origin.git"
    Work(tmp_path).git("init", "-q", "--bare", bare)
    return bare


@pytest.fixture
def grogu(new_work: Callable[..., Work], bare: Path) -> Work:
    """A dataset, nothing added yet, with a git remote."""
    work = new_work("grogu", track=())
    work.git("remote", "add", "origin", bare)
    return work


def fill(work: Work) -> None:
    for name, data in CONTENTS.items():
        work.write(name, data)


def clone(bare: Path, name: str) -> Work:
    """Clone as somebody who has nothing here."""
    work = Work(bare.parent / name, bare.parent / f"{name}.cache")
    Work(bare.parent, work.cache).git("clone", "-q", bare, work.path)
    return work


def assert_has_all(work: Work) -> None:
    assert {name: work.read(name) for name in CONTENTS} == CONTENTS
    assert work.is_clean()


def test_the_whole_story(grogu: Work, bare: Path, bucket: str, seaweed: Seaweed) -> None:
    grogu.lds("init", "--store", bucket)
    grogu.lds("track", "images/**")
    fill(grogu)
    grogu.commit("Start the dataset")
    grogu.git("push", "-q", "-u", "origin", "main")
    copy = clone(bare, "copy")
    assert_has_all(copy)
    copy.write("images/large.png", CONTENTS["images/large.png"][:-1] + b"x")
    copy.commit("An edit")
    before = seaweed.files().names(path_in_bucket(bucket))
    copy.git("push", "-q")
    added = seaweed.files().names(path_in_bucket(bucket)) - before
    assert sum(BucketBackend(bucket).size(key) or 0 for key in added) < 1_000_000
    grogu.git("pull", "-q")
    assert grogu.read("images/large.png").endswith(b"x")
    assert "ok   store" in grogu.lds("doctor")


def test_two_who_push_at_once_lose_nothing(grogu: Work, bare: Path, bucket: str) -> None:
    grogu.lds("init", "--store", bucket)
    grogu.lds("track", "images/**")
    grogu.commit("Begin")
    grogu.git("push", "-q", "-u", "origin", "main")
    people = [clone(bare, f"person{n}") for n in range(2)]
    for n, person in enumerate(people):
        person.git("checkout", "-qb", f"branch{n}")
        person.write(f"images/{n}.bin", random_bytes(n, 200_000))
        person.commit(f"{n}")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda person: person.git("push", "-q", "origin", "HEAD"), people))
    assert [key for key in BucketBackend(bucket).list("log/") if key != HEAD] == [log_key(0), log_key(1)]
    for n in range(2):
        reader = clone(bare, f"reader{n}")
        reader.git("checkout", "-q", f"branch{n}")
        assert reader.read(f"images/{n}.bin") == random_bytes(n, 200_000)


@pytest.fixture
def own_seaweed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seaweed]:
    """A cluster that the test may break."""
    with open(tmp_path / "held", "wb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        cluster = start(tmp_path / "seaweed", tmp_path / "held")
        for name, value in cluster.environment().items():
            monkeypatch.setenv(name, value)
        yield cluster


def test_reading_goes_on_when_a_volume_server_dies(own_seaweed: Seaweed, grogu: Work, bare: Path) -> None:
    bucket = own_seaweed.new_store()
    grogu.lds("init", "--store", bucket)
    grogu.lds("track", "images/**")
    fill(grogu)
    grogu.commit("Start the dataset")
    grogu.git("push", "-q", "-u", "origin", "main")
    os.kill(own_seaweed.process("volume0"), signal.SIGKILL)
    assert_has_all(clone(bare, "copy"))


# what may be wrong


BROKEN = [
    ({"AWS_SECRET_ACCESS_KEY": "hush-hush"}, "s3://test/x", "refused access (403, SignatureDoesNotMatch)"),
    ({"AWS_ACCESS_KEY_ID": "hush-hush"}, "s3://test/x", "refused access (403, InvalidAccessKeyId)"),
    ({}, "s3://not-a-bucket-here/x", "there is no bucket s3://not-a-bucket-here"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://test/x", "could not be reached"),
]


@pytest.mark.parametrize(("environment", "address", "message"), BROKEN)
def test_what_is_wrong_with_a_store_is_one_line_and_a_hint(
    grogu: Work, bucket: str, environment: dict[str, str], address: str, message: str
) -> None:
    begun = grogu.try_lds("init", "--quiet", "--store", address, **environment)
    assert begun.returncode == 0  # it may be out of reach today
    grogu.lds("track", "images/**")
    grogu.write("images/a.png", random_bytes(1, 30_000))
    commit = grogu.commit()
    pushed = grogu.try_lds("push", "origin", **environment)
    assert pushed.returncode == 1
    for done in (begun, pushed):
        assert message in done.stderr and "hint: " in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 2, done.stderr
        assert "hush-hush" not in done.stderr + done.stdout and "Traceback" not in done.stderr
    refused = grogu.try_git("push", "-q", "origin", "main", **environment)
    assert refused.returncode != 0
    assert grogu.git("ls-remote", "origin") == ""
    assert grogu.git("rev-parse", "HEAD") == commit


def test_addresses_with_secrets_are_refused(grogu: Work) -> None:
    done = grogu.try_lds("init", "--store", "s3://ada:hush-hush@bucket/x")
    assert done.returncode == 2
    assert "hush-hush" not in done.stderr
    assert not (grogu.path / ".ldsconfig").exists()


def test_ctrl_c_ends_a_push_to_a_store_that_is_silent(
    grogu: Work, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grogu.write(".ldsconfig", f'[store]\nurl = "{bucket}"\n')
    grogu.lds("track", "images/**")
    fill(grogu)
    grogu.commit()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        push = subprocess.Popen([LAUNCHER, "push", "origin"], cwd=grogu.path, stderr=subprocess.PIPE, text=True)
        silent.accept()
        threading.Timer(0.3, push.send_signal, (signal.SIGINT,)).start()
        _, said = push.communicate(timeout=20)
    assert push.returncode == 130
    assert "Traceback" not in said


# a store without put-if-absent


def test_a_store_without_put_if_absent_is_marked_single_writer(seaweed: Seaweed, grogu: Work, bare: Path) -> None:
    """SeaweedFS's filer: it takes PUT over HTTP, and pays no heed to If-None-Match."""
    url = seaweed.plain_http
    begun = grogu.try_lds("init", "--store", url)
    assert begun.returncode == 0
    assert f"{url} is marked single-writer" in begun.stderr and "only one client may push at a time" in begun.stderr
    store = Http(url)
    made = store.read(PARAMETERS)
    assert Parameters.decode(made).single_writer
    grogu.lds("track", "images/**")
    fill(grogu)
    grogu.commit()
    grogu.git("push", "-q", "-u", "origin", "main")
    first = store.read(log_key(0))
    other = clone(bare, "other")  # honours the mark, though it never saw the store being made
    assert_has_all(other)
    other.write("images/new.png", random_bytes(7, 30_000))
    other.commit()
    other.git("push", "-q")
    assert (store.read(PARAMETERS), store.read(log_key(0))) == (made, first)
    assert store.size(log_key(1)) is not None
    doctor = other.lds("doctor")
    assert "single-writer" in doctor
    store.close()


def test_writers_of_a_marked_store_look_first(seaweed: Seaweed, tmp_path: Path) -> None:
    url = seaweed.plain_http
    one = Store(Http(url), tmp_path / "cache")
    made = one.create()
    assert made.single_writer
    assert one.backend.create(log_key(0), b"first") is True
    late = Store(Http(url), tmp_path / "elsewhere")
    assert late.create() == made
    assert late.backend.create(log_key(0), b"second") is False
    assert late.backend.read(log_key(0)) == b"first"
    one.close()
    late.close()


def test_a_bucket_that_refuses_the_condition_is_marked_too(
    grogu: Work, bare: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    assert "is marked single-writer" in grogu.try_lds("init", "--store", bucket).stderr
    grogu.lds("track", "images/**")
    fill(grogu)
    grogu.commit()
    grogu.git("push", "-q", "-u", "origin", "main")
    assert_has_all(clone(bare, "copy"))


def test_a_store_with_put_if_absent_is_not_marked(grogu: Work, bucket: str, server: str) -> None:
    for url in (bucket, f"{server}/grogu"):
        (grogu.path / ".ldsconfig").unlink(missing_ok=True)
        assert "single-writer" not in grogu.try_lds("init", "--store", url).stderr
    assert not Parameters.decode(BucketBackend(bucket).read(PARAMETERS)).single_writer
    assert b"single_writer" not in BucketBackend(bucket).read(PARAMETERS)


def test_doctor_finds_a_store_that_should_be_marked(seaweed: Seaweed, grogu: Work) -> None:
    url = seaweed.plain_http
    unmarked = Parameters("ab" * 16).encode() + b'[newer]\nkept = "as it is"\n'
    store = Http(url)
    store.create(PARAMETERS, unmarked)
    grogu.lds("init", "--store", url)
    done = grogu.try_lds("doctor")
    assert done.returncode == 1
    assert "FAIL store" in done.stdout and "is not marked single-writer" in done.stdout
    assert "single_writer = true" in done.stdout
    assert store.read(PARAMETERS) == unmarked
    store.close()
