"""The architecture, held by tests: imports between rooms go down, and the filter loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from support import Work

import git_lds
from git_lds.git import pktline

ROOT = Path(git_lds.__file__).parent

FLOORS = [
    {
        "errors",
        "pointer",
        "hashing",
        "hosts",
        "progress",
        "files",
        "locks",
        "patterns",
        "sharing",
        "toml",
        "typed",
        "urls",
        "workers",
    },
    {"pack", "git"},
    {"local", "remote", "settings", "credentials", "scan", "worktree"},
    {"transfer", "consent"},
    {"repo"},
    {"data"},
    {"filters", "sync", "setup", "upkeep"},
    {"imports", "review"},
    {"server"},
    {"cli"},
]
"""From the ground up. A room imports from floors below, and within words and verbs from its own floor where listed."""

SAME_FLOOR = {
    ("hashing", "typed"),
    ("pointer", "hashing"),
    ("pointer", "typed"),
    ("progress", "typed"),
    ("files", "typed"),
    ("files", "locks"),
    ("files", "sharing"),
    ("locks", "sharing"),
    ("locks", "errors"),
    ("locks", "typed"),
    ("sharing", "typed"),
    ("toml", "errors"),
    ("worktree", "local"),
    ("scan", "local"),
}

LATE = {
    ("repo", "consent"),
    ("repo", "credentials"),
    ("repo", "git"),
    ("settings", "git"),
    ("repo", "remote"),
    ("filters", "transfer"),
    ("filters", "scan"),
    ("sync", "remote"),
    ("data", "transfer"),
    ("data", "repo"),
}
"""Imports of our own rooms inside a function, for the start of what git calls: all go down as well."""


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


HEAVY = {"httpx", "obstore", "dulwich", "click", "rich", "pyfastcdc", "zstd", "backports", "starlette", "uvicorn", "asyncio",
         "sqlite3", "ssl", "email", "tomllib", "json", "logging", "tempfile", "platformdirs", "urllib.request", "dataclasses",
         "inspect", "hashlib"}  # fmt: skip
"""What `git status` and `git add` need not load."""

GREETING = (
    pktline.line(b"git-filter-client")
    + pktline.line(b"version=2")
    + b"0000"
    + pktline.line(b"capability=clean")
    + b"0000"
)


def loaded_by(code: str, stdin: bytes = b"", cwd: Path | None = None) -> set[str]:
    """Return the modules that the interpreter has at the end of `code`, and did not have at its start."""
    told = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], input=stdin, capture_output=True, check=True, cwd=cwd)
    return set(done.stderr.decode().splitlines()[-1].split())


def test_a_request_loads_httpx_without_its_command_line() -> None:
    loaded = loaded_by("from git_lds.remote.wire import Wire; import httpx; httpx.Client().close()")
    assert "httpx" in loaded and {"rich", "pygments", "click"}.isdisjoint(loaded)


def test_the_filter_greets_git_without_what_only_files_need() -> None:
    loaded = loaded_by("from git_lds.cli import main; main(['filter-process'])", GREETING)
    # with these it would be 13 ms more, of which 5 are for typing alone
    late = HEAVY | {"typing", "pathlib", "subprocess", "urllib.parse", "locale", "selectors"}
    assert late.isdisjoint(loaded), late.intersection(loaded)
    assert len(loaded) < 75, loaded


def test_to_clean_a_file_loads_little_more(work: Work) -> None:
    work.write(".git/hooks/pre-push", b"#!/bin/sh\n")  # as it is from the second time on
    request = b"".join(
        (pktline.line(b"command=clean"), pktline.line(b"pathname=a.bin"), b"0000", *pktline.packets(b"other"), b"0000")
    )
    loaded = loaded_by("from git_lds.cli import main; main(['filter-process'])", GREETING + request, work.path)
    assert HEAVY.isdisjoint(loaded) and "typing" not in loaded, (HEAVY | {"typing"}).intersection(loaded)


def test_what_moves_objects_is_loaded_without_making_dataclasses() -> None:
    """One takes 3 million instructions when its module is loaded, a named tuple 0.7; and there are thirty."""
    loaded = loaded_by("import git_lds.cli.pre_push, git_lds.sync.push, git_lds.transfer.download")
    assert {"dataclasses", "inspect", "httpx", "click"}.isdisjoint(loaded), loaded


def test_status_loads_nothing_that_talks_to_a_store(work: Work) -> None:
    work.write("a.bin", b"contents")
    loaded = loaded_by("from git_lds.cli import main; main(['status'])", cwd=work.path)
    network = {"httpx", "obstore", "ssl", "socket", "email", "http", "urllib.request", "rich", "asyncio"}
    assert network.isdisjoint(loaded), network.intersection(loaded)
