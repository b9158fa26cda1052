"""Drift: categories whose share of the annotations differs much between two versions of a file, or between two splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from git_lds.data.coco.checks import Finding
from git_lds.data.coco.model import Coco
from git_lds.data.json import strict

_LEAST = 20
"""Annotations that a category must be expected to have on the smaller side. With fewer, a difference may be chance."""


class FileCounts(NamedTuple):
    """An annotation file: its path for messages, the split that it belongs to, and its number of annotations by category."""

    name: str
    split: str | None
    counts: Mapping[str, int]


def count_categories(coco: Coco) -> dict[str, int]:
    """Return the number of annotations of each category, by its name."""
    counts: dict[str, int] = {}
    names: dict[object, str] = dict(coco.category_names)
    for record in coco.annotations:
        if (name := names.get(record.get("category_id"))) is not None:
            counts[name] = counts.get(name, 0) + 1
    return counts


def between_versions(before: Coco, after: Coco, factor: float) -> Iterator[Finding]:
    """Yield the categories of a file whose share changed by `factor` or more."""
    for category, was, now in _shifts(count_categories(before), count_categories(after), factor):
        yield Finding(after.name, "drift", f"{now} of the annotations are {_quoted(category)}, and {was} were before")


def between_splits(files: Sequence[FileCounts], factor: float) -> Iterator[Finding]:
    """Yield the categories whose share in a split differs by `factor` or more from their share in the largest split."""
    totals: dict[str, dict[str, int]] = {}
    first_file: dict[str, str] = {}
    for name, split, counts in files:
        if split is not None:
            first_file.setdefault(split, name)
            total = totals.setdefault(split, {})
            for category, count in counts.items():
                total[category] = total.get(category, 0) + count
    if len(totals) < 2:
        return
    largest = max(totals, key=lambda split: (sum(totals[split].values()), split))
    for split, counts in totals.items():
        if split != largest:
            for category, was, now in _shifts(totals[largest], counts, factor):
                message = f"{now} of the annotations in {split} are {_quoted(category)}, and {was} in {largest}"
                yield Finding(first_file[split], "drift", message)


def _shifts(before: Mapping[str, int], after: Mapping[str, int], factor: float) -> Iterator[tuple[str, str, str]]:
    """Yield (category, share before, share after) where one share is more than `factor` times the other."""
    all_before, all_after = sum(before.values()), sum(after.values())
    if not all_before or not all_after:
        return
    for category in dict.fromkeys([*before, *after]):
        was, now = before.get(category, 0) / all_before, after.get(category, 0) / all_after
        if max(was, now) * min(all_before, all_after) < _LEAST:
            continue
        if now < was / factor or now > was * factor:
            yield category, _percent(was), _percent(now)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _quoted(category: str) -> str:
    return strict.shortened(category)
