"""The program of scripts/bench: what it measures, how, and its figures are in docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmark import measuring, places, report, running
from benchmark.measuring import Failed
from benchmark.report import Report
from benchmark.running import Run
from benchmark.targets import Results
from benchmark.tools import TOOLS, VERSIONS
from benchmark.works import QUICK, Sizes, all_works

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "performance.md"


def main() -> int:
    options = _options()
    try:
        done = report.read(options.tables) if options.tables else _measured(options)
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    if options.write_docs:
        report.write_docs(done, PAGE)
    print(report.markdown(done), end="")
    return 0


def _options() -> argparse.Namespace:
    names, groups = [work.name for work in all_works(Sizes())], list(VERSIONS)
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="everything, but very small: for seeing that it works")
    add("--files", type=int, metavar="N", help="how many small files (default: 10000)")
    add("--large", type=int, metavar="MIB", help="the size of the large file (default: 1024)")
    add("--tools", type=_names(groups), default=groups, metavar="LIST", help=f"of {','.join(groups)} (default: all)")
    add("--only", type=_names(names), default=names, metavar="LIST", help=f"works, of {','.join(names)} (default: all)")
    add("--repeat", type=int, default=1, metavar="N", help="do it N times and take medians (default: 1)")
    add("--dir", type=Path, metavar="DIR", help="work in a new directory in DIR (default: where TMPDIR says)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--write-docs", action="store_true", help="write the tables to docs/performance.md")
    add("--tables", type=Path, metavar="FILE", help="measure nothing, take the figures from such a FILE")
    add("--spoil", metavar="STEP", help=argparse.SUPPRESS)  # for a test: change a byte of what this step gives
    options = parser.parse_args()
    if min(options.repeat, options.files or 1, options.large or 1) < 1:
        parser.error("numbers must be at least 1")
    for directory in (options.dir, options.json and options.json.absolute().parent):
        if directory and not os.access(directory, os.W_OK):
            parser.error(f"{directory}: nothing can be written there")
    return options


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {', '.join(known)}")
        return names

    return parse


def _measured(options: argparse.Namespace) -> Report:
    directory = Path(tempfile.mkdtemp(prefix="git-lds-bench.", dir=options.dir)).resolve()
    try:
        with measuring.ended_in_order():
            return _measure_in(directory, options)
    finally:
        places.remove(directory)


def _measure_in(directory: Path, options: argparse.Namespace) -> Report:
    """Return the report of all works. The file is written after each of them: the whole takes long, and may be ended."""
    versions = dict(_versions(options.tools, directory))
    tools = [tool for tool in TOOLS if tool.group in versions]
    run = Run(tools, directory, options.repeat, sync=not options.quick, spoil=options.spoil)
    sizes = _sizes(options)
    said = {"small files": sizes.files, "large file": f"{sizes.large} MiB", "times": options.repeat}
    results = Results({})
    for work in all_works(sizes):
        if work.name in options.only:
            results.works[work.name] = running.measure(run, work)
            done = report.report_of(results, versions | _of_project(), said, directory)
            if options.json:
                options.json.write_text(json.dumps(done, indent=1) + "\n")
    return done


def _versions(groups: Sequence[str], directory: Path) -> Iterator[tuple[str, str]]:
    """Yield each group of tools that is installed, with its version."""
    for group in groups:
        version = places.version_of(VERSIONS[group], directory)
        if version is None:
            print(f"bench: {group} is not installed, and left out", file=sys.stderr)
        else:
            yield group, version


def _of_project() -> dict[str, str]:
    """Return which commit of the project was measured, where it is a checkout."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return {"commit": done.stdout.strip()} if done.returncode == 0 else {}


def _sizes(options: argparse.Namespace) -> Sizes:
    sizes = QUICK if options.quick else Sizes()
    given = {name: getattr(options, name) for name in ("files", "large") if getattr(options, name)}
    return replace(sizes, **given)


if __name__ == "__main__":
    sys.exit(main())
