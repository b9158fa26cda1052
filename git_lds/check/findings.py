"""The result of a check: its findings, which of them are kept, and how they are listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from git_lds.data.coco.checks import Finding

_KEPT = 1_000
"""Findings of one check in one file that are kept; the others are counted."""

_LISTED = 10
"""Findings of one check in one file that are listed for people."""


@dataclass(slots=True)
class CheckReport:
    """The mistakes in a dataset, and what was not checked.

    `more` counts the findings that are not kept, by path and check. `absent` are the files that are not on this machine and
    were not read; `notes` name other omissions. `annotations` and `images` count the files that were read.
    """

    findings: list[Finding] = field(default_factory=list)
    more: dict[tuple[str, str], int] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    annotations: int = 0
    images: int = 0
    _kept: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of all mistakes."""
        return len(self.findings) + sum(self.more.values())

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep findings, or count them where many of one check in one file are kept already."""
        for finding in findings:
            group = finding.path, finding.check
            self._kept[group] = self._kept.get(group, 0) + 1
            if self._kept[group] <= _KEPT:
                self.findings.append(finding)
            else:
                self.more[group] = self.more.get(group, 0) + 1

    def lines(self) -> Iterator[str]:
        """Yield a line per finding, in their order; of many of one check in one file, the first and the number of others."""
        for (path, check), group in groupby(self.findings, lambda finding: (finding.path, finding.check)):
            findings = list(group)
            for finding in findings[:_LISTED]:
                yield f"{path}: {finding.message}"
            others = len(findings) + self.more.get((path, check), 0) - _LISTED
            if others > 0:
                yield f"{path}: and {others} more of this kind ({check})"

    def as_json(self) -> dict[str, object]:
        """Return the report as `git lds check --json` prints it."""
        return {
            "count": self.count,
            "findings": [finding._asdict() for finding in self.findings],
            "more": [{"path": path, "check": check, "count": count} for (path, check), count in self.more.items()],
            "absent": self.absent,
            "notes": self.notes,
            "annotations": self.annotations,
            "images": self.images,
        }
