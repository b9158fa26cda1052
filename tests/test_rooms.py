"""The architecture, held by tests: imports between rooms go down, and the filter loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import git_lds

ROOT = Path(git_lds.__file__).parent

FLOORS = [
    {"errors", "pointer", "hashing", "progress", "files", "patterns", "toml", "workers"},
    {"pack", "git"},
    {"local", "remote", "settings", "credentials", "scan", "worktree"},
    {"transfer"},
    {"repo"},
    {"data"},
    {"filters", "sync", "setup", "upkeep"},
    {"imports", "review"},
    {"server"},
    {"cli"},
]
"""From the ground up. A room imports from floors below, and within words and verbs from its own floor where listed."""

SAME_FLOOR = {
    ("pointer", "hashing"),
    ("toml", "errors"),
    ("worktree", "local"),
}

LATE = {("repo", "credentials"), ("repo", "remote"), ("filters", "transfer"), ("data", "transfer")}
"""Imports of our own rooms inside a function, for the filter's start-up: all go down as well."""


def floor_of(room: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    assert found, f"{room} stands on no floor: add it to FLOORS and to docs/architecture.md"
    return found[0]


def imports() -> list[tuple[str, str, str, bool]]:
    """(file, importing room, imported room, inside a function) of each import of ours."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        room = place.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        tree = ast.parse(path.read_text())
        late = {
            id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
        }
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "git_lds" else [node.module]
            for name in names:
                if name.startswith("git_lds.") and not name.startswith("git_lds.__"):
                    found.append((str(place), room, name.split(".")[1], id(node) in late))
    return found


def test_imports_between_rooms_only_go_down() -> None:
    wrong = [
        f"{file} imports {target}"
        for file, room, target, _ in imports()
        if room != target and floor_of(target) >= floor_of(room) and (room, target) not in SAME_FLOOR
    ]
    assert wrong == []


def test_our_own_rooms_are_imported_late_only_where_listed() -> None:
    wrong = [f"{f}: {t}" for f, room, t, late in imports() if late and room not in ("cli", t) and (room, t) not in LATE]
    assert wrong == []


def test_only_the_git_room_starts_git_or_knows_dulwich_and_only_http_knows_httpx() -> None:
    allowed = {"dulwich": {"git", "imports"}, "httpx": {"remote"}, "obstore": {"remote"}, "subprocess": {"git"}}
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                top = name.split(".")[0]
                assert top not in allowed or room in allowed[top], f"{path} imports {name}"


@pytest.mark.parametrize("entry", ["import git_lds.filters.process, git_lds.filters.oneshot", "import git_lds.cli"])
def test_the_filter_loads_only_what_it_needs(entry: str) -> None:
    code = f"import sys; before = set(sys.modules); {entry}; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"httpx", "obstore", "dulwich", "click", "rich", "pyfastcdc", "zstd", "backports", "starlette", "uvicorn", "asyncio",
             "sqlite3", "ssl", "email", "tomllib", "json", "logging", "tempfile", "platformdirs", "urllib.request", "dataclasses",
             "inspect"}  # fmt: skip
    assert heavy.isdisjoint(loaded), heavy.intersection(loaded)
    assert len(loaded) < 100, loaded
