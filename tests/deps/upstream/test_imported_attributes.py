"""Attributes: git's answer for an imported file here is its answer upstream, whatever the patterns are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit.datasets import new_consumer, new_dataset, opened
from kit.work import Work

from git_lds.deps.update.add import import_path
from git_lds.deps.upstream import imported_attributes
from git_lds.errors import LdsError

FILES = (
    "a.png", "B.PNG", "notes.txt", "a.json", "deep/a.png", "deep/er/x.json", "deep/er/a b.png", "deep/er/.hidden",
    "images/a.png", "images/x/images/a.png", "we[i]rd*.txt", "tab\tname.png", 'quo"te.png', "back\\slash.png",
)  # fmt: skip
LDS = "filter=lds diff=lds merge=lds -text"


def asked(work: Work, paths: list[str]) -> list[tuple[str, ...]]:
    """git's answers in a working tree; what names a program of the user's counts as unspecified."""
    said = work.git(
        "check-attr", "-z", "--stdin", *imported_attributes.CARRIED, input="".join(p + "\0" for p in paths)
    ).split("\0")
    foreign = {"filter": ("lds", "unset"), "diff": ("lds", "python"), "merge": ("lds", "lds-table", "union")}
    values = [
        "unspecified"
        if value not in (*foreign.get(name, (value,)), "unspecified", *(("set", "unset") if name != "filter" else ()))
        else value
        for name, value in zip(said[1::3], said[2::3], strict=False)
    ]
    width = len(imported_attributes.CARRIED)
    return [tuple(values[at : at + width]) for at in range(0, len(values), width)]


def import_from(
    tmp_path: Path, rules: dict[str, str], path: str, files: tuple[str, ...], *, own: str = ""
) -> tuple[Work, Work]:
    """Import `path` of a repository with these attributes files; return (upstream, here). The filter is not installed."""
    there, here = Work(tmp_path / "there"), new_consumer(tmp_path, "here")
    there.path.mkdir()
    there.git("init", "-q")
    for name in files:
        there.write(name, "contents\n")
    for directory, text in rules.items():
        there.write(f"{directory}/.gitattributes" if directory else ".gitattributes", text)
    there.commit()
    if own:
        here.write(".gitattributes", own)
        here.commit()
    with opened(here) as repo:
        import_path(repo, str(there.path), path, output="data/raw [1]/in")
    return there, here


def assert_same(there: Work, here: Work, path: str, files: tuple[str, ...]) -> None:
    inside = [name for name in files if name.startswith(path + "/")]
    assert inside
    expected = asked(there, inside)
    moved = asked(here, ["data/raw [1]/in" + name[len(path) :] for name in inside])
    assert dict(zip(inside, moved, strict=True)) == dict(zip(inside, expected, strict=True))


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"": f"*.png {LDS}\n"},
        {"": f"top/** {LDS}\n"},
        {"": f"/top/in/** {LDS}\n*.txt -filter !diff text\n"},
        {"": f"top/in/*.png {LDS}\n"},
        {"": f"top/in/images/** {LDS}\n"},
        {"": f"**/images/* {LDS}\n"},
        {"": f"images/** {LDS}\n"},
        {"": f"**/in/deep/**/*.json {LDS}\n"},
        {"": f"t?p/[h-j]n/** {LDS}\n"},
        {"": f"t*/i*/d* {LDS}\ntop/*/*/er/* {LDS}\n"},
        {"": f"top/**/er/** {LDS}\n**/** text=auto\n"},
        {"": f"top {LDS}\ntop/in {LDS}\ntop/in/ {LDS}\nin/** {LDS}\n"},
        {"": f"* {LDS}\n*.txt !filter !diff !merge text eol=lf\n*.json binary\n"},
        {"": f"[attr]data {LDS}\n*.png data\n*.json -data\n*.txt data\ntop/in/a.json data diff=json\n"},
        {"": f"*.json {LDS} merge=lds-table lds-key=image,läbel\n*.txt merge=union\n", "top": "in/deep/** !lds-key\n"},
        {"": "*.json merge=evil diff=evil lds-key\na.json lds-key=a,b=c\n"},
        {"": "*.png filter=lfs diff=lfs merge=lfs -text\na.json filter=evil diff=python\n*.txt filter\n"},
        {"": f"*.png {LDS}\n", "top": "*.png -filter\n", "top/in": f"deep/** {LDS}\n"},
        {"": f"*.png {LDS}\n", "top": f"in/deep/*.png !filter\nin/er/** {LDS}\n", "top/in/deep": "* !filter !diff\n"},
        {"top": f"/in/** {LDS}\n/a.png {LDS}\n", "top/in/deep/er": "* text\n"},
        {"": f'"top/in/tab\\tname.png" {LDS}\n"*te.png" {LDS}\n"top/in/back\\\\\\\\slash.png" {LDS}\n'},
        {"": f"top/in/we\\[i\\]rd\\*.txt {LDS}\ntop/in/we[[]i]rd* {LDS}\n"},
        {"": f"top/[[:alpha:]]n/a.png {LDS}\ntop/[^x]n/*.json {LDS}\ntop/[!i]n/** {LDS}\n"},
        {"": f"# comment\n\n   *.png {LDS}\n!*.json {LDS}\n*.txt\n\ttext\n"},
        {"": f"*.png {LDS}\r\n*.txt text\r\n"},
        {"": f"\ufeff*.png {LDS}\n"},
        {"": f"*.png {LDS}\n{'x' * 3000} {LDS}\n"},
        {"": "[attr]a b\n[attr]b a filter=lds\n*.png a\n*.json b\n"},
    ],
)
def test_git_gives_the_same_answer_as_upstream(tmp_path: Path, rules: dict[str, str]) -> None:
    files = (*(f"top/in/{name}" for name in FILES), "other/a.png", "a.png")
    own = "* text=auto\n*.json filter=lds diff=lds merge=lds -text\nin/** eol=crlf\n"
    there, here = import_from(tmp_path, rules, "top/in", files, own=own)
    assert_same(there, here, "top/in", files)


pieces = st.sampled_from(
    ["top", "in", "deep", "er", "*", "**", "t*", "?n", "a.png", "*.png", "*.json", "[a-j]n", "[!x]*", "i[n]"]
)
patterns = st.tuples(st.sampled_from(["", "/"]), st.lists(pieces, min_size=1, max_size=5)).map(
    lambda t: t[0] + "/".join(t[1])
)
words = st.sampled_from(
    [
        LDS,
        "-filter",
        "!filter",
        "text",
        "-text",
        "!text",
        "diff=x",
        "merge=x lds-key=a,b",
        "merge=lds-table -lds-key",
        "filter=lfs",
        "binary",
        "filter=lds",
    ]
)
rule_lists = st.lists(st.tuples(patterns, words).map(" ".join), max_size=6).map("\n".join)


def any_rules(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Try a test with `count` examples of rules at three places."""

    def with_examples(test: Callable[..., None]) -> Callable[..., None]:
        chosen = settings(
            max_examples=count, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
        )
        return chosen(given(root=rule_lists, top=rule_lists, inner=rule_lists)(test))

    return with_examples


