"""Branches that update dependencies merge as their files do, and `.ldsdeps` can be read at every point of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.datasets import Dataset, files_of, lock, new_importer, opened, run
from kit.matrix import some_rows
from kit.work import Work

from git_lds.data.conflicts import Markers
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.deps.merge import driver
from git_lds.deps.merge.driver import DIVERGED, OURS, THEIRS
from git_lds.deps.update.add import import_path
from git_lds.deps.upstream import imported_attributes
from git_lds.errors import LdsError
from git_lds.git.run import Git

IMAGES: dict[str, bytes | str | None] = {f"images/{name}.png": f"image {name}" for name in "abcdef"}
FILES = IMAGES | {"notes/x.txt": "x\n"}


def on(here: Work, branch: str, do: Callable[[], object]) -> None:
    """Do something on a branch from main, commit it, and be back on main."""
    here.git("switch", "-qc", branch, "main")
    do()
    here.commit(branch)
    here.git("switch", "-q", "main")


def joined(here: Work, way: str, first: str, second: str) -> subprocess.CompletedProcess[str]:
    """Bring the branch `second` to `first`, by merge or cherry-pick; or `first` onto `second`, by rebase."""
    here.git("switch", "-q", first)
    return here.try_git(*(way.split()), second)


@pytest.mark.parametrize(
    ("way", "first"),
    some_rows(
        [
            (way, first)
            for first in ("early", "late")
            for way in ("merge --no-edit", "rebase", "cherry-pick --keep-redundant-commits")
        ],
        ("merge --no-edit", "early"),
        ("rebase", "late"),
    ),
)
def test_of_two_updates_the_later_lock_stays(there: Dataset, here: Work, way: str, first: str) -> None:
    """Behaviour 34."""
    there.publish({"images/a.png": "new a"})
    on(here, "early", lambda: run(here, "data/images"))
    there.publish({"images/b.png": "new b", "images/new.png": "new"})
    on(here, "late", lambda: run(here, "data/images"))
    later = manifest.parse(here.committed(".ldsdeps", "late"))
    done = joined(here, way, first, "late" if first == "early" else "early")
    assert done.returncode == 0, done.stdout + done.stderr
    assert manifest.parse(here.read(".ldsdeps")) == later and here.is_clean()
    assert files_of(here, "data/images") == files_of(there.work, "images")
    assert not run(here)["data/images"].written


@pytest.mark.parametrize("first", ["early", "late"])
def test_a_file_that_both_got_from_upstream_is_settled_by_what_the_driver_says(
    there: Dataset, here: Work, first: str
) -> None:
    there.publish({"images/a.png": "new a"})
    on(here, "early", lambda: run(here, "data/images"))
    there.publish({"images/a.png": "newer a"})
    on(here, "late", lambda: run(here, "data/images"))
    done = joined(here, "merge", first, "late" if first == "early" else "early")
    side = "theirs" if first == "early" else "ours"
    tip = there.work.git("rev-parse", "--short=10", "main")
    assert f"git-lds: .ldsdeps: data/images: at {tip}, the later one, of {side}; " in done.stderr, done.stderr
    assert here.git("diff", "--name-only", "--diff-filter=U") == "data/images/a.png"
    here.lds("checkout", f"--{side}", "data/images/a.png")
    here.git("commit", "-qm", "merged")
    assert files_of(here, "data/images") == files_of(there.work, "images")
    assert "edited here" not in here.lds("deps") and not run(here)["data/images"].written


def test_updates_of_different_dependencies_merge(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new", "notes/x.txt": "new\n"})
    on(here, "one", lambda: run(here, "data/images"))
    on(here, "two", lambda: run(here, "data/notes"))
    assert joined(here, "merge --no-edit", "one", "two").returncode == 0
    assert not any(each.written for each in run(here).values()) and here.is_clean()


@pytest.mark.parametrize(
    ("way", "known"),
    some_rows(
        [(way, known) for known in (True, False) for way in ("merge", "rebase", "cherry-pick")],
        ("merge", True),
        ("rebase", False),
    ),
)
def test_where_neither_is_later_ours_stays_and_an_update_settles_it_with_nothing_lost(
    there: Dataset, here: Work, way: str, known: bool
) -> None:
    """Behaviours 30 and 34: upstream has two branches, which it joins later; there are edits on both sides here too."""
    there.work.git("switch", "-qc", "side")
    there.publish({"images/a.png": "a of side", "images/side.png": "side", "images/e.png": None})
    there.work.git("switch", "-q", "main")
    there.publish({"images/b.png": "b of main", "images/main.png": "main"})

    def update_and_fix(rev: str, fixed: str) -> None:
        run(here, "data/images", rev=there.work.git("rev-parse", rev))
        here.commit(f"update to {rev}")
        run(here, "data/images", rev="main") if rev == "main" else None
        here.write(f"data/images/{fixed}.png", f"fixed on {rev}")

    on(here, "one", lambda: update_and_fix("main", "c"))
    on(here, "two", lambda: update_and_fix("side", "d"))
    there.work.git("merge", "-q", "--no-edit", "side")
    there.publish({"images/f.png": "f after"})
    if not known:
        shutil.rmtree(here.path / ".git/lds/mirrors")
    done = joined(here, way, "one", "main..two" if way == "cherry-pick" else "two")
    assert done.returncode == 1
    ours = "two" if way == "rebase" else "one"
    assert "\ngit-lds: .ldsdeps: data/images: at " in "\n" + done.stderr, done.stderr
    assert "hint: git add .ldsdeps, end the merge, and then: git lds update data/images" in done.stderr
    for _ in range(3):
        assert b"<<<" not in here.read(".ldsdeps")
        assert lock(here).commit == manifest.parse(here.committed(".ldsdeps", ours))["data/images"].commit
        here.git("add", ".ldsdeps")
        if way == "merge":
            here.git("commit", "-qm", "merged")
            break
        if here.try_git(way, "--continue", GIT_EDITOR="true").returncode == 0:
            break
    assert here.is_clean()
    run(here, "data/images", rev="main")
    assert lock(here).commit == there.work.git("rev-parse", "main")
    expected = files_of(there.work, "images") | {"c.png": b"fixed on main", "d.png": b"fixed on side"}
    assert files_of(here, "data/images") == expected
    here.commit("updated")
    assert here.lds("deps").count("2 files edited here") == 1 and here.is_clean()


def test_one_is_added_on_each_side(there: Dataset, here: Work) -> None:
    def added(path: str, output: str) -> Callable[[], object]:
        def add() -> None:
            with opened(here) as repo:
                import_path(repo, there.url, path, output=output)

        return add

    on(here, "one", added("images", "data/more"))
    on(here, "two", added("notes", "data/most"))
    done = joined(here, "merge --no-edit", "one", "two")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(manifest.parse(here.read(".ldsdeps"))) == ["data/images", "data/more", "data/most", "data/notes"]
    sections = imported_attributes.sections_of(here.read(".gitattributes"))
    assert list(sections) == ["data/images", "data/more", "data/most", "data/notes"] and here.is_clean()
    assert not any(each.written for each in run(here).values())


def test_the_first_one_is_imported_on_each_side(there: Dataset, tmp_path: Path) -> None:
    here = new_importer(tmp_path, there)
    here.git("reset", "-q", "--hard", "HEAD~1")
    for branch in ("images", "notes"):
        here.git("switch", "-qc", branch, "main")
        with opened(here) as repo:
            import_path(repo, there.url, branch)
        here.commit(branch)
        here.git("switch", "-q", "main")
    done = joined(here, "merge --no-edit", "images", "notes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(manifest.parse(here.read(".ldsdeps"))) == ["images", "notes"] and here.is_clean()
    assert list(imported_attributes.sections_of(here.read(".gitattributes"))) == ["images", "notes"]


def test_an_update_that_brings_something_writes_the_lines_for_the_drivers(there: Dataset, here: Work) -> None:
    lines = b"/.ldsdeps !filter -text merge=lds-deps\n/.gitattributes merge=lds-attributes\n"
    new = here.read(".gitattributes")
    assert lines in new
    here.write(".gitattributes", new.replace(lines, b"/.ldsdeps !filter -text\n"))
    here.commit("as an older git-lds wrote it")
    assert not run(here)["data/images"].written and here.is_clean()
    there.publish({"images/a.png": "new"})
    run(here)
    assert here.read(".gitattributes") == new


def test_a_side_that_can_not_be_read_is_merged_as_text(here: Work) -> None:
    on(here, "newer", lambda: here.write(".ldsdeps", here.read(".ldsdeps").replace(b"url =", b"depth = 1\nurl =", 1)))
    on(here, "vendored", lambda: here.write(".ldsdeps", here.read(".ldsdeps") + b"vendor = true\n"))
    done = joined(here, "merge --no-edit", "vendored", "newer")
    assert done.returncode == 0 and "'depth' is not known to this git-lds; merged line by line" in done.stderr
    assert b"depth = 1\n" in here.read(".ldsdeps") and here.read(".ldsdeps").endswith(b"vendor = true\n")


def removed(here: Work, output: str) -> None:
    here.git("rm", "-rq", output)
    known = manifest.parse(here.read(".ldsdeps"))
    here.write(".ldsdeps", manifest.encode([each for each in known.values() if each.output != output]))


def test_one_is_removed_on_one_side(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new"})
    on(here, "gone", lambda: removed(here, "data/notes"))
    on(here, "new", lambda: run(here, "data/images"))
    assert joined(here, "merge --no-edit", "new", "gone").returncode == 0
    assert list(manifest.parse(here.read(".ldsdeps"))) == ["data/images"] and here.is_clean()
    assert not (here.path / "data/notes").exists()


def test_one_that_is_removed_on_one_side_and_updated_on_the_other_is_told(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new"})
    on(here, "gone", lambda: removed(here, "data/images"))
    on(here, "new", lambda: run(here, "data/images"))
    done = joined(here, "merge --no-edit", "gone", "new")
    assert (
        done.returncode == 1 and "data/images: removed on one side and changed on the other; it is kept" in done.stderr
    )
    assert list(manifest.parse(here.read(".ldsdeps"))) == ["data/images", "data/notes"]


def test_one_that_is_moved_on_one_side_and_updated_on_the_other_is_updated_at_its_new_place(
    there: Dataset, here: Work
) -> None:
    def move() -> None:
        here.git("mv", "data/images", "pictures")
        run(here)

    on(here, "moved", move)
    there.publish({"images/a.png": "new"})
    on(here, "new", lambda: run(here, "data/images"))
    done = joined(here, "merge --no-edit", "moved", "new")
    assert done.returncode == 0, done.stdout + done.stderr
    known = manifest.parse(here.read(".ldsdeps"))
    assert list(known) == ["data/notes", "pictures"]
    assert known["pictures"].commit == there.work.git("rev-parse", "main")
    assert files_of(here, "pictures") == files_of(there.work, "images") and here.is_clean()
    assert not any(each.written for each in run(here).values())


def test_other_lines_of_gitattributes_merge_as_text(there: Dataset, here: Work) -> None:
    here.write(".gitattributes", b"*.c text\n\n\n*.h text\n" + here.read(".gitattributes"))
    here.commit("rules")

    def rule(old: bytes, new: bytes, path: str) -> Callable[[], object]:
        def edit() -> None:
            here.write(".gitattributes", here.read(".gitattributes").replace(old, new))
            with opened(here) as repo:
                import_path(repo, there.url, path, output=f"more {path}")

        return edit

    on(here, "one", rule(b"*.c text", b"*.c -text", "images"))
    on(here, "two", rule(b"*.h text", b"*.h -text", "notes"))
    on(here, "clash", rule(b"*.c text", b"*.c eol=lf", "notes"))
    assert joined(here, "merge --no-edit", "one", "two").returncode == 0
    text = here.read(".gitattributes")
    assert text.startswith(b"*.c -text\n\n\n*.h -text\n# >>> git-lds") and text.count(b"# >>> git-lds") == 1
    assert list(imported_attributes.sections_of(text)) == ["data/images", "data/notes", "more images", "more notes"]
    here.git("reset", "-q", "--hard", "HEAD~1")
    done = joined(here, "merge --no-edit", "one", "clash")
    assert done.returncode == 1 and "git-lds: .gitattributes: lines in 1 place\n" in done.stderr
    text = here.read(".gitattributes")
    assert b"<<<<<<< " in text[: text.index(b"# >>> git-lds")]
    assert list(imported_attributes.sections_of(text)) == ["data/images", "data/notes", "more images", "more notes"]


COMMANDS = (
    ("update",), ("update", "--dry-run"), ("outdated",), ("deps",), ("contribute", "data/images"),
    ("import", "URL", "notes", "-o", "other"), ("update", "--continue"), ("update", "--abort"),
    ("status",), ("ls-files",), ("env",), ("doctor",), ("fetch",), ("pull",), ("checkout",), ("push", "--dry-run", "origin"),
    ("diff",), ("track",), ("version",), ("check",), ("import", "--force", "URL", "images", "-o", "data/images"),
)  # fmt: skip
ABOUT_DEPENDENCIES = ("update", "outdated", "deps", "import")


def test_markers_in_ldsdeps_are_one_clear_line_for_every_command(there: Dataset, here: Work, world: Path) -> None:
    """As a site that merges without git-lds may leave them, or a clone in which it is not installed."""
    here.publish("B.git")
    there.publish({"images/a.png": "new a"})
    on(here, "early", lambda: run(here, "data/images"))
    there.publish({"images/b.png": "new b"})
    on(here, "late", lambda: run(here, "data/images"))
    here.git("config", "--global", "--remove-section", "merge.lds-deps")
    done = joined(here, "merge", "early", "late")
    assert done.returncode == 1 and b"<<<<<<< " in here.read(".ldsdeps")
    for words in COMMANDS:
        done = here.try_lds(*(there.url if word == "URL" else word for word in words))
        assert "Traceback" not in done.stderr and done.returncode in (0, 1), (words, done.stderr)
        if words[0] in ABOUT_DEPENDENCIES and words[1:] not in (("--continue",), ("--abort",)):
            assert done.returncode == 1, words
            lines = done.stderr.splitlines()
            assert lines[0] == "git-lds: .ldsdeps holds unresolved conflicts", (words, lines)
            assert lines[1].startswith("hint: ") and "git add .ldsdeps" in lines[1] and len(lines) == 2, lines
    here.git("commit", "-qam", "with markers, by mistake")
    done = here.try_lds("contribute", "data/images")
    assert done.returncode == 1 and done.stderr.startswith("git-lds: .ldsdeps holds unresolved conflicts\nhint: ")


def test_the_hint_about_markers_leads_out(there: Dataset, here: Work) -> None:
    there.publish({"images/a.png": "new a"})
    on(here, "early", lambda: run(here, "data/images"))
    there.publish({"images/b.png": "new b"})
    on(here, "late", lambda: run(here, "data/images"))
    here.git("config", "--global", "--remove-section", "merge.lds-deps")
    joined(here, "merge", "early", "late")
    with pytest.raises(LdsError) as caught:
        run(here)
    assert caught.value.hint is not None and "git checkout --ours .ldsdeps" in caught.value.hint
    clone = here.clone("empty", source=here.path, GIT_LDS_SKIP_SMUDGE="1")
    clone.write(".ldsdeps", here.read(".ldsdeps"))
    with opened(clone) as repo:
        assert str(there.bare / "lds") in [each.backend.url for each in repo.dependency_stores()]
    here.git("checkout", "--ours", ".ldsdeps")
    here.git("add", ".ldsdeps")
    here.git("commit", "-qm", "merged")
    run(here, "data/images")
    assert files_of(here, "data/images") == files_of(there.work, "images")
    assert lock(here).commit == there.work.git("rev-parse", "main")


@pytest.mark.parametrize(("size", "code", "left"), [("7", 1, ["d", "e"]), ("9", 0, ["e"])])
def test_between_common_ancestors_a_lock_that_is_unclear_is_nobodys(
    work: Work, size: str, code: int, left: list[str]
) -> None:
    """git takes that result for the base, with markers two signs longer: the side whose lock it had would look unchanged."""
    e = replace(BASE, output="e")
    for number, name in enumerate("oab"):
        work.write(name, manifest.encode([at(number), e]))
    done = work.try_lds("merge-driver", "deps", "o", "a", "b", size, ".ldsdeps")
    assert done.returncode == code, done.stderr
    assert list(manifest.parse(work.read("a"))) == left


# the rules, without git

SHA = "0123456789abcdef0123456789abcdef0123456"
BASE = Dependency("d", "https://example.org/a.git", "images", "main", SHA + "0", SHA + "0", "https://example.org/s")


def at(number: int, **others: object) -> Dependency:
    return replace(BASE, commit=f"{SHA}{number}", tree=f"{SHA}{number}", **others)  # type: ignore[arg-type]


def by_number(ours: Dependency, theirs: Dependency) -> str | None:
    """Pretend that a pin with a larger number is later; 8 is on a branch of its own, and 9 is unknown."""
    if "9" in (ours.commit[-1], theirs.commit[-1]):
        return None
    if "8" in (ours.commit[-1], theirs.commit[-1]):
        return DIVERGED
    return OURS if ours.commit > theirs.commit else THEIRS


def merged(base: Dependency | None, ours: Dependency, theirs: Dependency) -> tuple[Dependency, list[str]]:
    sides = [{each.output: each} if each else {} for each in (base, ours, theirs)]
    found, clashes = driver.merged_dependencies(sides[0], sides[1], sides[2], by_number)
    (one,) = found
    return one, [each.what for each in clashes]


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted", "clash"),
    [
        (at(1), at(2), at(2), None),
        (at(2), at(1), at(2), None),
        (at(0), at(1, rev="dev"), at(1, rev="dev"), None),
        (at(0, vendor=True), at(1), at(1, vendor=True), None),
        (at(0, rev="dev"), at(1), at(1, rev="dev"), None),
        (at(1, store="https://x.org/s"), at(2), at(2, store="https://x.org/s"), None),
        (at(1, store="https://x.org/s"), at(2, store="https://y.org/s"), at(2, store="https://y.org/s"), None),
        (at(1, include=("*.png",)), at(2), at(2, include=("*.png",)), None),
        (at(8), at(2), at(8), "neither is later"),
        (at(1), at(9), at(1), "not known here"),
        (at(1, rev="dev"), at(2), at(1, rev="dev"), "not following the same"),
        (at(0, rev="a"), at(0, rev="b"), at(0, rev="a"), "rev was changed on both sides"),
        (at(0, output="e"), at(1), at(1, output="e"), None),
        (at(1), at(0, output="e"), at(1, output="e"), None),
        (at(0, output="e"), at(0, output="f"), at(0, output="e"), "output was changed on both sides"),
    ],
)
def test_a_dependency_is_merged_key_by_key(
    ours: Dependency, theirs: Dependency, wanted: Dependency, clash: str
) -> None:
    found, said = merged(BASE, ours, theirs)
    assert found == wanted
    assert (len(said) == 1 and clash in said[0]) if clash else said == []


def test_both_added_it_at_one_place() -> None:
    assert merged(None, at(1), at(2)) == (at(2), [])
    found, said = merged(None, at(1), at(2, path="other"))
    assert found == at(1) and len(said) == 2


def test_what_would_lie_one_inside_the_other_is_as_ours_has_it() -> None:
    inner = replace(BASE, output="d/inner")
    found, clashes = driver.merged_dependencies({}, {"d": BASE}, {"d/inner": inner}, by_number)
    assert found == [BASE] and len(clashes) == 1


one = st.builds(
    lambda output, number, rev, path, vendor: at(number, output=output, rev=rev, path=path, vendor=vendor),
    st.sampled_from(["d", "e", "d/x", "f"]), st.integers(0, 9), st.sampled_from(["main", "dev"]),
    st.sampled_from(["images", "notes"]), st.booleans(),
)  # fmt: skip
some = st.lists(one, max_size=3, unique_by=lambda each: each.output[0]).map(lambda e: {each.output: each for each in e})


@settings(max_examples=300, deadline=None)
@given(base=some, ours=some, theirs=some)
def test_whatever_the_sides_are_the_result_can_be_read(
    base: dict[str, Dependency], ours: dict[str, Dependency], theirs: dict[str, Dependency]
) -> None:
    found, clashes = driver.merged_dependencies(base, ours, theirs, by_number)
    assert manifest.parse(manifest.encode(found)) == {each.output: each for each in found}
    if ours == base:
        assert {each.output: each for each in found} == theirs and not clashes
    if theirs in (base, ours):
        assert {each.output: each for each in found} == ours and not clashes


def block(*rules: bytes) -> bytes:
    return imported_attributes.with_sections(b"*.c text\n", {"d": [b"/d/** !filter", *rules]})


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "wanted"),
    [
        ([b"1", b"", b"2"], [b"one", b"", b"2"], [b"1", b"", b"two"], [b"one", b"", b"two"]),
        ([b"1"], [b"1"], [b"2"], [b"2"]),
        ([b"1"], [b"2"], [b"1"], [b"2"]),
        ([b"1"], [b"2"], [b"3"], None),
    ],
)
def test_the_rules_of_one_dependency_merge_line_by_line(
    work: Work, base: list[bytes], ours: list[bytes], theirs: list[bytes], wanted: list[bytes] | None
) -> None:
    sides = [block(*(b"/d/%s filter=lds" % rule for rule in side)) for side in (base, ours, theirs)]
    data, said = driver.merged_attributes(Git(work.path), *sides, b".gitattributes", Markers())
    if wanted is None:  # both are present, theirs last, and git gets a conflict
        assert imported_attributes.sections_of(data)["d"] == [b"/d/** !filter", b"/d/2 filter=lds", b"/d/3 filter=lds"]
        assert said[0] == ".gitattributes: the rules of d were changed on both sides" and said[1].startswith("hint: ")
    else:
        assert data == block(*(b"/d/%s filter=lds" % rule for rule in wanted)) and not said
