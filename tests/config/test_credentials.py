"""Credentials come from real git with a real helper, and nothing that could fool a helper reaches one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_lds.config.credentials import GitCredentials
from git_lds.errors import LdsError
from git_lds.git.run import Git

URL = "https://store.example.org/org/data"


@pytest.fixture
def helper(world: Path) -> Callable[[str], Path]:
    """Set up a credential helper that answers `get` with some lines; return the file to which it writes its input."""

    def make(answer: str) -> Path:
        received = world / "received"
        received.touch()
        script = world / "helper.py"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsaid = sys.stdin.read()\n"
            f"open({str(received)!r}, 'a').write(sys.argv[1] + '\\n' + said + '\\n')\n"
            f"if sys.argv[1] == 'get':\n    sys.stdout.write({answer!r})\n"
        )
        script.chmod(0o755)
        subprocess.run(["git", "config", "--global", "credential.helper", str(script)], check=True)
        return received

    return make


def received(file: Path) -> list[tuple[str, dict[str, str]]]:
    """Return what the helper received: the verb, and the fields."""
    parts = [part.strip().split("\n") for part in file.read_text().split("\n\n") if part.strip()]
    return [(part[0], dict(line.split("=", 1) for line in part[1:])) for part in parts]


def test_git_is_asked_and_the_helper_answers(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=s3cret=x\n")
    assert GitCredentials(Git()).get(URL) == ("ada", "s3cret=x")
    assert received(file) == [("get", {"protocol": "https", "host": "store.example.org"})]


def test_the_port_is_part_of_the_host(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=x\n")
    GitCredentials(Git()).get("http://127.0.0.1:8420/grogu")
    assert received(file) == [("get", {"protocol": "http", "host": "127.0.0.1:8420"})]


def test_the_path_is_told_only_where_git_is_set_up_so(helper: Callable[[str], Path], world: Path) -> None:
    file = helper("username=ada\npassword=x\n")
    subprocess.run(["git", "config", "--global", "credential.useHttpPath", "true"], check=True)
    credentials = GitCredentials(Git())
    credentials.get(URL)
    credentials.get(f"{URL}/other%20one")
    credentials.get(URL)
    assert [fields["path"] for _, fields in received(file)] == ["org/data", "org/data/other one"]


def test_one_answer_serves_the_whole_origin(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=x\n")
    credentials = GitCredentials(Git())
    for path in ("a", "b", "a"):
        assert credentials.get(f"https://store.example.org/{path}") == ("ada", "x")
    assert len(received(file)) == 1
    credentials.get("https://other.example.org/a")
    assert len(received(file)) == 2


def test_one_question_for_many_threads(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=x\n")
    credentials = GitCredentials(Git())
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: credentials.get(URL), range(16))) == {("ada", "x")}
    assert len(received(file)) == 1


def test_approval_is_passed_on_once(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=x\n")
    credentials = GitCredentials(Git())
    credentials.get(URL)
    credentials.approve(URL, "ada", "x")
    credentials.approve(URL, "ada", "x")
    credentials.approve(URL, "ada", "something else")
    stored = {"protocol": "https", "host": "store.example.org", "username": "ada", "password": "x"}
    assert received(file)[1:] == [("store", stored)]


def test_rejection_is_passed_on_and_the_next_question_is_new(helper: Callable[[str], Path]) -> None:
    file = helper("username=ada\npassword=x\n")
    credentials = GitCredentials(Git())
    credentials.get(URL)
    credentials.reject(URL, "ada", "not what was given")
    credentials.reject(URL, "ada", "x")
    credentials.reject(URL, "ada", "x")
    credentials.get(URL)
    assert [verb for verb, _ in received(file)] == ["get", "erase", "get"]


def test_without_a_helper_and_without_prompts_there_is_none() -> None:
    assert os.environ["GIT_TERMINAL_PROMPT"] == "0"
    assert GitCredentials(Git()).get(URL) is None


def test_a_password_is_needed(helper: Callable[[str], Path]) -> None:
    helper("username=ada\n")
    assert GitCredentials(Git()).get(URL) is None


def test_an_answer_for_another_host_is_not_ours(helper: Callable[[str], Path]) -> None:
    helper("host=other.example.org\nusername=ada\npassword=x\n")
    assert GitCredentials(Git()).get(URL) in (None, ("ada", "x"))


def test_a_helper_that_fails_is_no_helper(world: Path) -> None:
    subprocess.run(["git", "config", "--global", "credential.helper", "!exit 3"], check=True)
    assert GitCredentials(Git()).get(URL) is None


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "%0d", "%0D", "%0a", "%0A", "%00", "\r\nhost=evil.example.org"])
@pytest.mark.parametrize("where", ["https://store.example.org{}/x", "https://store.example.org/a{}b", "https{}://s.example.org/x",
                                   "https://u{}@store.example.org/x"])  # fmt: skip
def test_line_breaks_and_nul_are_refused(helper: Callable[[str], Path], where: str, bad: str) -> None:
    file = helper("username=ada\npassword=x\n")
    with pytest.raises(LdsError):
        GitCredentials(Git()).get(where.format(bad))
    assert received(file) == []


@pytest.mark.parametrize(
    "url", ["https://ada@store.example.org/x", "https://ada:x@store.example.org/x", "https:///x", "x"]
)
def test_an_address_with_a_user_or_without_a_host_is_refused(helper: Callable[[str], Path], url: str) -> None:
    file = helper("username=ada\npassword=x\n")
    with pytest.raises(LdsError) as caught:
        GitCredentials(Git()).get(url)
    assert "ada" not in caught.value.message
    assert received(file) == []


def test_a_failure_does_not_say_the_password(world: Path) -> None:
    subprocess.run(["git", "config", "--global", "credential.helper", "!exit 3 #"], check=True)
    credentials = GitCredentials(Git())
    credentials.approve(URL, "ada", "x")
    credentials.reject(URL, "ada", "x")
