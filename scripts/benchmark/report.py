"""The results as a JSON file, and as the tables of docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark.measuring import Failed
from benchmark.running import Figures, Found
from benchmark.targets import MB, MIB, TARGETS, Results, summed_up
from benchmark.tools import GIT_LDS, TOOLS

FORMAT = 1
START, END = "<!-- figures, written by scripts/bench -->\n", "<!-- end of figures -->\n"

Report = dict[str, Any]
"""What the JSON file holds."""

_SIZED = ("push", "clone", "push edit", "pull edit", "import", "update")
"""The steps after which sizes are shown."""


def report_of(results: Results, versions: Mapping[str, str], options: Mapping[str, object], directory: Path) -> Report:
    """Return all that is known of a run that was made in `directory`."""
    return {
        "format": FORMAT,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(directory),
        "versions": dict(versions),
        "options": dict(options),
        "works": {name: asdict(found) for name, found in results.works.items()},
        "targets": list(_targets(results)),
    }


def _machine(directory: Path) -> dict[str, str]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    mounted = subprocess.run(
        ["findmnt", "--noheadings", "--output", "FSTYPE,OPTIONS", "--target", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "file system": " ".join(mounted.stdout.split()) or "unknown",
        "system": f"{platform.system()} {platform.release()}",
    }


def _targets(results: Results) -> Iterator[dict[str, object]]:
    for target in TARGETS:
        try:
            value = target.value(results)
        except KeyError:
            value = None
        yield {
            "name": target.name,
            "wanted": f"{'at least' if target.at_least else 'at most'} {target.limit:g} {target.unit}",
            "measured": value,
            "met": None if value is None else target.is_met(value),
        }


def read(path: Path) -> Report:
    """Return the report that a run wrote to a file."""
    try:
        report: Report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"{path}: {error}") from None
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise Failed(f"{path}: not the figures of a run of this version")
    return report


def write_docs(report: Report, page: Path) -> None:
    """Put the tables between the marks of a page."""
    text = page.read_text()
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{START}\n{markdown(report)}\n{END}{after}")


def markdown(report: Report) -> str:
    """Return the tables of a report."""
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    versions = "; ".join(f"{name}: {value}" for name, value in report["versions"].items())
    options = ", ".join(f"{name} {value}" for name, value in report["options"].items())
    parts = [
        f"Measured {report['date']}. Machine: {machine}.\n\nVersions: {versions}.\n\nOptions: {options}.",
        "### Targets\n\n" + _target_table(report["targets"]),
    ]
    parts += [_work_part(Found(**found)) for found in report["works"].values()]
    return "\n\n".join(parts) + "\n"


def _target_table(targets: Sequence[Mapping[str, Any]]) -> str:
    verdicts = {None: "not measured", True: "met", False: "not met"}
    rows = [
        [
            each["name"],
            each["wanted"],
            "" if each["measured"] is None else _number(each["measured"]),
            verdicts[each["met"]],
        ]
        for each in targets
    ]
    return _table(["target", "wanted", "measured", ""], rows)


def _work_part(found: Found) -> str:
    order = "Each step by all tools in turn" if found.in_turn else "One tool after the other"
    size = f"; {_number(found.bytes / MB)} MB of data" if found.bytes >= MB else ""
    parts = [
        f"### {found.title}\n\n{order}{size}; load average before it {found.load:.1f}.",
        "Wall seconds, and how many times as long as git-lds with its store over HTTP:\n\n" + _by_tool(found, _wall),
        "CPU seconds, and MiB that the largest process had in memory:\n\n" + _by_tool(found, _effort),
    ]
    sizes = _by_tool(found, _sizes)
    if sizes:
        parts.append(
            "MB in the store / on this machine beside the working tree / of git's objects, afterwards:\n\n" + sizes
        )
    traffic = [row for step, times in found.steps.items() for row in _traffic(step, times.get(GIT_LDS.name, []))]
    if traffic:
        head = [
            "git-lds over HTTP",
            "requests",
            "MB to the store",
            "MB from it",
            "server's CPU seconds",
            "server's MiB",
        ]
        parts.append(_table(head, traffic))
    return "\n\n".join(parts)


Cell = Callable[[str, list[Figures], list[Figures]], str]
"""What a table says of a step, from a tool's figures and from those of git-lds."""


def _by_tool(found: Found, cell: Cell) -> str:
    """Return a table with a row a step and a column a tool; empty when it says nothing."""
    names = [tool.name for tool in TOOLS if any(tool.name in times for times in found.steps.values())]
    rows = [
        [step, *(cell(step, times[name], times.get(GIT_LDS.name, [])) if name in times else "" for name in names)]
        for step, times in found.steps.items()
    ]
    rows = [row for row in rows if any(row[1:])]
    return _table(["", *names], rows) if rows else ""


def _wall(_: str, times: list[Figures], ours: list[Figures]) -> str:
    wall = summed_up(times, "wall")
    return _number(wall) + (f" ({_number(wall / summed_up(ours, 'wall'))})" if ours and times is not ours else "")


def _effort(_: str, times: list[Figures], __: list[Figures]) -> str:
    return f"{_number(summed_up(times, 'cpu'))}, {summed_up(times, 'memory') / MIB:.0f}"


def _sizes(step: str, times: list[Figures], _: list[Figures]) -> str:
    sizes = [summed_up(times, name) / MB for name in ("store", "local", "git")]
    return " / ".join(_number(size) for size in sizes) if step in _SIZED and any(sizes) else ""


def _traffic(step: str, times: list[Figures]) -> Iterator[list[str]]:
    if times and times[0].get("requests"):
        of = {name: summed_up(times, name) for name in times[0]}
        yield [
            step,
            f"{of['requests']:.0f}",
            _number(of["sent"] / MB),
            _number(of["received"] / MB),
            _number(of["server cpu"]),
            f"{of['server memory'] / MIB:.0f}",
        ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _number(value: float) -> str:
    """Return three digits that count, and no exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else "0"