def gives_the_same_answer(directory: Path, root: str, top: str, inner: str) -> None:
    files = tuple(f"top/in/{name}" for name in FILES)
    rules = {"": root + "\n", "top": top + "\n", "top/in/deep": inner + "\n"}
    there, here = import_from(directory, rules, "top/in", files, own="*.json filter=lds\n")
    assert_same(there, here, "top/in", files)


@any_rules(8)
def test_git_gives_the_same_answer_for_any_rules(
    tmp_path_factory: pytest.TempPathFactory, root: str, top: str, inner: str
) -> None:
    gives_the_same_answer(tmp_path_factory.mktemp("any"), root, top, inner)


@pytest.mark.slow
@any_rules(100)
def test_git_gives_the_same_answer_for_many_rules(
    tmp_path_factory: pytest.TempPathFactory, root: str, top: str, inner: str
) -> None:
    gives_the_same_answer(tmp_path_factory.mktemp("any"), root, top, inner)


@settings(max_examples=300)
@given(pattern=patterns, name=st.lists(st.sampled_from(["top", "in", "deep", "er"]), min_size=0, max_size=3))
def test_a_moved_pattern_never_needs_more_than_a_few_lines(pattern: str, name: list[str]) -> None:
    path = "/".join(["top", *name])
    lines = imported_attributes.moved({b"": f"{pattern} filter=lds\n".encode()}, path, "x")
    assert len(lines) <= pattern.count("/") + 2


def test_a_hostile_attributes_file_takes_no_time() -> None:
    bomb = "".join(f"[attr]m{n} {' '.join([f'm{n - 1}'] * 600)}\n" for n in range(1, 9)) + "*.png m8\n"
    stars = "*a" * 900 + "b/** filter=lds\n" + "**/" * 600 + "x filter=lds\n" + "[" * 1900 + " filter=lds\n"
    data = f"[attr]m0 filter=lds\n{bomb}{stars}".encode()
    lines = imported_attributes.moved({b"": data}, "a" * 250 + "/" + "a" * 250, "out")
    assert b"/out/**/*.png filter=lds" in lines


