"""Upstream's attributes, carried over: an imported file is a pointer or plain here exactly as upstream.

A `.gitattributes` inside an imported directory comes along. The rules of upstream's attributes files outside of it are written
into a marked block at the end of this repository's own:

    # >>> git-lds: attributes of imported paths; written by git lds import and update >>>
    /.ldsdeps !filter -text merge=lds-deps
    /.gitattributes merge=lds-attributes
    # imported "data/raw/images"
    /data/raw/images/** !filter !diff !merge !lds-key !text !eol
    /data/raw/images/**/*.png filter=lds diff=lds merge=lds -text
    # <<< git-lds <<<

The first two lines are for our own files, which are merged by dependencies. The first line of a dependency resets this
repository's own rules; the others are upstream's rules, in upstream's order, with their patterns moved to the new directory. Then
git itself says what upstream's files mean upstream and here, and a file with different answers gets a rule of its own.
A new file thus gets upstream's rules, and the existing files are right whatever the patterns were.

Only the attributes count that decide in which form git keeps a file, and how it compares and merges two. The only filter
that is carried is `lds`, the only drivers are ours and git's own: any other would let upstream name a program to run.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from git_lds.attributes.lines import BLANKS, BYTE_ORDER_MARK, IMPORTED, AttributesLine, parse
from git_lds.data.kinds import DRIVER, KEY, KINDS
from git_lds.deps.manifest.manifest import NAME, WHOLE
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.snapshot import MAX_RULES
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git import attributes, index, objects
from git_lds.git.config import configured
from git_lds.git.objects import small_blobs
from git_lds.git.run import Git
from git_lds.git.trees import ATTRIBUTES

CARRIED = ("filter", "diff", "merge", KEY, "text", "eol")
FILTER = "lds"

_DIFFS = frozenset(
    b"lds ada bash bibtex cpp csharp css dts elixir fortran fountain golang html java kotlin markdown matlab objc pascal perl"
    b" php python ruby rust scheme tex".split()
)
"""The values that `diff` may have: ours, and the languages whose functions git knows by itself."""

_MERGES = frozenset(
    [b"text", b"binary", b"union", *(name.encode() for name in (DRIVER, *(f"{DRIVER}-{k}" for k in KINDS)))]
)
"""The values that `merge` may have: ours, and git's own."""

_BEGIN = IMPORTED + b"; written by git lds import and update >>>"
_END = b"# <<< git-lds <<<"
_HEADING = b"# imported "
_OWN = (
    b"/" + NAME.encode() + b" !filter -text merge=lds-deps",
    b"/" + ATTRIBUTES + b" merge=lds-attributes",
)
"""A pattern such as `*` must not turn `.ldsdeps` itself into a pointer. Without git-lds installed both merge as text."""

_OWN_BEFORE = (b"/" + NAME.encode() + b" !filter -text",)
"""The lines that an older git-lds wrote instead."""

_BINARY = (b"-diff", b"-merge", b"-text")
"""The one macro that git has built in."""

_MAX_LINE = 2000
"""git 2.39.1 and later ignore lines of more than 2048 bytes."""

_VALUE = re.compile(rb"[A-Za-z0-9._+-]+")
_COLUMNS = re.compile(rb"[^\x00-\x20\x7f]{1,300}")
"""The names of columns, with commas: anything that is one word of an attributes file."""

AttributeValues = tuple[bytes, ...]
"""The attributes of one file, in the order of `CARRIED`: set, unset, unspecified, or a value."""


# upstream's rules, moved to another directory


def moved(contents: Mapping[bytes, bytes], path: str, output: str) -> list[bytes]:
    """Return the lines that give files below `output` the attributes that upstream gives those below `path`.

    `contents` are the attributes files outside of the directory `path`, by their directory. A line whose pattern cannot be
    moved is left out.
    """
    lines = []
    macros: dict[bytes, tuple[bytes, ...]] = {b"binary": _BINARY}
    for directory in sorted(contents, key=lambda directory: (directory.count(b"/"), len(directory))):
        below = path.encode()[len(directory) + 1 :] if directory else path.encode()
        for rule in _rules(contents[directory], macros, is_root=not directory):
            carried = _carried(rule.attributes, macros)
            for pattern in _patterns_below(rule.pattern, below.split(b"/")) if carried else ():
                lines.append(_line(_escaped(output.encode()) + b"/" + pattern, carried))
    return [line for line in lines if len(line) <= _MAX_LINE]


def _rules(data: bytes, macros: dict[bytes, tuple[bytes, ...]], *, is_root: bool) -> list[AttributesLine]:
    """Return the rules of an attributes file. Add its macros to `macros`, which only the file at the root may define."""
    rules = []
    for line in data.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        parsed = parse(line) if len(line) <= _MAX_LINE else None
        if parsed is None:
            continue
        pattern, words = parsed
        if pattern.startswith(b"[attr]"):
            if is_root:
                macros[pattern.removeprefix(b"[attr]")] = _carried(words, macros)
        elif pattern and not pattern.startswith(b"!") and not pattern.endswith(b"/"):
            rules.append(parsed)
    return rules


