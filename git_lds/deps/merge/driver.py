"""The merge drivers of our own files: `.ldsdeps` is merged dependency by dependency, and so is the block in `.gitattributes`.

    deps          .ldsdeps: key by key, three ways; of two pinned commits the later one. The file stays readable
    attributes    .gitattributes: the block by sections, the rest as text

Two branches that update one dependency both write its pinned commit. git merges the files of the two, without knowing of
pins, and the result holds the changes of the later one. The upstream clone says which is later, without the network. If
that is unknown, or neither is later, our pin stays, and git reports a conflict: the next update then merges three ways, and
finds that theirs is already merged.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from git_lds.data.conflicts import Markers
from git_lds.data.text import merge as text_merge
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.upstream import clone, imported_attributes
from git_lds.deps.upstream.clone import clones_of
from git_lds.drivers import merge_driver
from git_lds.drivers.merge_driver import DriverResult
from git_lds.errors import LdsError
from git_lds.files import printable, replace_with
from git_lds.git import refs
from git_lds.git.run import Git
from git_lds.repo import Repo

_IS_ABOUT = ("url", "path", "rev", "include", "exclude")
"""The keys that say what a dependency follows."""

OURS, THEIRS, DIVERGED = "ours", "theirs", "diverged"

Later = Callable[[Dependency, Dependency], str | None]
"""Returns whose pinned commit is later, OURS or THEIRS; DIVERGED if neither is, None if unknown."""


@dataclass(frozen=True, slots=True)
class ManifestConflict:
    """What could not be merged in a dependency, in a few words; `updates` says that an update settles it."""

    output: str
    what: str
    updates: bool = False


def merge(kind: str, paths: Sequence[str], path: str, size: str, labels: Sequence[str]) -> DriverResult:
    """Merge the files at `paths`, base, ours and theirs, and write the result to that of ours, as `drivers.merge_driver` does."""
    name = os.fsencode(path)
    base, ours, theirs = (merge_driver.read_side(each) for each in paths)
    with Repo.here() as repo:
        markers = merge_driver.markers_of(size, labels, "")
        try:
            if kind == "deps":
                sides = (manifest.parse(base), manifest.parse(ours), manifest.parse(theirs))
                said: list[str] = []

                def later(ours: Dependency, theirs: Dependency) -> str | None:
                    side = _later(repo, ours, theirs)
                    if side in (OURS, THEIRS):
                        said.append(_told(name, ours if side == OURS else theirs, side))
                    return side

                found, conflicts = merged_dependencies(*sides, later)
                if merge_driver.merges_ancestors(repo, name, markers):
                    # git uses the result as the base: with one side's value in it, that side would look unchanged
                    unclear = {each.output for each in conflicts}
                    found, conflicts, said = [each for each in found if each.output not in unclear], [], []
                replace_with(Path(paths[1]), manifest.encode(found))
                return DriverResult(not conflicts, (*said, *_said(name, conflicts)))
            data, said = merged_attributes(repo.git, base, ours, theirs, name, markers)
            replace_with(Path(paths[1]), data)
            return DriverResult(not said, tuple(said))
        except LdsError as error:
            # from a newer git-lds, or damaged by hand: then it is merged as text, as without git-lds
            merged = text_merge.merge(repo.git, base, ours, theirs, printable(name), markers)
            replace_with(Path(paths[1]), merged.data)
            return DriverResult(not merged.conflicts, (error.message + "; merged line by line",))


def _told(path: bytes, at: Dependency, side: str) -> str:
    """Return whose pinned commit is later. git does not know, and reports files that both got from upstream as conflicts."""
    output = printable(at.output.encode())
    later = f"at {at.commit[:10]}, the later one, of {side}"
    return f"{printable(path)}: {output}: {later}; for files without edits of your own take {side}"


def _said(path: bytes, conflicts: Sequence[ManifestConflict]) -> Iterable[str]:
    for each in conflicts:
        yield f"{printable(path)}: {printable(each.output.encode())}: {each.what}"
    if conflicts:
        outputs = dict.fromkeys(shlex.quote(printable(each.output.encode())) for each in conflicts if each.updates)
        then = (
            f", end the merge, and then: git lds update {' '.join(outputs)}"
            if outputs
            else ", when it is as you want it"
        )
        yield f"hint: git add {printable(path)}{then}"


def _later(repo: Repo, ours: Dependency, theirs: Dependency) -> str | None:
    """Return whose pinned commit is later, as the upstream clone knows; None if it does not."""
    kept = clone.existing(ours.url, clones_of(repo))
    if kept is None or any(refs.commit(kept, each.commit) is None for each in (ours, theirs)):
        return None
    if refs.is_ancestor(kept, ours.commit, theirs.commit):
        return THEIRS
    return OURS if refs.is_ancestor(kept, theirs.commit, ours.commit) else DIVERGED


# .ldsdeps


def merged_dependencies(
    base: Mapping[str, Dependency], ours: Mapping[str, Dependency], theirs: Mapping[str, Dependency], later: Later
) -> tuple[list[Dependency], list[ManifestConflict]]:
    """Return the merge of three `.ldsdeps`, and the conflicts, in which our version was taken."""
    our, their = _by_old_output(base, ours), _by_old_output(base, theirs)
    found: list[Dependency] = []
    conflicts: list[ManifestConflict] = []
    for output in sorted(base.keys() | our.keys() | their.keys()):
        sides = base.get(output), our.get(output), their.get(output)
        merged, wrong = _merged(*sides, later)
        found += [merged] if merged else []
        conflicts += [
            ManifestConflict((merged.output if merged else output), each.what, each.updates) for each in wrong
        ]
    outputs = [each.output for each in found]
    for output in outputs:
        if outputs.count(output) > 1 or manifest.inside(output, outputs) is not None:
            what = "both sides put a dependency at this place, or one inside of the other; all is as ours has it"
            return list(ours.values()), [ManifestConflict(output, what)]
    return found, conflicts


def _by_old_output(base: Mapping[str, Dependency], side: Mapping[str, Dependency]) -> dict[str, Dependency]:
    """Return a side's dependencies by their outputs in the base: that of one that was moved differs."""

    def named(known: Iterable[Dependency], at: Dependency) -> list[str]:
        return [each.output for each in known if (each.url, each.path) == (at.url, at.path)]

    gone = [at for output, at in base.items() if output not in side]
    new = [at for output, at in side.items() if output not in base]
    moved = {
        at.output: before[0] for at in new if len(before := named(gone, at)) == 1 and named(new, at) == [at.output]
    }
    return {moved.get(output, output): at for output, at in side.items()}


