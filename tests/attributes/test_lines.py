"""Lines of `.gitattributes` are read as git reads them."""

from __future__ import annotations

import re

import pytest
from kit.work import Work

from git_lds.attributes import lines
from git_lds.attributes.lines import AttributesLine

SAMPLES = {
    b"*.png filter=lds -text": (b"*.png", b"filter=lds", b"-text"),
    b"\t*.png  filter=lds\r": (b"*.png", b"filter=lds"),
    b'"a b" probe': (b"a b", b"probe"),
    b'"a b"probe': (b"a b", b"probe"),
    b'"a\\040b\\"c\\\\d" probe': (b'a b"c\\d', b"probe"),
    b'"tab\\there" probe': (b"tab\there", b"probe"),
    b'"damaged\\q" probe': (b'"damaged\\q"', b"probe"),
    b'"open probe': (b'"open', b"probe"),
    b"alone": (b"alone",),
    b"a\x0bb probe": (b"a\x0bb", b"probe"),
}


@pytest.mark.parametrize("line", SAMPLES, ids=repr)
def test_a_line_is_a_pattern_and_attributes(line: bytes) -> None:
    pattern, *attributes = SAMPLES[line]
    assert lines.parse(line) == AttributesLine(pattern, tuple(attributes))


@pytest.mark.parametrize("line", [b"", b" \t", b"# a comment", b"  # a comment"])
def test_blank_lines_and_comments_say_nothing(line: bytes) -> None:
    assert lines.parse(line) is None


def test_git_reads_the_same_pattern(work: Work) -> None:
    """Each pattern that holds no wildcard matches the file of its name, with an attribute of its own."""
    probes = [line for line in SAMPLES if line.endswith(b"probe")]
    numbered = [line.removesuffix(b"probe") + b"probe%d" % number for number, line in enumerate(probes)]
    work.write(".gitattributes", b"".join(line + b"\n" for line in numbered))
    for number, line in enumerate(numbered):
        parsed = lines.parse(line)
        assert parsed is not None
        name = re.sub(rb"\\(.)", rb"\1", parsed.pattern).decode()
        assert work.git("check-attr", f"probe{number}", "--", name).endswith(f"probe{number}: set"), line
