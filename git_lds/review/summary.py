"""The review as Markdown, for a comment on a pull request.

Names from data are written as code, so that none of them becomes a link or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from git_lds.review.model import Review, totals

_MOST = 20
_MOST_SOURCES = 5
_SIGNS = {"added": "+", "changed": "~", "removed": "-", "renamed": "→", "labels": "□"}


def markdown(review: Review) -> str:
    """Return a summary of at most a page, in the Markdown of GitHub and GitLab."""
    lines = [f"### Data under review: {code(review.ends.base_name)} → {code(review.ends.head_name)}", ""]
    lines += [*_totals(review), *_categories(review), *_problems(review), *_files(review)]
    return "\n".join(lines) + "\n"


def _totals(review: Review) -> Iterator[str]:
    numbers = totals(review)
    yield from ("| | added | changed | removed |", "|---|---:|---:|---:|")
    for title in ("files", "images", "annotations"):
        counts = numbers[title]
        assert isinstance(counts, list)
        yield f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |"
    yield ""
    others = ((numbers["renamed"], "renamed"), (numbers["labelled"], "images with new annotations only"))
    yield from (f"{count} {what}.  " for count, what in others if count)


def _categories(review: Review) -> Iterator[str]:
    """Yield the categories of each annotation file whose numbers changed, the largest changes first."""
    for source in review.sources[:_MOST_SOURCES]:
        changed = [(name, *counts) for name, counts in source.changes.counts.items() if counts[0] != counts[1]]
        changed.sort(key=lambda row: -abs(row[2] - row[1]))
        if changed:
            yield from ("", code(source.path), "", "| category | before | after |", "|---|---:|---:|")
            yield from (f"| {code(name)} | {before:,} | {after:,} |" for name, before, after in changed[:_MOST])
            yield from _more(len(changed) - _MOST, "categories")


def _problems(review: Review) -> Iterator[str]:
    problems = [entry for entry in review.entries if entry.notes]
    if problems:
        yield from ("", "**Needs attention**", "")
        yield from (f"- {code(entry.path)}: {code(entry.notes[0])}" for entry in problems[:_MOST])
        yield from _more(len(problems) - _MOST, "files")


def _files(review: Review) -> Iterator[str]:
    if not review.entries:
        yield from ("", "No files changed.")
        return
    yield from ("", "<details><summary>Files</summary>", "")
    yield from (f"- {_SIGNS[entry.change]} {code(entry.path)}" for entry in review.entries[:_MOST])
    yield from _more(len(review.entries) - _MOST + review.unlisted, "files")
    yield from ("", "</details>")


def code(text: str) -> str:
    """Return a text as a Markdown code span on one line, which nothing in it can end. Bars are escaped for tables."""
    one_line = "".join(c if c.isprintable() else " " for c in text)[:300].strip().replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", one_line)), default=0) + 1)
    space = " " if one_line[0] == "`" or one_line[-1] == "`" else ""
    return f"{fence}{space}{one_line}{space}{fence}"


def _more(count: int, what: str) -> list[str]:
    return ["", f"and {count:,} more {what}"] if count > 0 else []
