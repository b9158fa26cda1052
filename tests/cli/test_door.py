"""The one door: what each kind of error looks like, and what is not loaded on the way in."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from kit.work import LAUNCHER, Work

from git_lds import cli
from git_lds.cli import group
from git_lds.errors import LdsError, ObjectsMissing, UsageError


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run `main` with a command that raises, and return the exit code."""

    def run(error: BaseException) -> int:
        def command(words: Sequence[str]) -> int:
            raise error

        monkeypatch.setattr(cli, "import_module", _instead(command))
        return cli.main(["any", "https://ada:secret@example.org/x"])

    return run


def _instead(command: Callable[[Sequence[str]], int]) -> Callable[[str], object]:
    from importlib import import_module

    return lambda name: SimpleNamespace(run=command) if name == "git_lds.cli.group" else import_module(name)


@pytest.mark.parametrize(
    ("error", "status"),
    [(LdsError("a: it failed", "git lds doctor"), 1), (ObjectsMissing("gone", "look"), 1), (UsageError("no", "so"), 2)],
)
def test_our_errors_are_one_line_and_a_hint(
    raising: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str], error: LdsError, status: int
) -> None:
    assert raising(error) == status
    assert capsys.readouterr() == ("", f"git-lds: {error.message}\nhint: {error.hint}\n")