def _carried(words: Iterable[bytes], macros: Mapping[bytes, tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """Return the carried attributes as they are written here; of several values of one, the last, which counts."""
    found: dict[str, bytes] = {}
    for word in words:
        for meant in macros.get(word, (word,)):
            if _name(meant) in CARRIED:
                found[_name(meant)] = _allowed(meant)
    return tuple(found.values())


def _name(word: bytes) -> str:
    return word.lstrip(b"-!").partition(b"=")[0].decode("latin-1")


def _allowed(word: bytes) -> bytes:
    name, is_value, value = word.partition(b"=")
    if name == b"filter" and word != b"filter=" + FILTER.encode():
        return b"!filter"
    return word if not is_value or _is_carried(name, value) else b"!" + name


def _is_carried(name: bytes, value: bytes) -> bool:
    """Return whether an attribute may have this value here when upstream sets it."""
    if name == KEY.encode():
        return _COLUMNS.fullmatch(value) is not None
    known = {b"filter": (FILTER.encode(),), b"diff": _DIFFS, b"merge": _MERGES}.get(name)
    return value in known if known is not None else _VALUE.fullmatch(value) is not None


def _patterns_below(pattern: bytes, directories: Sequence[bytes]) -> list[bytes]:
    """Return the patterns that match below `directories` what `pattern` matches when it is read above them."""
    if b"/" not in pattern:
        return [b"**/" + pattern]
    parts = re.sub(rb"(^|/)\*\*(?:/\*\*)+(?=/|$)", rb"\1**", pattern.removeprefix(b"/")).split(b"/")
    if not all(_is_plain_glob(part) for part in parts):
        return []
    left = {tuple(parts)}
    for directory in directories:
        left = {rest for parts_left in left for rest in _after(parts_left, directory)}
    return sorted({b"/".join(rest) for rest in left if rest})


def _after(parts: tuple[bytes, ...], directory: bytes) -> list[tuple[bytes, ...]]:
    """Return the possible rests of a pattern whose beginning matched `directory`."""
    if not parts:
        return []
    if parts[0] == b"**":
        return [parts, *_after(parts[1:], directory)]
    return [parts[1:]] if _matches(parts[0], directory) else []


def _is_plain_glob(part: bytes) -> bool:
    """Return whether we read a part of a pattern as git does. POSIX classes and open brackets are not supported."""
    return b"[:" not in part and re.fullmatch(rb"(?:[^\[\\]|\\.|\[[!^]?\]?[^\]\\]+\])*", part, re.DOTALL) is not None


def _matches(part: bytes, name: bytes) -> bool:
    pieces = [b""]
    for found in re.finditer(rb"\\(.)|(\*+)|(\?)|\[([!^]?)(\]?[^\]]+)\]|(.)", part, re.DOTALL):
        escaped, star, one, negated, inner, plain = found.groups()
        if star:
            pieces.append(b"")
        elif one:
            pieces[-1] += b"."
        elif inner:
            pieces[-1] += b"[" + (b"^" if negated else b"") + re.sub(rb"([\]\[\\^&~|])", rb"\\\1", inner) + b"]"
        else:
            pieces[-1] += re.escape(escaped or plain)
    first, *others = pieces
    # each star takes as little as it can and is never tried again, or "*a*a*a*a*" could take years
    middle = b"".join(b"(?>.*?" + piece + b")" for piece in others[:-1])
    try:
        return re.fullmatch(first + middle + (b".*" + others[-1] if others else b""), name, re.DOTALL) is not None
    except re.error:
        return False


def _escaped(path: bytes) -> bytes:
    return b"/" + re.sub(rb"([*?\[\\])", rb"\\\1", path)


def _line(pattern: bytes, words: Iterable[bytes]) -> bytes:
    if re.search(rb"[\x00-\x20\"\x7f]", pattern):
        quoted = re.sub(rb"[\x00-\x1f\"\\\x7f]", lambda found: b"\\%03o" % found[0][0], pattern)
        pattern = b'"' + quoted + b'"'
    return b" ".join((pattern, *words))


# attributes as git reads them


def answers(
    clone: UpstreamClone,
    texts: Mapping[bytes, bytes],
    blobs: Mapping[bytes, bytes],
    paths: Sequence[bytes],
    scratch: Path,
) -> list[AttributeValues]:
    """Return the attributes of each of `paths` in a repository that has only these attributes files.

    `texts` are contents, and `blobs` are ids in the upstream clone, both by the path of the file. git reads the former in a
    working tree, and the latter, whose names this file system may not support, in an index; both are made in the directory
    `scratch`. Raises GitFailed.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="attributes-") as directory:
        top = Path(directory) / "tree"
        top.mkdir()
        for path, text in texts.items():
            file = top / os.fsdecode(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
        git = clone.git.at(str(top)).with_environment(
            {"GIT_WORK_TREE": str(top), "GIT_INDEX_FILE": str(Path(directory) / "index")}
        )
        # neither the machine's nor the user's own attributes: the answer must be the same for everyone
        git = configured(git, {"core.attributesFile": os.devnull})
        if blobs:
            entries = _without_marks(clone, blobs).items()
            index.update(git, b"".join(index.info_line(b"100644", blob, path) for path, blob in entries))
        found = attributes.check(git, CARRIED, paths)
    return [tuple(_normal(name.encode(), found[path][name]) for name in CARRIED) for path in paths]


def _without_marks(clone: UpstreamClone, rules: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the rules with blobs that have no byte order mark: git skips it in files, but not in blobs."""
    plain = {
        blob: objects.write_blob(clone.git, data.removeprefix(BYTE_ORDER_MARK)).encode()
        for blob, data in small_blobs(clone.git, dict.fromkeys(rules.values()), limit=MAX_RULES)
        if data.startswith(BYTE_ORDER_MARK)
    }
    return {path: plain.get(blob, blob) for path, blob in rules.items()}


def _normal(name: bytes, value: bytes) -> bytes:
    """Return a value as it is carried: one that is not allowed counts as unspecified."""
    if value in (b"set", b"unset", b"unspecified"):
        return b"unspecified" if name == b"filter" and value == b"set" else value
    return value if _is_carried(name, value) else b"unspecified"


def is_tracked(answer: AttributeValues) -> bool:
    """Return whether git keeps a pointer for a file with these attributes; without any it was not asked about the file."""
    return bool(answer) and answer[CARRIED.index("filter")] == FILTER.encode()


def tracked_here(git: Git, paths: Sequence[bytes]) -> list[bytes]:
    """Return the paths that git keeps as pointers in the repository of `git`. Raises GitFailed."""
    found = attributes.check(git, ("filter",), paths)
    return [path for path in paths if found[path]["filter"] == FILTER.encode()]


def exact(path: bytes, answer: AttributeValues) -> bytes:
    """Return the line that gives these attributes to this file alone."""
    return _line(_escaped(path), (_written(name.encode(), value) for name, value in zip(CARRIED, answer, strict=True)))


def _written(name: bytes, value: bytes) -> bytes:
    forms = {b"set": name, b"unset": b"-" + name, b"unspecified": b"!" + name}
    return forms.get(value, name + b"=" + value)


# the block


def section(contents: Mapping[bytes, bytes], path: str, output: str) -> list[bytes]:
    """Return the lines for a directory, before git checks whether they are right for each file."""
    reset = _line(_escaped(output.encode()) + b"/**", (b"!" + name.encode() for name in CARRIED))
    return [reset, *(() if path == WHOLE else moved(contents, path, output))]


def sections_of(data: bytes) -> dict[str, list[bytes]]:
    """Return the lines of each dependency in the blocks of an attributes file, by output. Raises LdsError for a damaged one."""
    found: dict[str, list[bytes]] = {}
    for block in _blocks(data):
        lines: list[bytes] = []
        for line in block:
            if line.startswith(_HEADING):
                lines = found[_output(line)] = []
            elif line not in _OWN and line not in _OWN_BEFORE:
                lines.append(line)
    return found


def with_sections(data: bytes, sections: Mapping[str, Sequence[bytes]]) -> bytes:
    """Return an attributes file with one block of these sections at its end, or without a block if there are none."""
    own = without_blocks(data)
    if not sections:
        return own
    lines = [_BEGIN, *_OWN]
    for output in sorted(sections):
        lines += [_HEADING + json.dumps(output, ensure_ascii=False).encode(), *sections[output]]
    block = b"".join(line + b"\n" for line in (*lines, _END))
    return (own + b"\n" if own and not own.endswith(b"\n") else own) + block


def _output(line: bytes) -> str:
    try:
        output = json.loads(line.removeprefix(_HEADING))
    except (ValueError, RecursionError):
        output = None
    if not isinstance(output, str):
        raise _damaged()
    return output


def _blocks(data: bytes) -> list[list[bytes]]:
    blocks: list[list[bytes]] = []
    block: list[bytes] | None = None
    for line in data.splitlines():
        if line == _BEGIN and block is None:
            block = []
        elif line == _END and block is not None:
            blocks.append(block)
            block = None
        elif line in (_BEGIN, _END):
            raise _damaged()
        elif block is not None:
            block.append(line)
    if block is not None:
        raise _damaged()
    return blocks


def without_blocks(data: bytes) -> bytes:
    """Return an attributes file without our blocks."""
    kept, inside = [], False
    for line in data.splitlines(keepends=True):
        if line.strip(BLANKS) == _BEGIN:
            inside = True
        if not inside:
            kept.append(line)
        if line.strip(BLANKS) == _END:
            inside = False
    return b"".join(kept)


def _damaged() -> LdsError:
    name = printable(ATTRIBUTES)
    return LdsError(
        f"the block of git-lds in {name} is damaged", f"restore it: git checkout -- {name}; or delete it, and update"
    )
