"""The rules of `git lds check`: the table `check` of `.ldsconfig`, which anyone who can change the repository can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from git_lds import patterns
from git_lds.errors import LdsError

CHECKS = ("format", "ids", "references", "boxes", "missing", "size", "decode", "splits", "drift")
"""What is checked, by the names that `skip` takes."""

_HINT = "docs/review.md has the keys of [check]"
_MOST_PATTERNS = 200
_MOST_STARS = 6
"""In one pattern. Each more multiplies the time in which a path is found not to match."""

_USUAL_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Which files are annotations and images (no pattern: all that look so), what is left out, and what the splits are."""

    annotations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drift: float = 2.0

    def wants(self, check: str) -> bool:
        return check not in self.skip

    def split_of(self, path: bytes) -> str | None:
        """Return the split that a file belongs to by its path: the first that has a pattern for it, else by the names of its
        directories and its own, of which the last that says a usual word counts."""
        if self.splits:
            return next((name for name, listed in self.splits.items() if patterns.wants(path, listed, ())), None)
        for part in reversed(path.decode("utf-8", "replace").lower().split("/")):
            words = "".join(c if c.isalpha() else " " for c in part.rpartition(".")[0] or part).split()
            for name, usual in _USUAL_SPLITS.items():
                if any(word in words for word in usual):
                    return name
        return None


def rules(table: Mapping[str, object]) -> Rules:
    """Return the rules that the table `check` says. Raises LdsError that names the key that is wrong."""
    skip = frozenset(_texts(table, "skip"))
    if unknown := sorted(skip - set(CHECKS)):
        raise LdsError(f".ldsconfig: check.skip names no check: {unknown[0]!r}", f"there are: {', '.join(CHECKS)}")
    splits = table.get("splits", {})
    if not isinstance(splits, dict):
        raise LdsError(".ldsconfig: check.splits must be a table of patterns", _HINT)
    if not all(name.isprintable() and len(name) <= 60 for name in splits):
        raise LdsError(".ldsconfig: check.splits has a name that cannot be shown", _HINT)
    drift = table.get("drift", 2.0)
    if isinstance(drift, bool) or not isinstance(drift, int | float) or not 1 < drift < 1e6:
        raise LdsError(".ldsconfig: check.drift must be a number above 1", _HINT)
    return Rules(
        annotations=_patterns(table, "annotations"),
        images=_patterns(table, "images"),
        exclude=_patterns(table, "exclude"),
        skip=skip,
        splits={name: _patterns(splits, name, "splits.") for name in splits},
        drift=float(drift),
    )


def _patterns(table: Mapping[str, object], key: str, prefix: str = "") -> tuple[str, ...]:
    found = _texts(table, key, prefix)
    if len(found) > _MOST_PATTERNS or any(len(text) > 400 or text.count("*") > _MOST_STARS for text in found):
        raise LdsError(f".ldsconfig: check.{prefix}{key} has too many patterns, or one with too many stars", _HINT)
    return found


def _texts(table: Mapping[str, object], key: str, prefix: str = "") -> tuple[str, ...]:
    value = table.get(key, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
        raise LdsError(f".ldsconfig: check.{prefix}{key} must be a list of texts", _HINT)
    return tuple(listed)
