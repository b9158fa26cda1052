"""Which paths git-lds keeps: the patterns in `.gitattributes`, in and out, and the files that they should have caught.

Only our own lines of a `.gitattributes` are ever touched; every other byte stays.
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
from git_lds.git.run import Git
from git_lds.snapshots import pointers

FILE = ".gitattributes"

# filter: what makes it work. diff: the name of our textconv; where it is not configured git shows pointers as text.
# merge: the driver that finds out what a file is and merges its contents, or that of one kind, lds-KIND. Where git-lds is
# not installed git merges the pointers as text, and the conflict shows both. -text: no line ending is ever converted.
_ATTRIBUTES = (b"filter=lds", b"diff=lds", b"merge=lds", b"-text")
_TRACKED, _UNTRACKED = b"filter=lds", (b"-filter", b"!filter")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of a `.gitattributes` (its path in the working tree); with `tracked` false one that makes an exception."""

    text: str
    source: str
    tracked: bool


@dataclass(frozen=True, slots=True)
class Tracked:
    """What `track` did: the patterns that it added and those that were there, and which matching files git has as plain
    files, by their paths from the top of the working tree."""

    added: tuple[str, ...]
    present: tuple[str, ...]
    plain: tuple[bytes, ...]


def track(
    git: Git,
    directory: Path,
    patterns: Sequence[str],
    *,
    literal: bool = False,
    dry_run: bool = False,
    merge: str | None = None,
) -> Tracked:
    """Add `patterns` to the `.gitattributes` of `directory` in the working tree; `literal` takes them as names of files.

    `merge` is the kind of merge to write, one of `kinds.KINDS`, also to lines that are there; without it the kind is left
    to the file. Raises UsageError for what is no pattern, before anything is written.
    """
    wanted = dict.fromkeys(_as_name(text) if literal else _as_pattern(text, directory) for text in patterns)
    text = _read(directory)
    here = {pattern for pattern, attributes in _entries(text) if _TRACKED in attributes}
    added = [pattern for pattern in wanted if pattern not in here]
    caught = _caught(git, directory, added)
    driver = DRIVER if merge is None else f"{DRIVER}-{merge}"
    new = text if merge is None else _with_merge(text, [pattern for pattern in wanted if pattern in here], driver)
    if added:
        new = _with_lines(new, [_line(pattern, driver) for pattern in added])
    if new != text and not dry_run:
        replace_with(directory / FILE, new)
    return Tracked(
        added=tuple(map(os.fsdecode, added)),
        present=tuple(os.fsdecode(pattern) for pattern in wanted if pattern in here),
        plain=tuple(pointers.plain(git, caught)),
    )


def untrack(git: Git, directory: Path, patterns: Sequence[str], *, dry_run: bool = False) -> tuple[str, ...]:
    """Take `patterns` out of the `.gitattributes` of `directory`; return them as they stood there.

    Attributes that others added to such a line stay. Raises LdsError, and changes nothing, if one is not there.
    """
    text = _read(directory)
    here = {pattern for pattern, attributes in _entries(text) if _TRACKED in attributes}
    gone = []
    for asked in patterns:
        found = next((form for form in _forms(asked, directory) if form in here), None)
        if found is None:
            raise LdsError(f"{asked} is not tracked by {directory / FILE}", hint="see what is: git lds track")
        gone.append(found)
    if not dry_run:
        replace_with(directory / FILE, b"".join(_without(line, gone) for line in text.splitlines(keepends=True)))
    return tuple(map(os.fsdecode, gone))


def patterns(git: Git, top: Path) -> list[Pattern]:
    """Return the patterns of all `.gitattributes` in the working tree at `top` that are about us, as they stand there."""
    found = []
    root = git.at(str(top))
    for name in sorted(set(root.names("ls-files", "-z", "-co", "--exclude-standard", "--", f":(glob)**/{FILE}"))):
        for pattern, attributes in _entries(_read((top / os.fsdecode(name)).parent)):
            if _TRACKED in attributes or any(word in attributes for word in _UNTRACKED):
                found.append(Pattern(os.fsdecode(pattern), os.fsdecode(name), _TRACKED in attributes))
    return found


def plain_files(git: Git, top: Path) -> list[bytes]:
    """Return the paths that should be pointers by their attributes, and that git's index has as plain files."""
    return pointers.plain_in_index(git.at(str(top)))


def _forms(text: str, directory: Path) -> Iterator[bytes]:
    """Yield the forms in which `track` may have written the text: as it is, as a file's name, as a pattern."""
    yield os.fsencode(text)
    with contextlib.suppress(UsageError):
        yield _as_name(text)
        yield _as_pattern(text, directory)


