"""The patterns that git-lds tracks: how they get in and out of `.gitattributes`, and the files that they should match.

Only our own lines of a `.gitattributes` are ever changed; every other byte stays.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from git_lds.attributes.lines import IMPORTED, MAX_LINE, AttributesLine, parse
from git_lds.data.kinds import DRIVER
from git_lds.errors import LdsError, UsageError
from git_lds.files import PLAIN, replace_with
from git_lds.git import attributes, index, repository
from git_lds.git.run import Git
from git_lds.snapshots import pointers

FILE = ".gitattributes"
_PROBE = "git-lds-probe"

# filter: our filter. diff: our textconv; if it is not configured, git shows pointers as text. merge: the driver that detects
# the kind of a file and merges its contents, or that of one kind, lds-KIND; if git-lds is not installed, git merges the
# pointers as text, and the conflict shows both. -text: no line ending is ever converted.
_ATTRIBUTES = (b"filter=lds", b"diff=lds", b"merge=lds", b"-text")
_TRACKED, _UNTRACKED = b"filter=lds", (b"-filter", b"!filter")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern and the `.gitattributes` that has it, by its path in the working tree; an exception is not `tracked`."""

    text: str
    source: str
    tracked: bool


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """How `.gitattributes` changes so that patterns are tracked: its new text, None if it stays.

    `added` are the patterns that are new in it, `present` those that it has already. `plain` are matching files that git
    has as plain files, by their paths from the top of the working tree.
    """

    file: Path
    text: bytes | None
    added: tuple[str, ...]
    present: tuple[str, ...]
    plain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UntrackPlan:
    """How `.gitattributes` changes so that patterns are no longer tracked: its new text, and the patterns as it has them."""

    file: Path
    text: bytes
    removed: tuple[str, ...]


def plan_track(
    git: Git, directory: Path, patterns: Sequence[str], *, literal: bool = False, merge: str | None = None
) -> TrackPlan:
    """Return how to add `patterns` to the `.gitattributes` of `directory`; `literal` takes them as names of files.

    `merge` is the kind of merge to write, one of `kinds.KINDS`, also to existing lines; without it the file decides its
    kind. Raises UsageError if one is not a pattern, and LdsError if the file cannot be edited.
    """
    wanted = dict.fromkeys(_as_name(text) if literal else _as_pattern(text, directory) for text in patterns)
    text = _read(directory)
    tracked = _tracked_in(text)
    added = [pattern for pattern in wanted if pattern not in tracked]
    present = [pattern for pattern in wanted if pattern in tracked]
    driver = DRIVER if merge is None else f"{DRIVER}-{merge}"
    new = text if merge is None else _with_merge(text, present, driver)
    if added:
        new = _with_lines(new, [_line(pattern, driver) for pattern in added])
    return TrackPlan(
        directory / FILE,
        new if new != text else None,
        added=tuple(map(os.fsdecode, added)),
        present=tuple(map(os.fsdecode, present)),
        plain=tuple(pointers.plain(git, _matched_in_index(git, directory, added))),
    )


def plan_untrack(directory: Path, patterns: Sequence[str]) -> UntrackPlan:
    """Return how to remove `patterns` from the `.gitattributes` of `directory`.

    Attributes that others added to such a line stay. Raises LdsError if one is not tracked there.
    """
    text = _read(directory)
    tracked = _tracked_in(text)
    removed = []
    for wanted in patterns:
        pattern = next((form for form in _forms(wanted, directory) if form in tracked), None)
        if pattern is None:
            raise LdsError(
                f"{wanted} is not tracked by {directory / FILE}", hint="to list tracked patterns: git lds track"
            )
        removed.append(pattern)
    new = b"".join(_without(line, removed) for line in text.splitlines(keepends=True))
    return UntrackPlan(directory / FILE, new, tuple(map(os.fsdecode, removed)))


