"""`.ldsdeps`: what is written is read again, what is not of its form is refused, and branches merge."""

from __future__ import annotations

import string
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.work import Work

from git_lds import toml
from git_lds.deps.manifest import manifest
from git_lds.deps.manifest.manifest import Dependency
from git_lds.errors import LdsError

SHA = "0123456789abcdef0123456789abcdef01234567"
SAMPLE = Dependency(
    "data/images", "https://example.org/a.git", "images", "main", SHA, SHA, "https://example.org/lds", ()
)

name = st.text(string.ascii_letters + string.digits + "_äß漢 '\"", min_size=1, max_size=12).map(lambda t: "x" + t)
path = st.lists(name, min_size=1, max_size=4).map("/".join)
rev = st.text(string.ascii_letters + string.digits + "._", min_size=1, max_size=20).map(
    lambda t: f"r{t}e".replace("..", "_")
)
hexes = st.text("0123456789abcdef", min_size=40, max_size=40)
store = st.sampled_from(["https://example.org/s", "http://127.0.0.1:8420/grogu", "/srv/a b/lds", "file:///srv/lds"])
dependencies = st.builds(
    Dependency,
    output=path,
    url=st.sampled_from(
        ["https://example.org/a.git", "git@example.org:org/a.git", "ssh://h/a", "/srv/a b.git", "git://h:9/x"]
    ),
    path=path | st.just("."),
    rev=rev.filter(lambda r: not r.endswith(".lock")) | hexes,
    commit=hexes,
    tree=hexes,
    store=store | st.none(),
    read=st.lists(store, max_size=3).map(tuple),
    vendor=st.booleans(),
    include=st.lists(st.sampled_from(["*.png", "a/**", "[ab]?"]), max_size=2).map(tuple),
    exclude=st.lists(st.sampled_from(["drafts", "x y/"]), max_size=2).map(tuple),
)


@given(st.lists(dependencies, max_size=5, unique_by=lambda d: d.output.split("/")[0]))
def test_what_is_written_is_read_again_and_written_the_same(deps: list[Dependency]) -> None:
    text = manifest.encode(deps)
    assert manifest.parse(text) == {d.output: d for d in deps}
    assert manifest.encode(reversed(manifest.parse(text).values())) == text
    assert text == text.strip() + b"\n" or not deps


def test_the_form_is_the_documented_one() -> None:
    assert manifest.encode([replace(SAMPLE, read=("https://example.org/b",))]).decode() == (
        '[deps."data/images"]\n'
        'url = "https://example.org/a.git"\n'
        'path = "images"\n'
        'rev = "main"\n'
        f'commit = "{SHA}"\n'
        f'tree = "{SHA}"\n'
        'store = "https://example.org/lds"\n'
        'read = [\n    "https://example.org/b",\n]\n'
    )


@settings(max_examples=400)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes_give_dependencies_or_an_error_of_ours(data: bytes) -> None:
    try:
        manifest.parse(data)
    except LdsError as error:
        assert "\n" not in error.message


@settings(max_examples=400)
@given(st.data())
def test_a_damaged_file_gives_dependencies_or_an_error_of_ours(data: st.DataObject) -> None:
    text = bytearray(manifest.encode([SAMPLE]))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        for found in manifest.parse(bytes(text)).values():
            manifest.check(found)
    except LdsError as error:
        assert "\n" not in error.message


def changed(**values: object) -> bytes:
    """The sample with some values set, written without a check."""
    import tomli_w

    table = {"url": SAMPLE.url, "path": "images", "rev": "main", "commit": SHA, "tree": SHA} | values
    output = str(table.pop("output", SAMPLE.output))
    return tomli_w.dumps({"deps": {output: {k: v for k, v in table.items() if v is not None}}}).encode()


