"""Finds the attributes that switch git-lds off again: lines that git reads after those that track files.

git itself says which attributes count, for a sample path of each pattern. Only if that is not our filter are the lines
searched one by one for the one to blame.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from git_lds.attributes import tracking
from git_lds.attributes.lines import IMPORTED, parse
from git_lds.fast_typing import NamedTuple
from git_lds.files import printable
from git_lds.git import attributes, config, index, repository
from git_lds.git.run import Git

_NAME = b"git-lds-sample"
"""A sample for an asterisk: a name that no other pattern matches."""

_MAX_SIZE = 1 << 20
"""Bytes of the largest attributes file that is read; git reads up to 100 MB (since 2.39.1)."""


class Override(NamedTuple):
    """A pattern without effect: a message with the file and line to blame, and what to do."""

    message: str
    hint: str


class _Line(NamedTuple):
    source: str
    """The file, from the top of the working tree."""
    directory: bytes
    """The directory that the pattern is relative to, from the top: empty, or with a slash at its end."""
    number: int
    pattern: bytes
    attributes: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return printable(os.fsencode(f"{self.source}:{self.number}"))

    @property
    def tracks(self) -> bool:
        return b"filter=lds" in self.attributes

    def says(self, attribute: bytes) -> bytes | None:
        """Return the word of the line that sets an attribute, or None. It must be `filter` or `text`: of git's own macros
        only `binary` sets these."""
        forms = (attribute, b"-" + attribute, b"!" + attribute)
        words = [word for word in self.attributes if word.partition(b"=")[0] in forms]
        return words[-1] if words else None


def overridden(git: Git, top: Path) -> list[Override]:
    """Return the lines that override patterns of the working tree at `top`, or convert line endings of tracked files.

    They count in the whole tree, or below a directory with attributes of its own. An exception in the same file that is
    narrower than the pattern is intended, and so are the rules of imports.
    """
    lines = list(_lines(git, top))
    own = {line: _samples(line) for line in lines if line.tracks}
    below = {
        (line, directory): path
        for line in own
        for directory in sorted({other.directory for other in lines})
        if (path := _sample_below(line, directory)) is not None
    }
    values = attributes.check(git, ["filter", "text"], [*(p for paths in own.values() for p in paths), *below.values()])
    said = {path: (value["filter"], value["text"]) for path, value in values.items()}
    found: dict[tuple[_Line, bytes, bytes], list[_Line]] = {}
    for line, paths in own.items():
        if (blame := _blamed(git, lines, line, paths, said)) is not None:
            found.setdefault((*blame, b""), []).append(line)
    for (line, directory), path in below.items():
        blame = _blamed(git, lines, line, [path], said)
        if blame is not None and blame != _blamed(git, lines, line, own[line], said):
            found.setdefault((*blame, directory), []).append(line)
    return [_override(*about, patterns) for about, patterns in found.items()]


_Said = Mapping[bytes, tuple[bytes, bytes]]


def _blamed(
    git: Git, lines: Sequence[_Line], line: _Line, paths: Sequence[bytes], said: _Said
) -> tuple[_Line, bytes] | None:
    """Return the line that overrides `line` for the samples of its pattern, and the attribute that it sets, or None."""
    if all(said[path][0] != b"lds" for path in paths):
        blamed = _last(git, lines, paths[0], b"filter")
        return None if blamed is None or blamed.tracks else (blamed, b"filter")
    if all(said[path][1] not in (b"unset", b"unspecified") for path in paths):
        blamed = _last(git, lines, paths[0], b"text")
        return None if blamed is None or blamed == line else (blamed, b"text")
    return None


def _override(blamed: _Line, attribute: bytes, directory: bytes, patterns: Sequence[_Line]) -> Override:
    first = patterns[0]
    count = len(patterns) - 1
    more = f" and {count} more pattern{'s' if count > 1 else ''}" if count else ""
    names = f"{printable(first.pattern)} ({first.name}){more}"
    where = f" in {printable(directory)}" if directory else ""
    by = f"{blamed.name} says {printable(blamed.pattern)} {printable(blamed.says(attribute) or b'')}"
    if attribute == b"text":
        message = f"line endings of files tracked by {names} are converted{where}: {by}"
        return Override(message, f"move that line before those of git-lds: {blamed.name}")
    message = f"{names} {'have' if more else 'has'} no effect{where}: {by}"
    return Override(message, f"remove line {blamed.name}, or write the intended exception into {first.source}")


def _lines(git: Git, top: Path) -> Iterator[_Line]:
    """Yield the lines that set `filter` or `text` in all attributes files, in the order of increasing precedence."""
    listed = index.paths_on_disk(git.at(str(top)), [f":(glob)**/{tracking.FILE}"])
    names = sorted(listed, key=lambda name: (name.count(b"/"), name))
    sources = [(os.fsdecode(name), name[: -len(tracking.FILE)], top / os.fsdecode(name)) for name in names]
    local = repository.git_path(git, "info/attributes")
    shared = config.get(git, "core.attributesFile", kind="path")
    for source, directory, path in [
        *([(shared, b"", Path(shared))] if shared else []),
        *sources,
        (os.path.relpath(local, top), b"", local),
    ]:
        for number, line in enumerate(_text(path).splitlines(), 1):
            if line.startswith(IMPORTED):
                break
            parsed = parse(line)
            if parsed is not None and any(re.search(rb"(?:^|[-!])(?:filter|text)\b", word) for word in parsed[1]):
                yield _Line(source, directory, number, parsed[0], tuple(parsed[1]))


def _text(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.is_file() and not (path.is_symlink() and path.name == tracking.FILE):
            with open(path, "rb") as file:
                return file.read(_MAX_SIZE)
    return b""


def _samples(line: _Line) -> list[bytes]:
    """Return sample paths of a pattern: in its directory, and, if it matches below that, there too."""
    pattern = line.pattern.removeprefix(b"**/")
    if pattern.endswith(b"/**"):
        pattern = pattern[:-2] + _NAME
    pattern = pattern.replace(b"/**/", b"/").replace(b"**", b"*")
    pattern = re.sub(rb"\[(?:[!^][^]]*|\\?([^]\\])[^]]*)\]", lambda c: c[1] or b"~", pattern)
    name = re.sub(rb"\\(.)|[*]|[?]", lambda c: c[1] or (_NAME if c[0] == b"*" else b"q"), pattern)
    path = line.directory + name.removeprefix(b"/")
    is_deep = b"/" not in name
    return [path, line.directory + _NAME + b"/" + name] if is_deep else [path]


def _sample_below(line: _Line, directory: bytes) -> bytes | None:
    """Return a sample path in a directory below that of `line`, or None if the pattern need not match there."""
    if line.directory == directory or not directory.startswith(line.directory):
        return None
    if b"/" not in line.pattern:
        return directory + _samples(line)[0].removeprefix(line.directory)
    start = line.pattern.removeprefix(b"/").removesuffix(b"**")
    is_plain = start.endswith(b"/") and not re.search(rb"[*?[\\]", start)
    return directory + _NAME if is_plain and directory.startswith(line.directory + start) else None


def _last(git: Git, lines: Sequence[_Line], path: bytes, attribute: bytes) -> _Line | None:
    """Return the line that sets an attribute of a path, or None if that is unknown."""
    for source in reversed(list(dict.fromkeys(line.source for line in lines))):
        about = [line for line in lines if line.source == source and line.says(attribute) is not None]
        if not about or not path.startswith(about[0].directory):
            continue
        name = path.removeprefix(about[0].directory)
        found = [line for line in about if name in set(tracking.matching(git, [line.pattern], [name]))]
        if found:
            return found[-1]
    return None
