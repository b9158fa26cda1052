"""The filter's side of git's protocol, with a git that says what no real one would."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kit.scripted_git import CAPABILITIES, FLUSH, HELLO, ScriptedGit, packet, packets
from kit.work import LAUNCHER, Work, pointer_of, random_bytes

LARGE = (4 << 20) + 1


def conversation(work: Work, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Say all of `data` at once, close the pipe, and see what comes of it."""
    return subprocess.run(
        [str(LAUNCHER), "filter-process"], cwd=work.path, input=data, capture_output=True, timeout=60, check=False
    )


def request(command: bytes, path: bytes, *more: bytes) -> bytes:
    lines = [b"command=" + command, b"pathname=" + path, *more]
    return b"".join(packet(line + b"\n") for line in lines) + FLUSH


def silent_about_its_code(done: subprocess.CompletedProcess[bytes]) -> bool:
    return b"Traceback" not in done.stderr and done.returncode in (0, 1) and done.stderr.count(b"\n") <= 2


@pytest.mark.parametrize(
    "hello",
    [
        FLUSH,
        packet(b"git-filter-server\n") + packet(b"version=2\n") + FLUSH,
        packet(b"git-filter-client\n") + packet(b"version=3\n") + FLUSH,
        packet(b"git-filter-client\n") + FLUSH,
        packet(b"version=2\n") + FLUSH,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\n",
        b"0003",
        b"0001",
        b"ffff" + b"x" * 70000,
        b"fff5" + b"x" * 70000,
        b"+010git-filter",
        b"0x10git-filter",
        b" 010git-filter",
        b"00",
        b"0016git-filter",
        bytes(1000),
        random_bytes(1, 1000),
    ],
)
def test_a_bad_handshake_is_one_line_and_exit_1(work: Work, hello: bytes) -> None:
    done = conversation(work, hello)
    assert silent_about_its_code(done) and done.returncode == 1
    assert done.stderr.startswith(b"git-lds: ")


def test_a_pipe_that_closes_at_once_is_no_error(work: Work) -> None:
    done = conversation(work, b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ([b"clean"], [b"clean"]),
        ([b"smudge", b"clean"], [b"clean", b"smudge"]),
        ([b"clean", b"smudge", b"delay", b"future"], [b"clean", b"smudge", b"delay"]),
        ([], []),
    ],
)
def test_only_capabilities_that_git_offers_are_taken(work: Work, offered: list[bytes], taken: list[bytes]) -> None:
    git = ScriptedGit(work)
    git.send(HELLO)
    git.packets()
    git.send(b"".join(packet(b"capability=%s\n" % word) for word in offered) + FLUSH)
    assert git.packets() == [b"capability=%s\n" % word for word in taken]
    assert git.end().code == 0


def test_a_conversation_cut_anywhere_ends_without_a_traceback(work: Work) -> None:
    data = random_bytes(1, 200_000)
    whole = HELLO + CAPABILITIES + request(b"clean", b"a.bin") + packets(data) + FLUSH
    whole += request(b"smudge", b"a.bin", b"can-delay=1") + packets(pointer_of(data)) + FLUSH
    whole += packet(b"command=list_available_blobs\n") + FLUSH
    ends = [
        *range(0, 130, 11),
        131,
        139,
        140,
        1000,
        65_000,
        66_000,
        199_000,
        len(whole) - 200,
        len(whole) - 100,
        len(whole) - 3,
        len(whole),
    ]
    for end in ends:
        done = conversation(work, whole[:end])
        assert silent_about_its_code(done), (end, done.stderr)
    assert work.leftovers() == [] and work.unreadable() == []


def test_an_unknown_command_is_answered_with_abort_and_the_next_file_is_right(work: Work) -> None:
    with ScriptedGit(work) as git:
        assert git.ask(b"explode", b"a.bin", b"contents").status == b"abort"
        assert git.ask(b"", b"a.bin", b"x" * 100_000).status == b"abort"
        git.send(packet(b"pathname=no command\n") + FLUSH + FLUSH)
        assert git.answer().status == b"abort"
        assert git.clean(b"a.bin", b"contents") == pointer_of(b"contents")
    assert git.end().code == 0 and git.end().stderr == ""


