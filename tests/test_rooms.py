"""The architecture, held by tests: imports between rooms go down, and the filter loads little."""

from __future__ import annotations

import ast
import functools
import statistics
import subprocess
import sys
from pathlib import Path

from kit.work import Work

import git_lds
from git_lds.git import pktline

ROOT = Path(git_lds.__file__).parent

FLOORS = """
errors fast_typing hosts patterns urls
hashing progress sharing toml workers
locks pointer
files
git store/format
config store/backends local
store/client
consent transfer
repo
snapshots
worktree
data
attributes compare
check drivers filters maintenance setup sync
deps/manifest
deps/upstream
deps/session
deps/merge
deps/history
deps/update
deps/contribute
review
server
cli/bug cli/options cli/paths cli/render
cli/after_push cli/ask_consent
cli/commands
cli/called_by_git cli/group cli/pre_push
cli
"""
"""From the ground up, one floor a line. A room is a directory or a module of the package, or, of a room that is divided
here, what is in it. A room imports from lower floors only."""

FLOOR_OF = {room: number for number, line in enumerate(FLOORS.split("\n")) for room in line.split()}

LATE = {
    ("repo", "consent"),
    ("repo", "config"),
    ("repo", "git"),
    ("repo", "store/client"),
    ("repo", "store/backends"),
    ("config", "git"),
    ("worktree", "git"),
    ("filters", "git"),
    ("filters", "transfer"),
    ("filters", "snapshots"),
    ("sync", "store/client"),
    ("sync", "store/backends"),
    ("snapshots", "transfer"),
    ("snapshots", "git"),
    ("snapshots", "repo"),
    ("drivers", "repo"),
}
"""Imports of our own rooms inside a function, for the start of what git calls: all go down as well."""

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").removesuffix("__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def room_of(module: str) -> str:
    """Return the room of a module, such as "store/format" of "store.format.keys"."""
    parts = module.split(".")
    inner = "/".join(parts[:2])
    room = inner if inner in FLOOR_OF else parts[0]
    assert room in FLOOR_OF, f"{module} stands on no floor: add it to FLOORS and to docs/architecture.md"
    return room


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imports(*, types: bool = True) -> list[tuple[str, str, bool]]:
    """(importing module, imported module, inside a function) of each import of ours; with `types` also those that only a type
    checker makes."""
    found = []
    for module, path in MODULES.items():
        tree = parsed(path)
        functions = (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
        late = {id(node) for function in functions for node in ast.walk(function)}
        checked = (i for i in ast.walk(tree) if isinstance(i, ast.If) and ast.unparse(i.test) == "TYPE_CHECKING")
        unwanted = set() if types else {id(node) for block in checked for node in ast.walk(block)}
        for node in (each for each in ast.walk(tree) if id(each) not in unwanted):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "git_lds":
                inside = (node.module + ".").partition(".")[2]
                names = [
                    f"{node.module}.{a.name}" if f"{inside}{a.name}" in MODULES else node.module for a in node.names
                ]
            for name in names:
                if name.startswith("git_lds."):
                    found.append((module, name.partition(".")[2], id(node) in late))
    return [each for each in found if each[0]]


def test_imports_between_rooms_only_go_down() -> None:
    rooms = ((module, room_of(module), target, room_of(target)) for module, target, _ in imports())
    wrong = [
        f"{module} imports {target}"
        for module, room, target, below in rooms
        if room != below and FLOOR_OF[below] >= FLOOR_OF[room]
    ]
    assert wrong == []


def test_modules_of_one_room_do_not_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = {}
    for module, target, _ in imports(types=False):
        below.setdefault(module, set()).add(target)
    left = {module: targets & below.keys() for module, targets in below.items()}
    while free := {module for module, targets in left.items() if not targets}:
        left = {module: targets - free for module, targets in left.items() if module not in free}
    assert left == {}


def test_our_own_rooms_are_imported_late_only_where_listed() -> None:
    rooms = ((module, room_of(module), target, room_of(target), late) for module, target, late in imports())
    wrong = [
        f"{module}: {target}"
        for module, room, target, below, late in rooms
        if late and not room.startswith("cli") and room != below and (room, below) not in LATE
    ]
    assert wrong == []


def test_files_and_functions_stay_short() -> None:
    lengths = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, path in MODULES.items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    }
    assert [name for name, length in lengths.items() if length > 60] == []
    assert statistics.median(lengths.values()) <= 8
    assert [module for module, path in MODULES.items() if path.read_text().count("\n") > 450] == []


def test_a_class_name_stands_for_one_thing() -> None:
    modules: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                modules.setdefault(node.name.lstrip("_"), set()).add(module)
    assert {name: where for name, where in modules.items() if len(where) > 1} == {}


KNOWN_BY = {"dulwich": {"git"}, "httpx": {"store/backends"}, "obstore": {"store/backends"}, "subprocess": {"git"}}
"""The rooms that may import what others need not know."""


def test_only_the_git_room_starts_git_or_knows_dulwich_and_only_backends_know_httpx() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(parsed(path)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                allowed = KNOWN_BY.get(name.split(".")[0])
                assert allowed is None or room_of(module) in allowed, f"{module} imports {name}"


COMMANDS = """
cat-file check-attr check-ignore check-ref-format commit-tree diff-files diff-index diff-tree fast-export fast-import
fetch-pack for-each-ref hash-object index-pack ls-remote ls-tree merge-base merge-file merge-tree mktree pack-objects
read-tree rev-list rev-parse symbolic-ref unpack-objects update-index update-ref write-tree
"""
"""Names of git commands that are not the names of ours."""

RAW = {"bytes", "maybe", "names", "ok", "shown", "start", "text"}
"""The methods of `Git` that take a command."""


def speaks_git(path: Path) -> bool:
    """Return whether a module names a git command, or calls a raw method of a value that is, or came from, a `Git`."""
    tree = parsed(path)
    gits = {"git", "_git"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None and ast.unparse(node.annotation) == "Git":
            gits.add(node.arg)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and is_git(node.value, gits):
            gits.add(node.targets[0].id)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in COMMANDS.split():
            return True
        if isinstance(node, ast.Attribute) and node.attr in RAW and is_git(node.value, gits):
            return True
    return False


def is_git(node: ast.expr, gits: set[str]) -> bool:
    """Return whether an expression is a `Git`, by its name or by the method that made it."""
    if isinstance(node, ast.Name):
        return node.id in gits
    if isinstance(node, ast.Attribute):
        return node.attr in ("git", "_git")
    if isinstance(node, ast.Call):
        made = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return made in ("Git", "at", "configured", "with_environment", "without_reader", "on_index")
    return False


def test_only_the_git_room_speaks_git() -> None:
    """A module that asks git in a new way gets a typed function in git/."""
    modules = ((module, path) for module, path in MODULES.items() if module.split(".")[0] != "git")
    assert [module for module, path in modules if speaks_git(path)] == []


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
    loaded = loaded_by(
        "from git_lds.store.backends.http_client import HttpClient; import httpx; httpx.Client().close()"
    )
    assert "httpx" in loaded and {"rich", "pygments", "click"}.isdisjoint(loaded)


def test_the_filter_greets_git_without_what_only_files_need() -> None:
    loaded = loaded_by("from git_lds.cli import main; main(['filter-process'])", GREETING)
    # with these it would be 13 ms more, 5 of them for typing alone
    late = HEAVY | {"typing", "pathlib", "subprocess", "urllib.parse", "locale", "selectors"}
    assert late.isdisjoint(loaded), late.intersection(loaded)
    assert len(loaded) < 66, loaded


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