def execute(plan: TrackPlan | UntrackPlan) -> None:
    """Write the `.gitattributes` of a plan."""
    if plan.text is not None:
        replace_with(plan.file, plan.text)


def _tracked_in(text: bytes) -> set[bytes]:
    return {pattern for pattern, words in _entries(text) if _TRACKED in words}


def patterns(git: Git, top: Path) -> list[Pattern]:
    """Return the tracked patterns and the exceptions of all `.gitattributes` in the working tree at `top`."""
    found = []
    for name in index.paths_on_disk(git.at(str(top)), [f":(glob)**/{FILE}"]):
        for pattern, words in _entries(_read((top / os.fsdecode(name)).parent)):
            if _TRACKED in words or any(word in words for word in _UNTRACKED):
                found.append(Pattern(os.fsdecode(pattern), os.fsdecode(name), _TRACKED in words))
    return found


def plain_files(git: Git, top: Path) -> list[bytes]:
    """Return the tracked paths that git's index has as plain files instead of pointers."""
    return pointers.plain_in_index(git.at(str(top)))


def _forms(text: str, directory: Path) -> Iterator[bytes]:
    """Yield the forms in which `track` may have written the text: unchanged, as a file's name, as a pattern."""
    yield os.fsencode(text)
    with contextlib.suppress(UsageError):
        yield _as_name(text)
        yield _as_pattern(text, directory)


def _as_pattern(text: str, directory: Path) -> bytes:
    """Return a pattern in the form of `.gitattributes`. Raises UsageError for one that would match nothing, or everything."""
    given, text = text, text[1:] if text.startswith("./") else text
    if not text.strip("/"):
        raise UsageError(f"{given!r} is not a pattern", hint="for example: git lds track '*.png' 'images/**'")
    if text.startswith("../") or "/../" in text or text == "..":
        raise UsageError(
            f"{given}: a pattern cannot leave its directory", hint="cd into the directory and track it there"
        )
    if text.startswith("!"):
        raise UsageError(
            f"{given}: .gitattributes has no negative patterns", hint=f"add the line by hand: {text[1:]} -filter"
        )
    if text.startswith("[attr]"):
        raise UsageError(f"{given}: [attr] at the start of a line of .gitattributes means something else")
    # unlike in .gitignore, the name of a directory does not match its files
    if text.endswith("/") or _is_directory(directory, text):
        text = text.rstrip("/") + "/**"
    return _checked(given, text)


def _as_name(text: str) -> bytes:
    """Return the pattern that matches only the file `text` of the directory."""
    name = text.removeprefix("./").lstrip("/")
    return _checked(text, "/" + re.sub(r"([*?\[\\])", r"\\\1", name))


def _is_directory(directory: Path, text: str) -> bool:
    return not set(text) & set("*?[") and os.path.isdir(directory / text.lstrip("/"))


def _checked(given: str, text: str) -> bytes:
    pattern = os.fsencode(text)
    if len(_line(pattern)) >= MAX_LINE or b"\0" in pattern:
        raise UsageError(f"{given[:60]}…: longer than a line of .gitattributes may be")
    return pattern


