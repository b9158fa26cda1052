"""Merges JSON Lines: each line is a record, matched by its key if all have one, else by its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from git_lds.data.conflicts import Markers, Merged, TextConflict, both_rewrote, rows_order
from git_lds.data.json import layout, strict
from git_lds.data.json.layout import Piece
from git_lds.data.json.merge import JsonMerger, Result, key_of
from git_lds.errors import LdsError

Key = Hashable


def merge(base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers, key: Sequence[str] = ()) -> Merged:
    """Return the merge of three versions of a file of JSON Lines. Raises LdsError if a line is not JSON."""
    with strict.no_pauses(), strict.json_errors(name):
        sides = [_lines(data, name) for data in (base, ours, theirs)]
        id_of = key_of([[piece.value for piece in side] for side in sides])
        keyed = [_keyed(side, id_of) for side in sides]
        if id_of is None and both_rewrote(*(side.keys() for side in keyed)):
            raise LdsError(f"{name}: both sides changed the same line, which has no id")
        ending = "\r\n" if b"\r\n" in ours else "\n"
        conflicts: list[str] = []
        out = []
        for each in rows_order(*map(list, keyed)):
            about = strict.shortened(each[0] if isinstance(each, tuple) else each)
            line = _merged([side.get(each) for side in keyed], about, markers, conflicts)
            if isinstance(line, TextConflict):
                out.append(markers.block(line.ours or "", line.theirs or "", ending))
            elif line is not None:
                out.append(line + ending)
    text = "".join(out)
    if out and not ours.endswith(b"\n") and not theirs.endswith(b"\n") and not conflicts:
        text = text.removesuffix(ending)
    return Merged(text.encode("utf-8", "surrogatepass"), tuple(conflicts))


def _merged(sides: Sequence[Piece | None], about: str, markers: Markers, conflicts: list[str]) -> Result:
    """Return the merge of one line. A conflict consists of whole lines: with markers inside it would not be JSON Lines."""
    state = JsonMerger(markers, "ours")
    line = state.merge(sides[0], sides[1], sides[2], about)
    if not state.conflicts:
        return line
    conflicts += state.conflicts
    other = JsonMerger(markers, "theirs").merge(sides[0], sides[1], sides[2], about)
    assert not isinstance(line, TextConflict) and not isinstance(other, TextConflict)
    return TextConflict(line, other)


def _lines(data: bytes, name: str) -> list[Piece]:
    """Return the value of each line that is not empty."""
    return [layout.root(line.strip()) for line in strict.text(data, name).split("\n") if line.strip()]


def _keyed(side: Sequence[Piece], key: Any) -> dict[Key, Piece]:
    """Return the lines by their key, or by their text and how often it occurred before."""
    if key is not None:
        return {key(piece.value): piece for piece in side}
    often: Counter[str] = Counter()
    found: dict[Key, Piece] = {}
    for piece in side:
        found[piece.text, often[piece.text]] = piece
        often[piece.text] += 1
    return found
