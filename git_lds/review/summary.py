"""The review as Markdown, for the comment of a pull request. Names from data are code, so that none is a link or a mention."""

from __future__ import annotations

import re

from git_lds.review.building import Review, totals

_MOST = 20
_SIGNS = {"added": "+", "changed": "~", "removed": "-", "renamed": "→", "labels": "□"}


def markdown(review: Review) -> str:
    """Return what changed, on a page of Markdown at most, as GitHub and GitLab read it."""
    numbers = totals(review)
    lines = [f"### Data under review: {code(review.ends.base_name)} → {code(review.ends.head_name)}", ""]
    lines += ["| | added | changed | removed |", "|---|---:|---:|---:|"]
    for title in ("files", "images", "annotations"):
        counts = numbers[title]
        assert isinstance(counts, list)
        lines.append(f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |")
    lines.append("")
    said = [(numbers["renamed"], "renamed"), (numbers["labelled"], "images with new annotations only")]
    lines += [f"{count} {what}.  " for count, what in said if count]
    for source in review.sources[:5]:
        moved = [(name, *counts) for name, counts in source.changes.counts.items() if counts[0] != counts[1]]
        moved.sort(key=lambda each: -abs(each[2] - each[1]))
        if moved:
            lines += ["", f"{code(source.path)}", "", "| category | before | after |", "|---|---:|---:|"]
            lines += [f"| {code(name)} | {was:,} | {now:,} |" for name, was, now in moved[:_MOST]]
            lines += _more(len(moved) - _MOST, "categories")
    bad = [entry for entry in review.entries if entry.notes]
    if bad:
        lines += ["", "**Needs a look**", ""]
        lines += [f"- {code(entry.path)}: {code(entry.notes[0])}" for entry in bad[:_MOST]]
        lines += _more(len(bad) - _MOST, "files")
    if review.entries:
        lines += ["", "<details><summary>Files</summary>", ""]
        for entry in review.entries[:_MOST]:
            lines.append(f"- {_SIGNS[entry.change]} {code(entry.path)}")
        lines += [*_more(len(review.entries) - _MOST + review.unlisted, "files"), "", "</details>"]
    else:
        lines += ["", "No file changed."]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return a text as code of Markdown, on one line, which nothing in it can end; a table's bars are escaped."""
    one_line = "".join(c if c.isprintable() else " " for c in text)[:300].strip().replace("|", "\\|") or " "
    fence = "`" * (max((len(run) for run in re.findall("`+", one_line)), default=0) + 1)
    space = " " if one_line[0] == "`" or one_line[-1] == "`" else ""
    return f"{fence}{space}{one_line}{space}{fence}"


def _more(count: int, what: str) -> list[str]:
    return ["", f"and {count:,} {what} more"] if count > 0 else []