def test_a_request_without_a_path_or_with_unknown_keys_is_answered(work: Work) -> None:
    with ScriptedGit(work) as git:
        git.send(packet(b"command=clean\n") + FLUSH + packet(b"contents") + FLUSH)
        assert git.answer().data == pointer_of(b"contents")
        assert git.ask(b"clean", b"a.bin", b"more", b"future=1", b"no equals sign", b"=").data == pointer_of(b"more")
        assert (
            git.ask(
                b"smudge", b"a.bin", pointer_of(b"more"), b"treeish=--output=x", b"ref=\xff", b"blob=" + b"0" * 40
            ).data
            == b"more"
        )
    assert not (work.path / "x").exists()


def test_two_files_of_exactly_1024_bytes_in_a_row(work: Work) -> None:
    """Behaviour 4."""
    with ScriptedGit(work) as git:
        for n in range(6):
            data = random_bytes(n, 1024)
            assert git.clean(b"%d.bin" % n, data) == pointer_of(data)
        for n in range(6):
            data = random_bytes(n, 1024)
            assert git.ask(b"smudge", b"%d.bin" % n, pointer_of(data)).data == data
            assert git.ask(b"smudge", b"%d.bin" % n, data).data == data, "no pointer: passed through"


def test_a_file_swapped_while_it_is_piped_leaves_the_stream_in_step(work: Work) -> None:
    """Behaviour 3."""
    data = random_bytes(1, 300_000)
    for on_disk in (b"short", data + b"longer", None):
        work.write("a.bin", data)
        with ScriptedGit(work) as git:
            git.request(b"clean", b"a.bin")
            git.send(packets(data[:150_000]))
            if on_disk is None:
                (work.path / "a.bin").unlink()
            else:
                work.write("a.bin", on_disk)
            git.send(packets(data[150_000:]) + FLUSH)
            assert git.answer().data == pointer_of(data)
            assert git.clean(b"b.bin", b"the next") == pointer_of(b"the next")
    assert work.unreadable() == []


@pytest.mark.parametrize("size", [1, 2, 1000, 65515, 65516])
def test_packets_of_any_size_make_the_same_file(work: Work, size: int) -> None:
    data = random_bytes(1, 3000 if size < 100 else 700_000)
    with ScriptedGit(work) as git:
        git.request(b"clean", b"a.bin")
        git.send(packets(data, size) + b"0004" + FLUSH)
        assert git.answer().data == pointer_of(data)
        git.request(b"smudge", b"a.bin")
        git.send(packets(pointer_of(data), size) + FLUSH)
        assert git.answer().data == data


def test_nothing_but_empty_packets_is_an_empty_file(work: Work) -> None:
    """Behaviour 9."""
    with ScriptedGit(work) as git:
        for command in (b"clean", b"smudge"):
            git.request(command, b"a.bin")
            git.send(b"0004" * 3 + FLUSH)
            assert git.answer().data == b""
            assert git.ask(command, b"a.bin", b"").data == b""
    assert work.local_objects() == set()


