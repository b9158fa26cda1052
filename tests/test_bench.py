"""The benchmark itself, in its smallest form and with what needs no network: no test looks at a time that it measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.matrix import some_of
from kit.work import LAUNCHER

PROJECT = Path(__file__).parents[1]
FIGURES = {"wall", "cpu", "memory", "store", "local", "git"}
OF_SERVER = {"requests", "sent", "received", "server cpu", "server memory"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def bench(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run what scripts/bench runs once it has installed everything, quick and in `directory`."""
    environment = {
        **os.environ,
        "PATH": f"{LAUNCHER.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT / "scripts"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "benchmark", "--quick", "--files", "20", "--large", "1", "--dir", str(directory)]
    return subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


FILE_STEPS = [
    "add",
    "status",
    "status, touched",
    "push",
    "clone",
    "first status",
    "add edit",
    "push edit",
    "pull edit",
    "checkout old",
]
STEPS = {
    "small": FILE_STEPS,
    "large": FILE_STEPS,
    "annotations": ["add", "add edit", "push", "clone", "checkout old"],
    "import": ["import", "update"],
    "import-tenth": ["import", "update"],
    "status": ["add", "status"],
    "start": ["start"],
}


@pytest.mark.parametrize(
    "works", some_of([["status"], ["small"], ["large", "start"], ["annotations"], ["import", "import-tenth"]])
)
def test_every_work_is_done_and_its_figures_are_written(tmp_path: Path, works: list[str]) -> None:
    (tmp_path / "work").mkdir()
    file = tmp_path / "figures.json"
    done = bench(tmp_path / "work", "--tools", "git-lds,floor", "--only", ",".join(works), "--json", str(file))
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert report["machine"].keys() >= {"processor", "cores", "memory", "file system"}
    assert report["versions"]["git-lds"].startswith("git-lds/")
    assert {name: list(found["steps"]) for name, found in report["works"].items()} == {
        name: STEPS[name] for name in works
    }
    for found in report["works"].values():
        for tools in found["steps"].values():
            assert all(times[0].keys() >= FIGURES for times in tools.values())
            assert tools["git-lds"][0].keys() == FIGURES | OF_SERVER
    assert f"### {report['works'][works[0]]['title']}" in done.stdout
    assert not list((tmp_path / "work").iterdir()), "nothing stays behind"
    if "small" in works:
        assert_figures_are_right(report)


def assert_figures_are_right(report: dict[str, Any]) -> None:
    steps = report["works"]["small"]["steps"]
    assert set(steps["push"]) == {"git-lds", "git-lds, directory", "do-nothing filter"}
    (before,), (after,) = (steps[name]["git-lds"] for name in ("add", "push"))
    assert report["works"]["small"]["bytes"] < after["sent"] == after["store"] - before["store"]
    assert after["requests"] > 0
    assert "cp -r" in steps["clone"], "the pointers and a copy: the floor of a clone"
    met = {target["name"]: target["met"] for target in report["targets"]}
    assert met["small files, push"] is True
    assert met["small files, push: faster than dvc"] is None, "what was not measured is not met either"


@pytest.mark.slow
def test_a_wrong_answer_is_no_result(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "small", "--tools", "git-lds", "--spoil", "clone")
    assert done.returncode == 1
    assert "bench: small, git-lds, clone: wrong answer, 1 of 20 file(s) are not as given: images/000/" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir()), "nothing stays behind"


def test_a_tool_that_is_not_installed_is_left_out(tmp_path: Path) -> None:
    """`git-lfs` is looked for on a PATH that has none."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("git", "sh", "findmnt"):
        (programs / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    command = [sys.executable, "-m", "benchmark", "--quick", "--only", "small", "--tools", "git-lfs", "--dir", tmp_path]
    environment = {**os.environ, "PATH": str(programs), "PYTHONPATH": str(PROJECT / "scripts")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "bench: git-lfs is not installed, and left out" in done.stderr
