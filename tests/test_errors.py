"""The tree of errors is drawn in one place."""

from __future__ import annotations

import re
from pathlib import Path

import git_lds
from git_lds import errors

ROOT = Path(git_lds.__file__).parent
CLASS = re.compile(r"^class (\w+)\((\w+)\):", re.MULTILINE)


def test_the_drawing_has_every_error_below_its_parent_and_says_where_it_is_defined() -> None:
    classes = {
        name: (parent, path.relative_to(ROOT).with_suffix("").as_posix())
        for path in ROOT.rglob("*.py")
        for name, parent in CLASS.findall(path.read_text())
    }
    assert errors.__doc__ is not None
    drawn: dict[str, tuple[str, str]] = {}
    above = ["LdsError"]
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+) +(?:.*\((\S+)\)$)?", line):
            depth = 1 + len(match[1]) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1], match[3] or "errors"
    ours = {"LdsError"}
    while more := {name for name, (parent, _) in classes.items() if parent in ours} - ours:
        ours |= more
    assert drawn == {name: classes[name] for name in ours - {"LdsError"}}