@pytest.mark.parametrize("size", [130, 131, 132, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_what_is_no_pointer_passes_through_unchanged(work: Work, size: int) -> None:
    """Behaviour 6."""
    data = random_bytes(1, size)
    with ScriptedGit(work) as git:
        assert git.ask(b"smudge", b"raw.bin", data).data == data
        assert git.clean(b"b.bin", b"the next") == pointer_of(b"the next")
    assert git.end().stderr.count("raw.bin: committed as it is") == 1


def test_delayed_files_come_when_they_are_asked_for_again(work: Work) -> None:
    """git sends nothing but the path then. What is here already is not delayed."""
    contents = {b"%d.bin" % n: random_bytes(n, size) for n, size in enumerate((10, 200_000, LARGE))}
    for name, data in contents.items():
        work.write(name, data)
    work.commit()
    bare = work.publish()
    clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
    with ScriptedGit(clone) as git:
        assert git.available() == []
        for name, data in contents.items():
            assert git.ask(b"smudge", name, pointer_of(data), b"can-delay=1").status == b"delayed"
        assert sorted(git.available()) == sorted(contents)
        for name, data in contents.items():
            expected = data if len(data) < LARGE else pointer_of(data)
            assert git.ask(b"smudge", name, b"").data == expected
        assert git.available() == []
        assert (
            git.ask(b"smudge", b"0.bin", contents[b"0.bin"] and pointer_of(contents[b"0.bin"]), b"can-delay=1").data
            == contents[b"0.bin"]
        )
        assert git.ask(b"smudge", b"0.bin", b"").data == b"", "an empty file, now that nothing was promised"
    assert clone.read("2.bin") == contents[b"2.bin"]
    assert git.end().stderr == ""


def test_a_missing_object_is_given_as_its_pointer_to_who_fills_a_work_tree(work: Work) -> None:
    """Behaviour 12. And it is asked for only once, however often git asks."""
    work.write("here.bin", b"here")
    work.commit()
    bare = work.publish()
    clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1")
    lost = pointer_of(b"no store has it")
    with ScriptedGit(clone) as git:
        assert git.ask(b"smudge", b"lost.bin", lost, b"can-delay=1").status == b"delayed"
        assert git.ask(b"smudge", b"here.bin", pointer_of(b"here"), b"can-delay=1").status == b"delayed"
        assert git.available() == [b"lost.bin", b"here.bin"]
        assert git.ask(b"smudge", b"here.bin", b"").data == b"here"
        assert git.ask(b"smudge", b"lost.bin", b"").data == lost
        assert git.available() == []
        # as `git cat-file --filters` asks, `git archive`, and `git apply`
        assert git.ask(b"smudge", b"lost.bin", lost, b"blob=" + b"1" * 40).status == b"error"
        assert git.ask(b"smudge", b"lost.bin", lost, b"treeish=HEAD", b"blob=" + b"1" * 40).status == b"error"
        assert git.ask(b"smudge", b"lost.bin", lost).data == lost
        assert git.ask(b"smudge", b"here.bin", pointer_of(b"here")).data == b"here"
    ended = git.end()
    assert ended.code == 0 and "lost.bin" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("damage", ["packs is a file", "objects is a file", "lds is a file"])
def test_a_local_store_that_can_not_be_written_is_an_error_of_that_file(work: Work, damage: str) -> None:
    """And never a pointer without contents. What cannot be kept is read to its end, so the next file is right."""
    where = work.path / ".git" / "lds"
    if damage == "lds is a file":
        where.write_bytes(b"")
    else:
        where.mkdir()
        (where / damage.split()[0]).write_bytes(b"")
    small, large = b"small", random_bytes(1, 500_000)
    with ScriptedGit(work) as git:
        statuses = {data: git.ask(b"clean", b"a.bin", data).status for data in (small, large)}
        assert git.ask(b"clean", b"p.bin", pointer_of(b"x")).data == pointer_of(b"x")
    assert statuses[small] == (b"success" if damage.startswith("objects") else b"error")
    assert statuses[large] == (b"success" if damage.startswith("packs") else b"error")
    ended = git.end()
    assert "git-lds: a.bin: " in ended.stderr and "Traceback" not in ended.stderr
    done = work.try_git(
        "-c",
        "core.bare=false",
        "hash-object",
        "--path",
        "a.bin",
        "--stdin",
        input="small" if damage != "objects is a file" else "",
    )
    assert (done.returncode == 0) == (damage == "objects is a file")


def test_a_damaged_local_copy_takes_the_success_back(work: Work) -> None:
    """Behaviour 14: a large object is verified while it is sent; at its end git learns that it is not to be used."""
    data = random_bytes(1, 500_000)
    with ScriptedGit(work) as git:
        assert git.clean(b"a.bin", data) == pointer_of(data)
    (path,) = (p for p in (work.path / ".git" / "lds" / "objects").rglob("*") if p.is_file())
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b"!")
    with ScriptedGit(work) as git:
        assert git.ask(b"smudge", b"a.bin", pointer_of(data), b"blob=" + b"1" * 40).status == b"error"
        # where git would be left in the midst of its working tree, it is verified before
        answer = git.ask(b"smudge", b"a.bin", pointer_of(data))
        assert (answer.status, answer.data) == (b"success", pointer_of(data))
        assert git.clean(b"b.bin", b"the next") == pointer_of(b"the next")


def test_a_bad_ldsconfig_is_named_once_and_stops_no_file_that_is_here(work: Work) -> None:
    """git would be left in the midst of a checkout, with files missing, if it were an error."""
    work.write("a.bin", b"contents")
    work.write(".ldsconfig", '[fetch]\nexclude = ["b.bin"]\n')
    work.commit()
    work.write(".ldsconfig", "this is = not [toml")
    with ScriptedGit(work) as git:
        assert git.ask(b"smudge", b"a.bin", pointer_of(b"contents")).data == b"contents"
        assert git.ask(b"smudge", b"b.bin", pointer_of(b"excluded")).data == pointer_of(b"excluded")
        assert git.clean(b"a.bin", b"cleaning needs no configuration") == pointer_of(b"cleaning needs no configuration")
    said = git.end().stderr
    assert said.count(".ldsconfig is not valid TOML") == 1 and "using that of HEAD instead" in said and "hint: " in said


def test_outside_of_a_repository_each_file_is_refused(tmp_path: Path, world: Path) -> None:
    with ScriptedGit(Work(tmp_path)) as git:
        assert git.ask(b"clean", b"a.bin", b"contents").status == b"error"
        assert git.ask(b"smudge", b"a.bin", pointer_of(b"x")).status == b"error"
    assert "not inside a git repository" in git.end().stderr


def test_git_that_stops_reading_ends_the_filter_quietly(work: Work) -> None:
    data = random_bytes(1, LARGE)
    with ScriptedGit(work) as git:
        git.clean(b"a.bin", data)
        git.request(b"smudge", b"a.bin")
        git.send(packets(pointer_of(data)) + FLUSH)
        assert git.process.stdout is not None
        git.process.stdout.close()
    ended = git.end()
    assert ended.code == 1 and "Traceback" not in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_filter_quietly_and_leaves_no_lock(work: Work, number: signal.Signals) -> None:
    """Also while large files are put in their places."""
    data = random_bytes(1, 30 << 20)
    work.write("a.bin", data)
    work.commit()
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08):
        work.write("a.bin", pointer_of(data))
        work.git("add", "a.bin")
        git = ScriptedGit(work)
        git.shake_hands()
        assert git.ask(b"smudge", b"a.bin", pointer_of(data), b"can-delay=1").data == pointer_of(data)
        assert git.process.stdin is not None
        if delay:
            git.process.stdin.close()
        time.sleep(delay)
        git.process.send_signal(number)
        ended = git.end()
        assert "Traceback" not in ended.stderr and ended.code in (0, 130, -number), ended
        assert not (work.path / ".git" / "index.lock").exists()
        assert work.read("a.bin") in (data, pointer_of(data)) and work.is_clean()
    work.lds("checkout")
    assert work.read("a.bin") == data
    work.write("b.bin", random_bytes(2, 200_000))
    work.git("add", "-A")
    assert work.leftovers() == []


def test_what_the_filter_writes_to_is_git_alone(work: Work) -> None:
    """A print of some library would break the stream; nothing of ours prints there."""
    with ScriptedGit(work, {"PYTHONVERBOSE": "", "GIT_LDS_DEBUG": "1", "PYTHONUNBUFFERED": "1"}) as git:
        assert git.clean(os.fsencode("ü \udcff.bin"), b"x") == pointer_of(b"x")
