"""`.ldsdeps`: the paths of other repositories that live in this one, each with its pinned commit.

    [deps."data/raw/images"]
    url = "https://example.org/grogu.git"
    path = "images"
    rev = "main"
    commit = "…40 or 64 hex…"
    tree = "…40 or 64 hex…"
    store = "https://example.org/store/grogu"
    read = ["https://example.org/store/older"]
    vendor = true
    include = ["*.png"]
    exclude = ["drafts"]

`store` and `read` say where the objects are. Both are optional: a dependency of plain files needs no store, and `read` names
further stores that may have objects: those that upstream's own `.ldsconfig` reads from, and those of upstream's own dependencies
inside the imported path (a chain A → B → C, where B holds no copy of A's objects). `vendor`, only ever true, says that this
repository's own store gets a copy of the objects. `include` and `exclude` say which files of a directory are imported, if not
all; `tree` is that of the whole directory in any case.

There is one table for each dependency, in the order of their outputs, one key a line, with a blank line between: changes to
different dependencies never touch neighbouring lines, so git merges them.

The file is in the repository, so anyone who can change that can change it. Any other form is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from git_lds import toml
from git_lds.deps.manifest import include as manifest_include
from git_lds.deps.manifest import transports
from git_lds.errors import LdsError
from git_lds.files import is_safe_path
from git_lds.urls import has_control_character

NAME = ".ldsdeps"

WHOLE = "."
"""The `path` that means the whole repository."""

_MAX_TEXT = 4096
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HINT = f"correct {NAME}, or restore it: git checkout -- {NAME}"
_TAKE_A_SIDE = f"take a side (git checkout --ours {NAME}), git add {NAME}, end the merge, and then: git lds update"
_BIDIRECTIONAL = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED = (".git", ".lds")
"""Names in an output must not begin with these: such files configure git, a forge, or git-lds itself."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A path of another repository that lives at `output` of this one. It is pinned to `commit` and `tree`."""

    output: str
    url: str
    path: str
    rev: str
    """The branch, the tag, or the full commit id that is followed."""
    commit: str
    tree: str
    """Upstream's object id of `path` at `commit`: of a tree, or of the blob when `path` is a file."""
    store: str | None = None
    read: tuple[str, ...] = ()
    vendor: bool = False
    """Whether a push copies its objects to this repository's own store."""
    include: tuple[str, ...] = ()
    """Globs of the files of a directory that are imported; all files if empty."""
    exclude: tuple[str, ...] = ()

    def includes(self, name: bytes) -> bool:
        """Return whether a file is imported, by its name below `path`."""
        return not (self.include or self.exclude) or manifest_include.matches(name, self.include, self.exclude)

    @property
    def stores(self) -> tuple[str, ...]:
        """The URLs of the stores that may have its objects, in the order to ask."""
        return self.read if self.store is None else (self.store, *self.read)


def parse(data: bytes) -> dict[str, Dependency]:
    """Return the dependencies in the bytes of an `.ldsdeps`, by output and in order. Raises LdsError for any other form."""
    tables = _tables(data)
    found = {output: _dependency(output, table) for output, table in sorted(tables.items())}
    _check_apart(found)
    return found


def faults(data: bytes) -> list[LdsError]:
    """Return all errors in the bytes of an `.ldsdeps`; `parse` raises the first."""
    try:
        document = toml.read(data, NAME)
    except LdsError as error:
        return [error]
    found = [_unknown(key) for key in document if key != "deps"]
    tables = document.get("deps", {})
    if not isinstance(tables, dict):
        return [*found, LdsError(f"{NAME}: deps is not a table", _HINT)]
    good: dict[str, Dependency] = {}
    for output, table in sorted(tables.items()):
        try:
            good[output] = _dependency(output, table)
        except LdsError as error:
            found.append(error)
    try:
        _check_apart(good)
    except LdsError as error:
        found.append(error)
    return found


def encode(dependencies: Iterable[Dependency]) -> bytes:
    """Return the text of these dependencies. Raises LdsError if one of them is not allowed."""
    import tomli_w

    tables = {each.output: _table(each) for each in sorted(dependencies, key=lambda each: each.output)}
    text = tomli_w.dumps({"deps": tables}) if tables else ""
    data = text.encode()
    parse(data)
    return data


def _table(dependency: Dependency) -> dict[str, object]:
    keys = {name: getattr(dependency, name) for name in ("url", "path", "rev", "commit", "tree", "store")}
    table: dict[str, object] = {name: value for name, value in keys.items() if value is not None}
    if dependency.read:
        table["read"] = list(dependency.read)
    if dependency.vendor:
        table["vendor"] = True
    for name in ("include", "exclude"):
        if getattr(dependency, name):
            table[name] = list(getattr(dependency, name))
    return table


def _tables(data: bytes) -> dict[str, object]:
    if toml.is_in_conflict(data):
        raise LdsError(f"{NAME} holds unresolved conflicts", _TAKE_A_SIDE)
    document = toml.read(data, NAME)
    tables = document.pop("deps", {})
    if document:
        raise _unknown(next(iter(document)))
    if not isinstance(tables, dict):
        raise LdsError(f"{NAME}: deps is not a table", _HINT)
    return tables


def _unknown(key: str) -> LdsError:
    return LdsError(f"{NAME}: {_quoted(key)} is not known to this git-lds", f"upgrade git-lds, or {_HINT}")