def test_a_new_file_gets_what_upstream_would_give_it(tmp_path: Path) -> None:
    rules = {"": f"top/in/*.png {LDS}\n*.json {LDS}\n"}
    there, here = import_from(tmp_path, rules, "top/in", ("top/in/a.png", "top/in/b.txt"))
    new = ("top/in/new.png", "top/in/sub/new.png", "top/in/sub/new.json", "top/in/new.txt")
    for name in new:
        there.write(name, "x")
    assert_same(there, here, "top/in", new)


def test_the_whole_repository(tmp_path: Path) -> None:
    rules = {"": f"[attr]data {LDS}\n*.png data\nimages/** {LDS}\n", "images": "*.txt -filter\n"}
    files = ("a.png", "images/a.bin", "images/b.txt", "deep/images/c")
    there, here = import_from(tmp_path, rules, ".", files, own="* text=auto\n")
    assert asked(there, list(files)) == asked(here, [f"data/raw [1]/in/{name}" for name in files])


@pytest.mark.parametrize("rule", [f"*.png {LDS}", "*.txt text", "top/in/a.png filter=lfs"])
def test_a_single_file(tmp_path: Path, rule: str) -> None:
    there, here = import_from(tmp_path, {"": rule + "\n"}, "top/in/a.png", ("top/in/a.png",), own="* filter=lds\n")
    assert asked(there, ["top/in/a.png"]) == asked(here, ["data/raw [1]/in"])


def test_an_attributes_file_that_overrules_is_named(tmp_path: Path) -> None:
    there, here = new_dataset(tmp_path, track=()), new_consumer(tmp_path)
    there.publish({"in/a.png": "plain"})
    here.write("data/.gitattributes", "*.png filter=lds\n")
    here.commit()
    with opened(here) as repo, pytest.raises(LdsError, match=r"overrules upstream's attributes"):
        import_path(repo, there.url, "in", output="data/in")
    assert here.is_clean()


def test_the_block_is_at_the_end_and_other_lines_stay() -> None:
    own = b"*.a text\r\n# comment"
    once = imported_attributes.with_sections(own, {"b": [b"/b/** x"], "a": [b"/a/** y"]})
    assert once.startswith(own + b"\n# >>> git-lds") and once.index(b'"a"') < once.index(b'"b"')
    assert imported_attributes.sections_of(once) == {"a": [b"/a/** y"], "b": [b"/b/** x"]}
    later = once + b"*.later text\n"
    moved = imported_attributes.with_sections(later, imported_attributes.sections_of(later))
    assert moved.startswith(own + b"\n*.later text\n# >>> git-lds")
    assert imported_attributes.with_sections(moved, {}) == own + b"\n*.later text\n"


@pytest.mark.parametrize("damage", [b"# >>> git-lds", b"# <<< git-lds", b'# imported "b"'])
def test_a_damaged_block_is_not_guessed_at(damage: bytes) -> None:
    text = imported_attributes.with_sections(b"x y\n", {"b": [b"/b z"]})
    line = next(line for line in text.splitlines(keepends=True) if line.startswith(damage))
    replaced = text.replace(line, b"# imported \n" if damage.startswith(b"# imp") else b"")
    with pytest.raises(LdsError, match="damaged"):
        imported_attributes.sections_of(replaced)


def test_a_line_is_quoted_where_it_has_to_be(work: Work, new_work: Callable[..., Work]) -> None:
    names = ["a b.png", 'q"q', "tab\tx", "star*", "br[a]", "back\\s", "new\nline", "#hash", "!bang"]
    lines = [
        imported_attributes.exact(f"d/{n}".encode(), (b"lds", b"set", b"unset", b"a,b", b"unspecified", b"lf"))
        for n in names
    ]
    plain = new_work("plain", track=())
    plain.write(".gitattributes", b"".join(line + b"\n" for line in lines))
    assert asked(plain, [f"d/{n}" for n in names]) == [("lds", "set", "unset", "a,b", "unspecified", "lf")] * len(names)


def test_imported_data_merges_as_it_does_upstream_and_no_foreign_driver_is_named(tmp_path: Path) -> None:
    rules = f"*.json {LDS} lds-key=a merge=lds-table diff=lds\n*.png merge=evil diff=evil\n"
    _, here = import_from(tmp_path, {"": rules}, "top/in", tuple(f"top/in/{name}" for name in FILES))
    text = here.read(".gitattributes").decode()
    assert "evil" not in text and '/**/*.json" filter=lds diff=lds merge=lds-table -text lds-key=a' in text
    assert here.git("check-attr", "merge", "lds-key", "--", "data/raw [1]/in/a.json").splitlines() == [
        "data/raw [1]/in/a.json: merge: lds-table",
        "data/raw [1]/in/a.json: lds-key: a",
    ]
