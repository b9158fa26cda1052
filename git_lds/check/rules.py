"""The rules of `git lds check`, from the table `check` of `.ldsconfig`.

Everybody who can change the repository can change them, so their cost is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from git_lds import patterns
from git_lds.errors import LdsError

CHECKS = ("format", "ids", "references", "boxes", "missing", "size", "decode", "splits", "drift")
"""The names of all checks, as `skip` takes them."""

_HINT = "docs/review.md has the keys of [check]"
_MOST_PATTERNS = 200
_MOST_STARS = 6
"""Stars in one pattern. Each further star multiplies the time of a failed match."""

_USUAL_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Which files are annotations and images (without patterns: by kind), what is excluded or skipped, and the splits.

    `drift` is how many times larger or smaller the share of a category may be.
    """

    annotations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drift: float = 2.0

    def runs(self, check: str) -> bool:
        """Return whether a check is to be made."""
        return check not in self.skip

    def split_of(self, path: bytes) -> str | None:
        """Return the split that a file belongs to by its path, or None.

        It is the first split with a matching pattern. Without patterns it is the split of the last name in the path that has
        a usual word, such as train or val.
        """
        if self.splits:
            return next((name for name, listed in self.splits.items() if patterns.wants(path, listed, ())), None)
        for part in reversed(path.decode("utf-8", "replace").lower().split("/")):
            words = "".join(c if c.isalpha() else " " for c in part.rpartition(".")[0] or part).split()
            for name, usual in _USUAL_SPLITS.items():
                if any(word in words for word in usual):
                    return name
        return None


def read_rules(table: Mapping[str, object]) -> Rules:
    """Return the rules of a table `check`. Raises LdsError that names the wrong key."""
    skip = frozenset(_texts(table, "skip"))
    if unknown := sorted(skip - set(CHECKS)):
        raise LdsError(f".ldsconfig: check.skip: unknown check {unknown[0]!r}", f"the checks are: {', '.join(CHECKS)}")
    splits = table.get("splits", {})
    if not isinstance(splits, dict):
        raise LdsError(".ldsconfig: check.splits must be a table of patterns", _HINT)
    if not all(name.isprintable() and len(name) <= 60 for name in splits):
        raise LdsError(".ldsconfig: check.splits has a name that is too long or not printable", _HINT)
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
    texts = _texts(table, key, prefix)
    if len(texts) > _MOST_PATTERNS or any(len(text) > 400 or text.count("*") > _MOST_STARS for text in texts):
        raise LdsError(f".ldsconfig: check.{prefix}{key} has too many patterns, or one with too many stars", _HINT)
    return texts


def _texts(table: Mapping[str, object], key: str, prefix: str = "") -> tuple[str, ...]:
    value = table.get(key, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item for item in listed):
        raise LdsError(f".ldsconfig: check.{prefix}{key} must be a list of strings", _HINT)
    return tuple(listed)