def _as_pattern(text: str, directory: Path) -> bytes:
    """Return a pattern as `.gitattributes` wants it. Raises UsageError for what would mean nothing, or all."""
    asked, text = text, text[1:] if text.startswith("./") else text
    if not text.strip("/"):
        raise UsageError(f"{asked!r} is not a pattern", hint="for example: git lds track '*.png' 'images/**'")
    if text.startswith("../") or "/../" in text or text == "..":
        raise UsageError(
            f"{asked}: a pattern cannot leave its directory", hint="cd into the directory and track it there"
        )
    if text.startswith("!"):
        raise UsageError(
            f"{asked}: .gitattributes has no negative patterns", hint=f"add the line by hand: {text[1:]} -filter"
        )
    if text.startswith("[attr]"):
        raise UsageError(f"{asked}: [attr] at the start of a line of .gitattributes means something else")
    # unlike in .gitignore, a directory's name matches nothing that is in it
    if text.endswith("/") or _is_directory(directory, text):
        text = text.rstrip("/") + "/**"
    return _checked(asked, text)


def _as_name(text: str) -> bytes:
    """Return the pattern that matches the file `text` of the directory and no other."""
    name = text.removeprefix("./").lstrip("/")
    return _checked(text, "/" + re.sub(r"([*?\[\\])", r"\\\1", name))


def _is_directory(directory: Path, text: str) -> bool:
    return not set(text) & set("*?[") and os.path.isdir(directory / text.lstrip("/"))


def _checked(asked: str, text: str) -> bytes:
    pattern = os.fsencode(text)
    if len(_line(pattern)) >= MAX_LINE or b"\0" in pattern:
        raise UsageError(f"{asked[:60]}…: longer than a line of .gitattributes may be")
    return pattern


def _caught(git: Git, directory: Path, added: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return (path, blob) of the files in the index that the patterns match, asking git itself."""
    if not added:
        return []
    there = git.at(str(directory))
    inside = _index(there, ".")
    prefix = os.fsencode(there.text("rev-parse", "--show-prefix"))
    names = [name for path, _ in inside if (name := path.removeprefix(prefix)).rpartition(b"/")[2] not in PLAIN]
    caught = set(matching(git, added, names))
    return [(path, blob) for path, blob in inside if path.removeprefix(prefix) in caught]


def matching(git: Git, patterns: Sequence[bytes], names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield those of `names` that one of the patterns matches: git is asked in an empty working tree of the repository."""
    git_dir = git.text("rev-parse", "--absolute-git-dir")
    with tempfile.TemporaryDirectory(prefix="git-lds-") as empty:
        (Path(empty) / FILE).write_bytes(b"".join(_quoted(pattern) + b" git-lds-probe\n" for pattern in patterns))
        probe = git.at(empty).with_environment({"GIT_DIR": git_dir, "GIT_WORK_TREE": empty})
        answers = probe.names("check-attr", "-z", "--stdin", "git-lds-probe", stdin=b"".join(n + b"\0" for n in names))
    yield from (path for path, said in zip(answers[::3], answers[2::3], strict=True) if said == b"set")


def _index(git: Git, pathspec: str) -> list[tuple[bytes, bytes]]:
    """Return (path from the top, blob in hex) of the regular files in the index."""
    found = []
    for entry in git.names("ls-files", "-s", "-z", "--full-name", "--", pathspec):
        about, _, path = entry.partition(b"\t")
        mode, blob, stage = about.split(b" ")
        if mode in (b"100644", b"100755") and stage == b"0":
            found.append((path, blob))
    return found


def _read(directory: Path) -> bytes:
    path = directory / FILE
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return b""
    if stat.S_ISLNK(mode):  # git does not read it either, and what it points to may be anywhere
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
    """Return the text with another merge driver of ours in the lines of these patterns, and nothing else changed."""

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
    """Return the pattern as it is written: in C quotes where it holds what would end it, or begin something else."""
    if not _NEEDS_QUOTES.search(pattern):
        return pattern
    escaped = re.sub(rb'(["\\])', rb"\\\1", pattern)
    return b'"' + re.sub(rb"[\x00-\x1f\x7f]", lambda c: b"\\%03o" % c[0][0], escaped) + b'"'


def _with_lines(text: bytes, lines: Sequence[bytes]) -> bytes:
    """Return the text with more lines at its end, ended as the lines are that it has.

    The block of imported rules stays last: for the files of a dependency it must have the last word.
    """
    at = text.find(IMPORTED)
    text, block = (text[:at], text[at:]) if at >= 0 else (text, b"")
    ending = b"\r\n" if b"\r\n" in text else b"\n"
    joint = ending if text and not text.endswith(b"\n") else b""
    return text + joint + b"".join(line + ending for line in lines) + block


def _without(line: bytes, gone: Sequence[bytes]) -> bytes:
    """Return the line without our attributes if its pattern is among `gone`: nothing when no others are left."""
    parsed = parse(line)
    if parsed is None or parsed[0] not in gone or _TRACKED not in parsed[1]:
        return line
    others = [word for word in parsed[1] if word not in _ATTRIBUTES and not _OURS.fullmatch(word)]
    ending = line[len(line.rstrip(b"\r\n")) :]
    return b" ".join((_quoted(parsed[0]), *others)) + ending if others else b""
