"""What git-lds wants to reach, once, as limits on measured figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from benchmark.running import Figures, Found
from benchmark.tools import COPY, DVC, GIT_LDS, GIT_LFS, NOTHING, PLAIN, PYTHON, Tool

_PEAKS = ("memory", "server memory", "store", "local", "git")
"""Of these the largest counts where a step was done several times; of the others the median."""

MB, MIB = 1e6, float(1 << 20)


@dataclass(frozen=True, slots=True)
class Results:
    """The figures of all works that were measured."""

    works: dict[str, Found]

    def of(self, work: str, step: str, tool: Tool, figure: str = "wall") -> float:
        """Return one figure. Raises KeyError where it was not measured."""
        return summed_up(self.works[work].steps[step][tool.name], figure)


def summed_up(times: list[Figures], figure: str) -> float:
    return (max if figure in _PEAKS else median)(each[figure] for each in times)


@dataclass(frozen=True, slots=True)
class Target:
    """A limit. `value` computes what it holds for, and raises KeyError where that was not measured."""

    name: str
    limit: float
    at_least: bool
    unit: str
    value: Callable[[Results], float]

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def _at_most(name: str, limit: float, unit: str, value: Callable[[Results], float]) -> Target:
    return Target(name, limit, False, unit, value)


def _faster(name: str, limit: float, work: str, step: str, *peers: Tool) -> Iterator[Target]:
    for peer in peers:
        yield Target(
            f"{name}: faster than {peer.name}",
            limit,
            True,
            "times",
            lambda of, peer=peer: of.of(work, step, peer) / of.of(work, step, GIT_LDS),
        )


TARGETS = (
    _at_most(
        "small files, add+commit: of the do-nothing filter",
        1.15,
        "times",
        lambda r: r.of("small", "add", GIT_LDS) / r.of("small", "add", NOTHING),
    ),
    *_faster("small files, add+commit", 2, "small", "add", GIT_LFS),
    _at_most(
        "large file, add+commit: of `cp -r`",
        2,
        "times",
        lambda r: r.of("large", "add", GIT_LDS) / r.of("large", "add", COPY),
    ),
    *_faster("large file, add+commit", 5, "large", "add", GIT_LFS, DVC),
    *_faster("small files, push", 4, "small", "push", GIT_LFS, DVC),
    _at_most("small files, push", 30, "requests", lambda r: r.of("small", "push", GIT_LDS, "requests")),
    *_faster("small files, fresh clone", 2.5, "small", "clone", GIT_LFS, DVC),
    _at_most(
        "small files, fresh clone: of a clone of the pointers and `cp -r`",
        1.5,
        "times",
        lambda r: r.of("small", "clone", GIT_LDS) / r.of("small", "clone", COPY),
    ),
    *_faster("large file, fresh clone", 4, "large", "clone", GIT_LFS, DVC),
    _at_most(
        "large file, fresh clone: largest process",
        100,
        "MiB",
        lambda r: max(r.of("large", "clone", GIT_LDS, name) for name in ("memory", "server memory")) / MIB,
    ),
    _at_most("large file, first status in a clone", 0.2, "s", lambda r: r.of("large", "first status", GIT_LDS)),
    _at_most(
        "large file, edit: added to the store",
        16,
        "MB",
        lambda r: (r.of("large", "push edit", GIT_LDS, "store") - r.of("large", "push", GIT_LDS, "store")) / MB,
    ),
    _at_most(
        "large file, edit: moved by the pull", 16, "MB", lambda r: r.of("large", "pull edit", GIT_LDS, "received") / MB
    ),
    *_faster("large file, edit, add+commit", 3, "large", "add edit", GIT_LFS, DVC),
    *_faster("large file, edit, pull", 5, "large", "pull edit", GIT_LFS, DVC),
    _at_most(
        "many small objects, status: of plain git, within 5 %",
        1.05,
        "times",
        lambda r: r.of("status", "status", GIT_LDS) / r.of("status", "status", PLAIN),
    ),
    _at_most(
        "start of the filter: more than Python",
        25,
        "ms",
        lambda r: 1000 * (r.of("start", "start", GIT_LDS) - r.of("start", "start", PYTHON)),
    ),
    *_faster("import", 3, "import", "import", DVC),
    *_faster("update", 10, "import", "update", DVC),
    _at_most(
        "update: more requests than for the same change in a tenth of the files",
        2,
        "requests",
        lambda r: r.of("import", "update", GIT_LDS, "requests") - r.of("import-tenth", "update", GIT_LDS, "requests"),
    ),
    _at_most(
        "annotations: local store after all edits, of one version",
        3,
        "times",
        lambda r: r.of("annotations", "push", GIT_LDS, "local") / r.works["annotations"].bytes,
    ),
)
