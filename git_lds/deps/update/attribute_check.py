"""Gives imported files the attributes that they have upstream: the rules are carried over, then git's answers compared."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from git_lds.deps.manifest import manifest, own_files
from git_lds.deps.manifest.manifest import output_path
from git_lds.deps.session import Session
from git_lds.deps.update.incoming import IncomingUpdate
from git_lds.deps.upstream import imported_attributes
from git_lds.deps.upstream import snapshot as upstream
from git_lds.deps.upstream.clone import UpstreamClone
from git_lds.deps.upstream.imported_attributes import AttributeValues
from git_lds.deps.upstream.snapshot import Snapshot
from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.git.trees import ATTRIBUTES
from git_lds.worktree.state import View

_DECISIVE = tuple(imported_attributes.CARRIED.index(name) for name in ("filter", "text"))
"""The attributes that decide what git stores. The others may differ if an attributes file of this repository says so."""


def carried(
    session: Session, view: View, updates: Sequence[IncomingUpdate], vacated: Collection[str] = ()
) -> tuple[Callable[[bytes], bytes], list[dict[bytes, AttributeValues]]]:
    """Return the edit that carries upstream's attributes into our `.gitattributes`, and the attributes of each file by path.

    `vacated` are outputs that no longer hold a dependency. Raises LdsError if another attributes file here overrules them.
    """
    staged = own_files.read_staged(session.repo, view.files.get(ATTRIBUTES))
    answers = [_upstream_answers(session, update) for update in updates]
    changed = {a.dependency.output: _section(a, answer) for a, answer in zip(updates, answers, strict=True)}

    known = own_files.read_manifest(session.repo, view).keys() - set(vacated)

    def edit(data: bytes) -> bytes:
        kept = {output: lines for output, lines in imported_attributes.sections_of(data).items() if output in known}
        return imported_attributes.with_sections(data, kept | changed)

    for last in (False, True):
        right = True
        for update, expected in zip(updates, answers, strict=True):
            wrong = _differing(session, view, update, edit(staged), expected)
            if wrong and last:
                _check_decisive(wrong, expected)
            elif wrong:
                right = False
                changed[update.dependency.output] += [
                    imported_attributes.exact(path, expected[path]) for path in sorted(wrong)
                ]
        if right:
            break
    return edit, answers


def _section(update: IncomingUpdate, expected: dict[bytes, AttributeValues]) -> list[bytes]:
    at = update.dependency
    if b"" in update.snapshot.files:
        return [imported_attributes.exact(path, answer) for path, answer in expected.items()]
    return imported_attributes.section(upstream.read_rules(update.clone, update.snapshot), at.path, at.output)


def _upstream_answers(session: Session, update: IncomingUpdate) -> dict[bytes, AttributeValues]:
    """Return upstream's attributes of each regular file, by its path here."""
    snapshot, output = update.snapshot, update.dependency.output
    names = [name for name, file in snapshot.files.items() if file.is_regular]
    answers = upstream_says(session, update.clone, snapshot, names)
    return {output_path(output, name): answer for name, answer in answers.items()}


def upstream_says(
    session: Session, clone: UpstreamClone, snapshot: Snapshot, names: Sequence[bytes]
) -> dict[bytes, AttributeValues]:
    """Return upstream's attributes at a snapshot for files, by their names below its path. The files need not exist.

    The blobs of the attributes files are in the upstream clone. Raises GitFailed.
    """
    inner = b"" if snapshot.path == manifest.WHOLE else snapshot.path.encode() + b"/"
    texts = {_rules_in(directory): text for directory, text in upstream.read_rules(clone, snapshot).items()}
    blobs = {_rules_in(directory): blob for directory, blob in snapshot.rules.items()}
    blobs |= {inner + name: file.blob for name, file in snapshot.files.items() if file.is_regular and is_rules(name)}
    blobs = {path: blob for path, blob in blobs.items() if path not in texts}
    paths = [inner + name if name else snapshot.path.encode() for name in names]
    return dict(zip(names, imported_attributes.answers(clone, texts, blobs, paths, session.directory), strict=True))


def _rules_in(directory: bytes) -> bytes:
    return directory + b"/" + ATTRIBUTES if directory else ATTRIBUTES


def _differing(
    session: Session, view: View, update: IncomingUpdate, root: bytes, expected: dict[bytes, AttributeValues]
) -> dict[bytes, AttributeValues]:
    """Return the files whose attributes here would differ from upstream's, with those that they would have."""
    output = update.dependency.output
    texts = {ATTRIBUTES: root}
    names = output.encode().split(b"/")
    for count in range(1, len(names)):
        path = b"/".join((*names[:count], ATTRIBUTES))
        if path in view.files and view.files[path].is_regular:
            texts[path] = own_files.read_staged(session.repo, view.files[path])
    files = update.snapshot.files
    blobs = {output_path(output, name): file.blob for name, file in files.items() if is_rules(name) and file.is_regular}
    paths = list(expected)
    answers = imported_attributes.answers(update.clone, texts, blobs, paths, session.directory)
    said = zip(paths, answers, strict=True)
    return {path: answer for path, answer in said if answer != expected[path]}


def is_rules(name: bytes) -> bool:
    """Return whether a file is an attributes file, by its name."""
    return name.rpartition(b"/")[2] == ATTRIBUTES


def _check_decisive(wrong: dict[bytes, AttributeValues], expected: dict[bytes, AttributeValues]) -> None:
    for path, answer in sorted(wrong.items()):
        if any(answer[at] != expected[path][at] for at in _DECISIVE):
            raise LdsError(
                f"an attributes file in a directory above {printable(path)} overrules upstream's attributes for it, "
                "so git would keep it in another form than upstream does",
                "remove the rule, or import to another place; see: git check-attr -a " + printable(path),
            )


def files_about(outputs: Iterable[str]) -> list[str]:
    """Return the paths that a view must show beside the outputs: our own files, and attributes files above the outputs."""
    found = [ATTRIBUTES.decode(), manifest.NAME]
    for output in outputs:
        names = output.split("/")
        found += ["/".join((*names[:count], ATTRIBUTES.decode())) for count in range(1, len(names))]
    return list(dict.fromkeys(found))