def _merged(
    base: Dependency | None, ours: Dependency | None, theirs: Dependency | None, later: Later
) -> tuple[Dependency | None, list[ManifestConflict]]:
    if theirs in (base, ours):
        return ours, []
    if ours == base:
        return theirs, []
    if ours is None or theirs is None:
        return ours or theirs, [ManifestConflict("", "removed on one side and changed on the other; it is kept")]
    return _merged_keys(base, ours, theirs, later)


def _merged_keys(
    base: Dependency | None, ours: Dependency, theirs: Dependency, later: Later
) -> tuple[Dependency, list[ManifestConflict]]:
    conflicts = []
    merged = ours
    for name in ("output", *_IS_ABOUT):
        before = getattr(base, name) if base else None
        our, their = getattr(ours, name), getattr(theirs, name)
        if our == before:
            merged = replace(merged, **{name: their})
        elif their not in (before, our):
            conflicts.append(ManifestConflict("", f"{name} was changed on both sides; it is as ours has it"))
    if ours.vendor == (base is not None and base.vendor):
        merged = replace(merged, vendor=theirs.vendor)
    side, why = _pin_of(base, ours, theirs, later)
    conflicts += [ManifestConflict("", why, updates=True)] if why else []
    chosen, other = (theirs, ours) if side == THEIRS else (ours, theirs)
    merged = replace(merged, commit=chosen.commit, tree=chosen.tree)
    # the stores go with the pinned commit, except for a change that only one side made
    for name in ("store", "read"):
        before = getattr(base, name) if base else None
        value, unlike = getattr(chosen, name), getattr(other, name)
        merged = replace(merged, **{name: unlike if base and value == before else value})
    return merged, conflicts


def _pin_of(base: Dependency | None, ours: Dependency, theirs: Dependency, later: Later) -> tuple[str, str | None]:
    """Return whose pinned commit to take, and the reason if it is a guess."""

    def lock(at: Dependency | None) -> tuple[str, str] | None:
        return (at.commit, at.tree) if at else None

    if lock(theirs) in (lock(ours), lock(base)):
        return OURS, None
    if lock(ours) == lock(base):
        return THEIRS, None
    at = f"at {ours.commit[:10]} on our side, at {theirs.commit[:10]} on theirs"
    if any(getattr(ours, name) != getattr(theirs, name) for name in ("url", "path", "rev")):
        return OURS, f"{at}, and not following the same; the lock is ours"
    found = later(ours, theirs)
    if found == DIVERGED:
        return OURS, f"{at}, and neither is later; the lock is ours"
    if found is None:
        return OURS, f"{at}, and which is later is not known here; the lock is ours"
    return found, None


# .gitattributes


def merged_attributes(
    git: Git, base: bytes, ours: bytes, theirs: bytes, path: bytes, markers: Markers
) -> tuple[bytes, list[str]]:
    """Return the merge of three `.gitattributes`, and messages about conflicts. Raises LdsError if a block is damaged."""
    sections = [imported_attributes.sections_of(data) for data in (base, ours, theirs)]
    name, plain = printable(path), imported_attributes.without_blocks
    text = text_merge.merge(git, plain(base), plain(ours), plain(theirs), name, markers)
    said = [f"{name}: {text.conflicts[0]}"] if text.conflicts else []
    found: dict[str, list[bytes]] = {}
    for output in sorted(set().union(*sections)):
        before, our, their = (each.get(output) for each in sections)
        if our == their or their == before:
            merged = our
        elif our == before:
            merged = their
        else:
            merged, is_clean = _merged_lines(git, before or [], our or [], their or [], name)
            said += (
                [] if is_clean else [f"{name}: the rules of {printable(output.encode())} were changed on both sides"]
            )
        if merged is not None:
            found[output] = merged
    if said:
        said.append(f"hint: git add {name}, when it is as you want it")
    return imported_attributes.with_sections(text.data, found), said


def _merged_lines(
    git: Git, base: list[bytes], ours: list[bytes], theirs: list[bytes], name: str
) -> tuple[list[bytes], bool]:
    """Return the merge of the rules of one dependency. In a conflict it has ours, then those that only theirs has."""

    def text(lines: list[bytes]) -> bytes:
        return b"".join(line + b"\n" for line in lines)

    merged = text_merge.merge(git, text(base), text(ours), text(theirs), name, Markers())
    if merged.conflicts:
        return ours + [line for line in theirs if line not in ours and line not in base], False
    return merged.data.splitlines(), True
