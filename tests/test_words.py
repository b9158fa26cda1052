"""The project's English: phrases that readers stumble over, and words that git has another one for, stay out."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

AVOIDED = {
    "of which": "two sentences",
    "what is there": "name it",
    "told": "reported, printed",
    "nobody": "no one, or say what does not happen",
    "anew": "again",
    "is none": "is not a …, does not exist",
    "in the place of": "instead of",
    "as good as": "valid, equal to",
    "whoever": "name the actor",
    "can not": "cannot",
    "folder": "directory",
    "folders": "directories",
    "work trees": "working trees",
    "hashes to something": "checksum mismatch",
}
"""A phrase, and what to write."""

_PHRASES = re.compile(r"(?<!there )\b(" + "|".join(re.escape(phrase) for phrase in AVOIDED) + r")\b")
_PROSE = {".md", ".1", ".html", ".css", ".js", ".yml", ""}
_QUOTES_OTHERS = {"CHANGELOG.md", "tests/test_words.py", "LICENSE"}
"""Files that quote: what was said in older versions, this list, and a text that is not ours."""


def files() -> list[str]:
    """Return the files that git tracks, or would."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and name not in _QUOTES_OTHERS and (PROJECT / name).is_file()]


def prose(name: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that hold prose, with their numbers: of Python, comments and strings."""
    text = (PROJECT / name).read_text()
    if name.endswith(".py") or text.startswith("#!/usr/bin/env python"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == getattr(
                tokenize, "FSTRING_MIDDLE", -1
            ):
                yield from enumerate(token.string.split("\n"), token.start[0])
    elif Path(name).suffix in _PROSE:
        yield from enumerate(text.split("\n"), 1)


def avoided_in(name: str) -> list[str]:
    """Return a line for each avoided phrase in a file, with what to write. A phrase that wraps to the next line counts."""
    found: list[str] = []
    if name.endswith(".png") or not _PHRASES.search(re.sub(r"[\s#]+", " ", (PROJECT / name).read_text())):
        return found
    before = ""
    for number, line in prose(name):
        bare = line.strip().lstrip("#").strip()
        joined = f"{before} {bare}"
        for match in _PHRASES.finditer(joined):
            if match.end() > len(before):
                found.append(f"{name}:{number}: '{match.group()}': {AVOIDED[match.group()]}")
        before = bare.rsplit(" ", 3)[-1] if bare.count(" ") < 3 else " ".join(bare.split(" ")[-3:])
    return found


@pytest.mark.parametrize("phrase", AVOIDED)
def test_the_check_finds_each_phrase(phrase: str) -> None:
    assert _PHRASES.search(f"this {phrase}.") and not _PHRASES.search(f"x{phrase}x")


def test_avoided_phrases_are_in_no_file() -> None:
    found = [line for name in files() for line in avoided_in(name)]
    assert found == [], "\n".join(found)


def raisers(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the public functions below a node that raise on purpose. Those without a docstring fulfil an interface."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from raisers(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_") and ast.get_docstring(child):
            yield from [child] * any(isinstance(each, ast.Raise) and each.exc is not None for each in own_nodes(child))


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions inside."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield from own_nodes(child)


def test_public_functions_that_raise_say_so() -> None:
    silent = [
        f"{path.relative_to(PROJECT)}: {function.name}"
        for path in sorted((PROJECT / "git_lds").rglob("*.py"))
        if "commands" not in path.parts  # a command's docstring is its help
        for function in raisers(ast.parse(path.read_text()))
        if not re.search("[Rr]aise|[Rr]efuse", ast.get_docstring(function) or "")
    ]
    assert silent == []
