"""Images that are in two splits of a dataset, by their contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_lds.check.rules import Rules
from git_lds.data.coco.checks import Finding
from git_lds.files import printable
from git_lds.snapshots.version import Version


class SplitMembers:
    """The splits of images: by the annotation files that name them, and by their own paths.

    Contents are compared by the ids in pointers and trees, so that no contents are needed.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._annotated: dict[bytes, dict[str, str]] = {}
        self._by_contents: dict[str, dict[str, bytes]] = {}

    def add(self, path: bytes, split: str, annotation_file: str) -> None:
        """Note that an annotation file of a split names the image at `path`."""
        self._annotated.setdefault(path, {}).setdefault(split, f"in {annotation_file}")

    def is_annotated(self, path: bytes) -> bool:
        return path in self._annotated

    def leaks(self, image: Version) -> list[Finding]:
        """Return why an image is in two splits: by itself, or because an earlier image in another split has its contents.

        Later calls compare with this image, too.
        """
        path = image.path
        reasons = dict(self._annotated.get(path, {}))
        if (split := self._rules.split_of(path)) is not None:
            reasons.setdefault(split, "by its path")
        contents = image.oid or (image.blob or b"").decode()
        same = self._by_contents.setdefault(contents, {})
        others = {split: other for split, other in same.items() if split not in reasons}
        for split in reasons:
            same.setdefault(split, path)
        return list(_findings(path, reasons, others))


def _findings(path: bytes, reasons: Mapping[str, str], others: Mapping[str, bytes]) -> Iterator[Finding]:
    if len(reasons) > 1:
        listed = " and ".join(f"{split} ({reason})" for split, reason in sorted(reasons.items()))
        yield Finding(printable(path), "splits", f"is in split {listed}")
    if reasons:
        splits = " and ".join(sorted(reasons))
        for split, other in others.items():
            message = f"in split {splits}, is the same image as {printable(other)} in {split}"
            yield Finding(printable(path), "splits", message)
