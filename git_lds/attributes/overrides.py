"""Finds the attributes that switch git-lds off again: lines that git reads after those by which files are tracked.

git itself is asked what counts, for a path that stands for all that a pattern matches. Only where that is not our filter,
the lines are looked at one by one to name the one to blame.
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
from git_lds.git.run import Git

_NAME = b"git-lds-sample"
"""What stands for an asterisk: a name that no other pattern means."""

_MAX_SIZE = 1 << 20
"""Bytes of the largest file of attributes that is looked at; git takes up to 100 MB (since 2.39.1)."""


class Override(NamedTuple):
    """A pattern that is not in effect: what is wrong, with the file and line that make it so, and what to do."""

    message: str
    hint: str


class _Line(NamedTuple):
    source: str
    """The file, from the top of the working tree."""
    directory: bytes
    """The directory that the pattern counts from, from the top: empty, or with a slash at its end."""
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
        """Return what the line says of an attribute, in its own words; of `filter` and `text`, for these no macro of git's
        own touches but `binary`."""
        forms = (attribute, b"-" + attribute, b"!" + attribute)
        said = [word for word in self.attributes if word.partition(b"=")[0] in forms]
        return said[-1] if said else None


def overridden(git: Git, top: Path) -> list[Override]:
    """Return what keeps patterns of the working tree at `top` from having an effect, in all of it or below a directory with
    attributes of its own, and what lets line endings be converted after them.

    An exception that is narrower than the pattern and stands in the same file is meant, and so are the rules of imports.
    """
    lines = list(_lines(git, top))
    own = {line: _samples(line) for line in lines if line.tracks}
    below = {
        (line, directory): path
        for line in own
        for directory in sorted({other.directory for other in lines})
        if (path := _sample_below(line, directory)) is not None
    }
    said = _asked(git, [*(path for paths in own.values() for path in paths), *below.values()])
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
    """Return the line that undoes `line` for the paths that stand for its pattern, and the attribute by which it does."""
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
        message = f"line endings of what is tracked by {names} are converted{where}, as {by}"
        return Override(message, f"move that line before those of git-lds: {blamed.name}")
    message = f"{names} {'have' if more else 'has'} no effect{where}: {by}"
    return Override(message, f"remove line {blamed.name}, or write the exception that is meant into {first.source}")


def _lines(git: Git, top: Path) -> Iterator[_Line]:
    """Yield the lines about `filter` and `text` of all files of attributes, those that count most last."""
    listed = git.at(str(top)).names("ls-files", "-z", "-co", "--exclude-standard", "--", f":(glob)**/{tracking.FILE}")
    names = sorted(set(listed), key=lambda name: (name.count(b"/"), name))
    sources = [(os.fsdecode(name), name[: -len(tracking.FILE)], top / os.fsdecode(name)) for name in names]
    local = Path(git.text("rev-parse", "--path-format=absolute", "--git-path", "info/attributes"))
    shared = git.maybe("config", "--type=path", "--get", "core.attributesFile")
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
    """Return paths that stand for all that a pattern matches: in its directory, and where it matches below that, there too."""
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
    """Return a path in a directory below that of `line` that its pattern matches; None where it matches none or need not."""
    if line.directory == directory or not directory.startswith(line.directory):
        return None
    if b"/" not in line.pattern:
        return directory + _samples(line)[0].removeprefix(line.directory)
    start = line.pattern.removeprefix(b"/").removesuffix(b"**")
    is_plain = start.endswith(b"/") and not re.search(rb"[*?[\\]", start)
    return directory + _NAME if is_plain and directory.startswith(line.directory + start) else None


def _asked(git: Git, paths: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Return what git says of `filter` and of `text` for each path, which need not be there."""
    if not paths:
        return {}
    stdin = b"".join(path + b"\0" for path in dict.fromkeys(paths))
    answers = git.names("check-attr", "-z", "--stdin", "filter", "text", stdin=stdin)
    values = answers[2::3]
    return dict(zip(answers[::6], zip(values[::2], values[1::2], strict=True), strict=True))


def _last(git: Git, lines: Sequence[_Line], path: bytes, attribute: bytes) -> _Line | None:
    """Return the line that decides on an attribute of a path, or None where that cannot be told."""
    for source in reversed(list(dict.fromkeys(line.source for line in lines))):
        about = [line for line in lines if line.source == source and line.says(attribute) is not None]
        if not about or not path.startswith(about[0].directory):
            continue
        name = path.removeprefix(about[0].directory)
        found = [line for line in about if name in set(tracking.matching(git, [line.pattern], [name]))]
        if found:
            return found[-1]
    return None
