"""Which records differ between two files of JSON Lines: by their ids if all have one, else as whole lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from git_lds.data.json import diff as json_diff
from git_lds.data.json import strict
from git_lds.data.json.diff import ValueChanges
from git_lds.data.json.merge import key_of, same_value


def diff(before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> ValueChanges:
    """Return the changes between two versions of a file; one that is None or empty has no records.

    Raises LdsError, which names the line, if a line is not JSON.
    """
    with strict.no_pauses():
        old, new = (list(_records(data or b"", name)) for data in (before, after))
    id_of = key_of([old, new])
    if id_of is None:
        old_lines, new_lines = (Counter(json.dumps(record, sort_keys=True) for record in side) for side in (old, new))
        return ValueChanges(
            (new_lines - old_lines).total(), (old_lines - new_lines).total(), 0, names=(), by_lines=True
        )
    olds, news = ({id_of(record): record for record in side} for side in (old, new))
    changed = [each for each, record in olds.items() if each in news and not same_value(record, news[each])]
    values = json_diff.compare(old, new, name)
    return ValueChanges(
        len(news.keys() - olds.keys()),
        len(olds.keys() - news.keys()),
        len(changed),
        values.listed,
        values.unlisted,
        tuple(map(str, changed[: json_diff.MAX_LISTED])),
    )


def _records(data: bytes, name: str) -> Iterator[Any]:
    for number, line in enumerate(strict.text(data, name).split("\n"), 1):
        if line.strip():
            yield strict.value(line, f"{name}, line {number}")