def _dependency(output: str, table: object) -> Dependency:
    where = f"{NAME}: {_quoted(output)}"
    if not isinstance(table, dict):
        raise LdsError(f"{where} is not a table", _HINT)
    if unknown := table.keys() - {
        "url",
        "path",
        "rev",
        "commit",
        "tree",
        "store",
        "read",
        "vendor",
        "include",
        "exclude",
    }:
        raise LdsError(
            f"{where}: the key{'s' if len(unknown) > 1 else ''} {', '.join(map(_quoted, sorted(unknown)))}"
            f" {'are' if len(unknown) > 1 else 'is'} not known to this git-lds",
            f"upgrade git-lds, or {_HINT}",
        )
    texts = {name: _text(table.get(name), where, name) for name in ("url", "path", "rev", "commit", "tree")}
    store = _text(table["store"], where, "store") if "store" in table else None
    if table.get("vendor", True) is not True:
        raise LdsError(f"{where}: vendor can only be true", _HINT)
    read, include, exclude = (_texts(table.get(name, []), where, name) for name in ("read", "include", "exclude"))
    is_vendored = "vendor" in table
    found = Dependency(output, **texts, store=store, read=read, vendor=is_vendored, include=include, exclude=exclude)
    try:
        check(found)
    except LdsError as error:
        raise LdsError(f"{where}: {error.message}", error.hint or _HINT) from None
    return found


def _text(value: object, where: str, name: str) -> str:
    if value is None:
        raise LdsError(f"{where} has no {name}", _HINT)
    if not isinstance(value, str):
        raise LdsError(f"{where}: {name} is not a text", _HINT)
    return value


def _texts(value: object, where: str, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise LdsError(f"{where}: {name} is not a list", _HINT)
    return tuple(_text(each, where, name) for each in value)


def check(dependency: Dependency) -> None:
    """Raise LdsError, saying why, when one of the values is not allowed in an `.ldsdeps`."""
    check_output(dependency.output)
    check_path(dependency.path)
    check_rev(dependency.rev)
    transports.parse(dependency.url)
    for name, value in (("commit", dependency.commit), ("tree", dependency.tree)):
        if not is_object_id(value):
            raise LdsError(f"the {name} {_quoted(value)} is not a full object id")
    if len(dependency.commit) != len(dependency.tree):
        raise LdsError("commit and tree are ids of different hashes")
    check_patterns(dependency.include, dependency.exclude)
    for url in dependency.stores:
        _check_plain(url, "store")
        if has_control_character(url):
            raise LdsError(f"the store {_quoted(url)} holds an encoded control character")
        if transports.has_password(url):
            raise LdsError(
                "the URL of a store must not hold a password", "git's credential helpers keep it: git help credentials"
            )


def check_output(output: str) -> None:
    """Raise LdsError unless `output` is a path of a working tree where imported files may live."""
    _check_plain(output, "output")
    if not is_safe_path(output.encode()):
        raise LdsError(f"the output {_quoted(output)} is not a path inside the working tree")
    for name in output.split("/"):
        if name.lower().startswith(_RESERVED):
            raise LdsError(f"the output {_quoted(output)} has a name that git or git-lds keeps for itself")


def check_path(path: str) -> None:
    """Raise LdsError unless `path` is a path of a repository, or "." for all of it."""
    _check_plain(path, "path")
    if path != WHOLE and not is_safe_path(path.encode()):
        raise LdsError(f"the path {_quoted(path)} is not a path inside a repository")


def check_rev(rev: str) -> None:
    """Raise LdsError unless `rev` is a full commit id, or could be the name of a branch or tag (git check-ref-format)."""
    _check_plain(rev, "rev")
    names = rev.split("/")
    if (
        re.search(r"[ ~^:?*\[\\]|\.\.|@\{", rev)
        or rev == "@"
        or rev.endswith(".")
        or any(not name or name.startswith(".") or name.endswith(".lock") for name in names)
    ):
        raise LdsError(f"the rev {_quoted(rev)} is not the name of a branch or tag, nor a full commit id")


def check_patterns(*lists: tuple[str, ...]) -> None:
    """Raise LdsError unless the texts can be globs of files to import."""
    for pattern in (pattern for patterns in lists for pattern in patterns):
        _check_plain(pattern, "pattern")
        if not pattern.strip("/."):
            raise LdsError(f"the pattern {_quoted(pattern)} matches nothing")
    if sum(len(patterns) for patterns in lists) > manifest_include.MAX_PATTERNS:
        raise LdsError(f"there are more than {manifest_include.MAX_PATTERNS} patterns")


def is_object_id(text: str) -> bool:
    """Return whether `text` is a full object id of git: 40 or 64 lower-case hex digits."""
    return _HEX.fullmatch(text) is not None


def _check_plain(text: str, name: str) -> None:
    """Raise LdsError for a text that a terminal, a shell or an argument list could misread."""
    if not text or len(text) > _MAX_TEXT:
        raise LdsError(f"the {name} is {'too long' if text else 'empty'}")
    if text.startswith("-"):
        raise LdsError(f"the {name} {_quoted(text)} starts with '-'")
    # controls, lone surrogates, line and paragraph separators
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _BIDIRECTIONAL for c in text):
        raise LdsError(f"the {name} {_quoted(text)} holds control characters")


def _check_apart(found: Mapping[str, Dependency]) -> None:
    for output in found:
        outside = inside(output, found)
        if outside is not None:
            raise LdsError(f"{NAME}: {_quoted(output)} lies inside {_quoted(outside)}", _HINT)


def inside(output: str, known: Iterable[str]) -> str | None:
    """Return the output in `known` that `output` lies below, or None."""
    names = output.split("/")
    above = {"/".join(names[:count]) for count in range(1, len(names))}
    return next((other for other in known if other in above), None)


def _quoted(text: str) -> str:
    return f"'{_one_line(text if len(text) <= 100 else text[:97] + '…')}'"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def output_path(output: str, name: bytes) -> bytes:
    """Return the path here of upstream's file `name`; b"" means the dependency's path itself."""
    return output.encode() + (b"/" + name if name else b"")
