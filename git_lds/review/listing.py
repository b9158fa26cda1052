"""The data that the page reads at its start: titles, totals, annotation files, and a line for each entry.

There may be 20,000 lines, so their keys have one letter. `page.js` reads them:

| key | value |
|---|---|
| `p` | path of the file |
| `k` | kind: image, annotations, table, json, text or binary |
| `c` | change: added, changed, removed, renamed, or labels (only the annotations of the image changed) |
| `s` | number of the part with the details of the entry: `data/<s>.js` |
| `o` | old path of a renamed file |
| `b` | [size before, size after] in bytes; null if the file did not exist |
| `n` | note: what could not be shown, or needs a look |
| `t` | [thumbnail before, thumbnail after], as paths in the directory, or null |
| `a` | [added, changed, removed]: annotations of the image |
| `q` | numbers of the annotation files that changed annotations of the image (`id` in `sources`) |
| `g` | numbers of the categories of the changed annotations (index in `categories`) |
"""

from __future__ import annotations

from git_lds.data.image.render import Picture
from git_lds.review.annotations import Categories
from git_lds.review.directory import ENTRIES_PER_PART
from git_lds.review.model import AnnotationSource, Review, ReviewEntry, counts_of, totals

_MOST_CATEGORIES = 2_000


def listing(review: Review, categories: Categories) -> dict[str, object]:
    """Return the data as values for JSON. `categories` gets the names that occur here only."""
    sources = [_source(number, source, categories) for number, source in enumerate(review.sources)]
    entries = [_line(number, entry, categories) for number, entry in enumerate(review.entries)]
    notes = list(review.notes)
    if review.unlisted:
        notes.append(f"{review.unlisted} more changed files are not listed.")
    return {
        "title": review.title,
        "base": review.ends.base_name,
        "head": review.ends.head_name,
        "how": review.ends.how,
        "notes": notes,
        "totals": totals(review),
        "sources": sources,
        "entries": entries,
        "categories": list(categories.names),
    }


def _source(number: int, source: AnnotationSource, categories: Categories) -> dict[str, object]:
    changes = source.changes
    facts = []
    if changes.renumbered:
        facts.append(f"{changes.renumbered} records changed only their id.")
    if changes.others:
        facts.append(f"Also changed: {', '.join(changes.others[:20])}.")
    counts = sorted(changes.counts.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), -max(item[1]), item[0]))
    return {
        "id": number,
        "path": source.path,
        "images": counts_of(changes.images),
        "annotations": counts_of(changes.annotations),
        "names": counts_of(changes.categories),
        "facts": facts,
        "categories": [[categories.number(name), *count] for name, count in counts[:_MOST_CATEGORIES]],
    }


def _line(number: int, entry: ReviewEntry, categories: Categories) -> dict[str, object]:
    """Return an entry with the keys in the table above; keys without a value are left out."""
    line: dict[str, object] = {"p": entry.path, "k": entry.kind, "c": entry.change, "s": number // ENTRIES_PER_PART}
    if entry.old_path is not None:
        line["o"] = entry.old_path
    if entry.versions:
        line["b"] = [version.size if version is not None else None for version in (entry.before, entry.after)]
    if entry.notes:
        line["n"] = " ".join(dict.fromkeys(entry.notes))
    if entry.pair is not None:
        line["t"] = [p.thumb if isinstance(p, Picture) else None for p in (entry.pair.before, entry.pair.after)]
    if entry.groups:
        line["a"] = entry.counts
        line["q"] = [group.source for group in entry.groups if group.image.changed]
        names = {
            name
            for group in entry.groups
            for _, change in group.image.changed
            for name in (change.category, change.old_category)
            if name is not None
        }
        line["g"] = sorted({categories.number(name) for name in names})
    return line