def test_an_error_without_a_hint_is_one_line(
    raising: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(LdsError("a: it failed")) == 1
    assert capsys.readouterr().err == "git-lds: a: it failed\n"


def test_an_interrupt_is_130(raising: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "git-lds: interrupted\n"


def test_a_full_disk_is_not_called_a_bug(
    raising: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x")) == 1
    assert capsys.readouterr().err == "git-lds: /data/x: No space left on device\n"


def test_a_bug_is_said_to_be_ours_and_its_traceback_is_in_a_file(
    raising: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert raising(ZeroDivisionError("division by zero")) == 3
    said = capsys.readouterr().err
    (report,) = tmp_path.iterdir()
    assert said == (
        "git-lds: this is a bug in git-lds: ZeroDivisionError: division by zero\n"
        f"hint: please report it with {report}\n"
    )
    text = report.read_text()
    assert "Traceback" in text and "'any'" in text
    assert "secret" not in text


def test_the_traceback_is_shown_when_asked_for(
    raising: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("GIT_LDS_DEBUG", "1")
    assert raising(ZeroDivisionError()) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error_to_talk_about(tmp_path: Path) -> None:
    done = Work(tmp_path).try_run("sh", "-c", '"$0" -h | true', LAUNCHER)
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [("nope",), ("track", "--nope"), ("--nope",), ("serve", "--root", "x", "--port", "99999999"), ("untrack",),
     ("hook", "nope"), ("hook",), ("clean", "--nope"), ("clean", "a", "b"), ("filter-process", "x"),
     ("textconv",), ("textconv", "a", "b"), ("merge-driver",), ("merge-driver", "nope", "a", "b", "c", "7", "p")],
)  # fmt: skip
def test_a_wrong_call_is_exit_2_with_one_line_and_a_hint(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = Work(tmp_path).try_lds(*words)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.startswith("git-lds: ")
    assert len(done.stderr.splitlines()) <= 2 and "Traceback" not in done.stderr


def test_help_names_every_command_and_each_has_help_of_its_own(tmp_path: Path) -> None:
    from git_lds.cli.group import _SECTIONS

    assert Work(tmp_path).lds() == Work(tmp_path).lds("-h")
    overview = Work(tmp_path).lds("-h")
    for section in _SECTIONS.values():
        for name in section:
            assert f"\n  {name} " in overview
            assert Work(tmp_path).lds(name, "-h", process=True).startswith(f"Usage: git lds {name} ")


def test_the_line_about_a_command_is_the_first_of_its_help() -> None:
    from git_lds.cli.group import _SECTIONS, _group

    for section in _SECTIONS.values():
        for name, line in section.items():
            command = _group.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None and (command.help or "").split("\n\n")[0] == line


@pytest.mark.parametrize("verb", ["filter-process", "clean", "smudge", "textconv", "merge-driver", "hook"])
def test_what_git_calls_explains_itself_as_well(tmp_path: Path, verb: str) -> None:
    assert Work(tmp_path).lds(verb, "-h").startswith(f"Usage: git-lds {verb}")


def modules_of(*words: str, cwd: Path) -> set[str]:
    code = (
        "import sys; from git_lds.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, input="", capture_output=True, text=True, check=False
    )
    return set(done.stderr.split())


HEAVY = {"click", "rich", "httpx", "dulwich", "pyfastcdc", "starlette", "uvicorn", "ssl", "asyncio"}


@pytest.mark.parametrize("words", [("filter-process",), ("clean", "--", "a.bin"), ("smudge", "--", "a.bin")])
def test_what_git_calls_for_each_file_loads_nothing_heavy(work: Work, words: tuple[str, ...]) -> None:
    loaded = modules_of(*words, cwd=work.path)
    assert "git_lds.filters" in loaded
    assert not HEAVY & loaded


def test_what_git_calls_to_show_and_to_merge_loads_nothing_heavy(work: Work) -> None:
    for name in ("base", "ours", "theirs"):
        work.write(name, f'{{"{name}": 1}}')
    sides = ("base", "ours", "theirs", "7", "a.json")
    for words, room in ((("textconv", "base"), "textconv"), (("merge-driver", "auto", *sides), "merge_driver")):
        loaded = modules_of(*words, cwd=work.path)
        assert f"git_lds.drivers.{room}" in loaded
        assert not HEAVY & loaded


@pytest.mark.parametrize("words", [("-h",), ("track", "-h"), ("install", "-h")])
def test_help_and_light_commands_load_nothing_that_moves_objects(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not (HEAVY - {"click"}) & modules_of(*words, cwd=tmp_path)


def test_version_says_what_it_stands_on(tmp_path: Path) -> None:
    from git_lds import __version__

    assert Work(tmp_path).lds("--version") == f"git-lds/{__version__}"
    assert Work(tmp_path).lds("version").startswith(f"git-lds/{__version__} (git 2.")


def test_env_names_each_setting_with_its_origin(work: Work) -> None:
    import json

    work.git("config", "lds.store", "http://ada:secret@127.0.0.1:1/x")
    found = {item["name"]: item for item in json.loads(work.lds("env", "--json", GIT_LDS_INCLUDE="a,b"))}
    assert found["store"]["value"] == "http://127.0.0.1:1/x" and "config" in found["store"]["origin"]
    assert found["include"]["value"] == "a, b"
    assert found["GIT_LDS_INCLUDE"]["origin"] == "environment"
    assert "filter-process" in found["filter.lds.process"]["value"]
    assert "secret" not in work.lds("env")


def test_env_works_outside_a_repository(tmp_path: Path) -> None:
    assert "program = " in Work(tmp_path).lds("env")


def test_the_manual_page_names_every_command() -> None:
    page = (Path(__file__).parents[2] / "docs" / "git-lds.1").read_text()
    for names in group._SECTIONS.values():
        for name in names:
            assert f".BR {name} " in page, name


@pytest.mark.parametrize(
    "command",
    ["status", "doctor", "env", "push", "fetch", "ls-files", "track *.png", "checkout", "deps", "install --local"],
)
def test_a_repository_of_another_user_is_refused_in_the_words_of_git(work: Work, command: str) -> None:
    done = work.try_lds(*command.split(), GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert f"detected dubious ownership in repository at '{work.path}'" in done.stdout + done.stderr
    hint = f"hint: to add an exception for this directory: git config --global --add safe.directory {work.path}"
    assert hint in done.stdout + done.stderr
    assert done.returncode == (0 if command == "env" else 1)


def test_a_filter_can_be_configured_for_the_user_inside_a_repository_of_another_user(work: Work) -> None:
    work.lds("install", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
