"""Include and exclude patterns against what git itself ignores by the same pattern."""

from __future__ import annotations

import pytest
from kit.work import Work

from git_lds import patterns

PATHS = [
    "a.png",
    "images/a.png",
    "images/deep/b.png",
    "images/deep/c.jpg",
    "data/raw/x.csv",
    "data/x.csv",
    "data/rawer",
    "other/images/z",
]


@pytest.mark.parametrize(
    "pattern",
    ["*.png", "images", "images/", "/images", "images/**", "images/*.png",
     "**/deep", "data/**/x.csv", "data/raw", "[ab].png", "?.png",
     "deep/*.png", "**/*.jpg", "[!a].png", "[^a].png", "data/*", "\\a.png", "\\*.png", "[z-a].png"],
)  # fmt: skip
def test_a_pattern_matches_as_in_git(pattern: str, tmp_path: object, world: object) -> None:
    work = Work(tmp_path)  # type: ignore[arg-type]
    work.git("init", "-q")
    work.write(".gitignore", pattern + "\n")
    listed = work.try_git("check-ignore", "--no-index", "--", *PATHS).stdout.split()
    assert [path for path in PATHS if patterns.wants(path.encode(), [pattern], [])] == listed
    assert [path for path in PATHS if not patterns.wants(path.encode(), [], [pattern])] == listed


def test_a_hostile_pattern_does_not_hang() -> None:
    for pattern in ("*a" * 25 + "b", "**/a/" * 40 + "b", "*" * 50 + "b", "[[[" * 20, "\\"):
        for path in (b"a" * 250, b"a/" * 1000 + b"a"):
            assert not patterns.wants(path, [pattern], [])