@pytest.mark.parametrize(
    "values",
    [
        *(
            {"output": o}
            for o in ("-o", "/etc/x", "../x", "a/../b", "a//b", "a/", ".git/hooks", "a/.GIT/x", "git~1", ".git ")
        ),
        *(
            {"output": o}
            for o in (".gitattributes", "a/.gitmodules", ".ldsdeps", ".ldsconfig", ".github/x", "a\nb", "a\x1bb", "")
        ),
        *({"output": o} for o in ("a\u202eb", "x" * 5000, "a\\..\\.git", ".g\u200cit/x", ".git::$INDEX_ALLOCATION/x")),
        *({"path": p} for p in ("-p", "/abs", "..", "a/../../b", "", "a\0b", "a\nb", ".git/config", "./a", 7, ["a"])),
        *(
            {"rev": r}
            for r in (
                "--upload-pack=x",
                "-b",
                "a b",
                "a..b",
                "a~1",
                "a^",
                "a:b",
                "@{u}",
                "@",
                "",
                "a\nb",
                ".a",
                "a.lock",
            )
        ),
        *({"rev": r} for r in ("a/", "/a", "a//b", "a/.b", "a*", "a?", "a[", "a\\b", "a.", True)),
        *(
            {key: h}
            for key in ("commit", "tree")
            for h in ("abc", SHA.upper(), SHA + "0", "HEAD", "-" + SHA[1:], "", 1, None)
        ),
        {"commit": SHA + SHA[:24]},  # 64 digits beside a tree of 40
        *(
            {"url": u}
            for u in (
                "-oProxyCommand=x",
                "ext::sh -c x",
                "https://u:p@h/a",
                "http://example.org/a",
                "ftp://h/a",
                "a/b",
                "",
            )
        ),
        *({"store": s} for s in ("-s", "https://u:p@h/s", "a\nb", "", 3)),
        *({"read": r} for r in ("https://h/s", [1], ["-x"], [""], {"a": 1})),
        {"command": "rm -rf"},
        {"url": None},
        {"rev": None},
    ],
)
def test_what_is_not_allowed_is_refused_in_one_line(values: dict[str, object]) -> None:
    with pytest.raises(LdsError) as refused:
        manifest.parse(changed(**values))
    assert "\n" not in refused.value.message
    assert refused.value.message.startswith(".ldsdeps")


@pytest.mark.parametrize(
    "text",
    [
        b"[deps]\nx = 1\n",
        b"deps = 3\n",
        b"[other]\n",
        b"a = [[[[",
        b"a = " + b"[" * 20_000,
        b"a = " + b"1" * 10_000,
        b"\xff\xfe",
        b"a." * 60_000 + b"b = 1",
        b"#" * (toml.MAX_SIZE + 1),
        b"<<<<<<< HEAD\n[deps.a]\n=======\n>>>>>>> x\n",
        b"[deps.a]\n[deps.a]\n",
    ],
)
def test_what_is_no_manifest_is_refused_at_once(text: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(LdsError):
        manifest.parse(text)
    assert time.monotonic() - started < 2


def test_outputs_do_not_lie_in_one_another() -> None:
    with pytest.raises(LdsError, match="lies inside"):
        manifest.encode([replace(SAMPLE, output="a"), replace(SAMPLE, output="a-b"), replace(SAMPLE, output="a/b")])


def test_a_key_of_a_newer_git_lds_is_named() -> None:
    with pytest.raises(LdsError, match="'shard' is not known to this git-lds") as refused:
        manifest.parse(changed(shard="x"))
    assert refused.value.hint is not None and "upgrade" in refused.value.hint


def test_changes_of_different_dependencies_merge(new_work: Callable[..., Work]) -> None:
    work = new_work(track=())
    deps = {o: replace(SAMPLE, output=o) for o in ("b/images", "d/images", "f/images")}

    def write(**changes: Dependency) -> None:
        work.write(".ldsdeps", manifest.encode((deps | changes).values()))
        work.commit()

    write()
    work.git("switch", "-qc", "other")
    other = {"b/images": replace(deps["b/images"], commit="1" * 40, tree="2" * 40), "a": replace(SAMPLE, output="a")}
    write(**other)
    work.git("switch", "-q", "main")
    ours = {"d/images": replace(deps["d/images"], commit="3" * 40, tree="4" * 40), "e": replace(SAMPLE, output="e")}
    write(**ours)
    work.git("merge", "-q", "-m", "both", "other")
    assert manifest.parse(work.read(".ldsdeps")) == deps | other | ours
