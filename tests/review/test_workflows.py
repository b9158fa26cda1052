"""The examples for CI: their commands work as written, in a clone without the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import coco
from kit.images import plain
from kit.matrix import some_of
from kit.work import Work

EXAMPLES = Path(__file__).parents[2] / "docs" / "workflows"
STEPS = {"review-github.yml": r"^ +run: (.*)$", "review-gitlab.yml": r"^    - ((?!if:).*[^/])$"}


@pytest.mark.parametrize("example", some_of(STEPS))
def test_the_steps_of_an_example_run(example: str, new_work: Callable[..., Work], world: Path) -> None:
    work = new_work(track=("images/**", "*.json"))
    work.write("images/a.jpg", plain(640, 480))
    work.write("a.json", coco.text(coco.document(coco.CATS[:2])))
    base = work.commit()
    work.write("a.json", coco.text(coco.document(coco.CATS[1:2])))
    work.commit()
    bare = work.publish()
    ours = {"GIT_LDS_CACHE": str(world / "none"), "GITHUB_STEP_SUMMARY": str(world / "step.md")}
    clone = work.clone("clone", source=bare, GIT_LDS_SKIP_SMUDGE="1", **ours)
    commits = {"BASE": base, "HEAD": "HEAD", "CI_MERGE_REQUEST_DIFF_BASE_SHA": base}
    steps = re.findall(STEPS[example], (EXAMPLES / example).read_text(), re.MULTILINE)
    ran = [step for step in steps if step.startswith(("git lds ", "cat "))]
    assert [step.split()[2] for step in ran if step.startswith("git")] == ["review", "check"]
    for step in ran:
        done = clone.try_run("bash", "-euc", step, **ours, **commits)
        assert done.returncode == 0, f"{step}: {done.stdout}{done.stderr}"
    assert "| annotations | 0 | 0 | 1 |" in (clone.path / "summary.md").read_text()
    assert (clone.path / "page" / "index.html").is_file()