def _matched_in_index(git: Git, directory: Path, added: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return (path from the top, blob in hex) of the regular files in the index that the patterns match."""
    if not added:
        return []
    inner = git.at(str(directory))
    entries = [entry for entry in index.entries(inner, ["."]) if entry.mode in _REGULAR and entry.stage == b"0"]
    prefix = repository.prefix(inner)
    names = [name for e in entries if (name := e.path.removeprefix(prefix)).rpartition(b"/")[2] not in PLAIN]
    matched = set(matching(git, added, names))
    return [(entry.path, entry.blob) for entry in entries if entry.path.removeprefix(prefix) in matched]


_REGULAR = (b"100644", b"100755")


def matching(git: Git, patterns: Sequence[bytes], names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield those of `names` that one of the patterns matches, by git's own answer in an empty working tree."""
    git_dir = str(repository.git_dir(git))
    with tempfile.TemporaryDirectory(prefix="git-lds-") as empty:
        (Path(empty) / FILE).write_bytes(b"".join(_quoted(pattern) + f" {_PROBE}\n".encode() for pattern in patterns))
        probe = git.at(empty).with_environment({"GIT_DIR": git_dir, "GIT_WORK_TREE": empty})
        values = attributes.check(probe, [_PROBE], names)
    yield from (path for path, said in values.items() if said[_PROBE] == b"set")


def _read(directory: Path) -> bytes:
    path = directory / FILE
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return b""
    if stat.S_ISLNK(mode):  # git does not read it either, and its target may be anywhere
        raise LdsError(f"{path} is a symbolic link, which git ignores", hint="replace it with a file")
    if not stat.S_ISREG(mode):
        raise LdsError(f"{path} is not a plain file", hint="replace it with a file")
    return path.read_bytes()


def _entries(text: bytes) -> Iterator[AttributesLine]:
    """Yield (pattern, attributes) of each line of a `.gitattributes`."""
    for line in text.splitlines():
        if (parsed := parse(line)) is not None:
            yield parsed


def _line(pattern: bytes, driver: str = DRIVER) -> bytes:
    return b" ".join((_quoted(pattern), *(_merged_by(word, driver) for word in _ATTRIBUTES)))


def _merged_by(attribute: bytes, driver: str) -> bytes:
    return b"merge=" + driver.encode() if attribute == b"merge=lds" else attribute


def _with_merge(text: bytes, patterns: Sequence[bytes], driver: str) -> bytes:
    """Return the text with another merge driver of ours in the lines of these patterns, otherwise unchanged."""

    def changed(line: bytes) -> bytes:
        parsed = parse(line)
        if parsed is None or parsed[0] not in patterns or _TRACKED not in parsed[1]:
            return line
        return _OUR_MERGE.sub(b"\\1merge=" + driver.encode(), line)

    at = text.find(IMPORTED)
    own, block = (text[:at], text[at:]) if at >= 0 else (text, b"")
    return b"".join(map(changed, own.splitlines(keepends=True))) + block


_OUR_MERGE = re.compile(rb"([ \t])merge=lds(?:-[a-z]+)?(?![^ \t\r\n])")
_OURS = re.compile(rb"merge=lds-[a-z]+|lds-key=.*")
_NEEDS_QUOTES = re.compile(rb'[\x00-\x20\x7f]|^["#]')


def _quoted(pattern: bytes) -> bytes:
    """Return the pattern as a line has it: in C quotes if it contains characters that would end it, or begin a comment."""
    if not _NEEDS_QUOTES.search(pattern):
        return pattern
    escaped = re.sub(rb'(["\\])', rb"\\\1", pattern)
    return b'"' + re.sub(rb"[\x00-\x1f\x7f]", lambda c: b"\\%03o" % c[0][0], escaped) + b'"'


def _with_lines(text: bytes, lines: Sequence[bytes]) -> bytes:
    """Return the text with more lines at its end, with the line endings that it has.

    The block of imported rules stays last: it must override all others for the files of a dependency.
    """
    at = text.find(IMPORTED)
    text, block = (text[:at], text[at:]) if at >= 0 else (text, b"")
    ending = b"\r\n" if b"\r\n" in text else b"\n"
    joint = ending if text and not text.endswith(b"\n") else b""
    return text + joint + b"".join(line + ending for line in lines) + block


def _without(line: bytes, removed: Sequence[bytes]) -> bytes:
    """Return the line without our attributes if its pattern is to be removed, or nothing if it has no others."""
    parsed = parse(line)
    if parsed is None or parsed[0] not in removed or _TRACKED not in parsed[1]:
        return line
    others = [word for word in parsed[1] if word not in _ATTRIBUTES and not _OURS.fullmatch(word)]
    ending = line[len(line.rstrip(b"\r\n")) :]
    return b" ".join((_quoted(parsed[0]), *others)) + ending if others else b""
