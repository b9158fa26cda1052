"""Has each tool do each work: a step of all tools, then the next step, with what must be there checked after each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from benchmark import datasets, measuring
from benchmark.datasets import Version
from benchmark.measuring import Failed
from benchmark.places import Place, remove
from benchmark.tools import Tool
from benchmark.works import Step, Work

Figures = dict[str, float]
"""What was measured of one step, by the name of the figure."""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a work: the bytes of its dataset, the load average before, whether the tools took turns; and for each
    step and each tool's name its figures, a set each time."""

    title: str
    bytes: int
    load: float
    in_turn: bool
    steps: dict[str, dict[str, list[Figures]]]


Done = tuple[Tool, Step, Figures]


@dataclass(frozen=True, slots=True)
class Run:
    """Who takes part, where, how often; whether the disk is waited for before each step; and the step whose result is
    spoilt, to see that this is found."""

    tools: Sequence[Tool]
    directory: Path
    repeat: int
    sync: bool
    spoil: str | None


def measure(run: Run, work: Work) -> Found:
    """Return the figures of a work. Raises Failed as soon as a tool fails, or gives back what it was not given."""
    tools = [tool for tool in work.tools if tool in run.tools]
    _check_room(run, work, tools)
    print(f"== {work.title}", file=sys.stderr, flush=True)
    load = os.getloadavg()[0]
    (run.directory / work.name).mkdir()
    versions = work.make(run.directory / work.name / "data")
    found = Found(work.title, measuring.size_of([versions[0].directory]), load, takes_turns(work, tools), {})
    for number in range(run.repeat if tools else 0):
        first = number % len(tools)  # no tool is always the first
        directory = run.directory / work.name / str(number)
        for tool, step, figures in _all_courses(run, work, directory, [*tools[first:], *tools[:first]], versions):
            found.steps.setdefault(step.name, {}).setdefault(tool.name, []).append(figures)
            print(f"{step.name:16} {tool.name:18} {figures['wall']:8.3f} s", file=sys.stderr, flush=True)
    return found


def takes_turns(work: Work, tools: Sequence[Tool]) -> bool:
    """Tell whether the tools do each step in turn: where half of memory holds it all, so that no tool reads from the disk.

    Where not, one tool does all its steps, and then the next.
    """
    return work.holds * len(tools) < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _check_room(run: Run, work: Work, tools: Sequence[Tool]) -> None:
    needed = work.holds * (len(tools) * run.repeat if takes_turns(work, tools) else 1) + work.holds // 4
    free = shutil.disk_usage(run.directory).free
    if free < needed:
        raise Failed(f"{work.name}: needs {needed / 1e9:.0f} GB in {run.directory}, where {free / 1e9:.0f} GB are free")


def _all_courses(
    run: Run, work: Work, directory: Path, tools: Sequence[Tool], versions: Sequence[Version]
) -> Iterator[Done]:
    with ExitStack() as closers:
        courses = [closers.enter_context(closing(_course(run, work, directory, tool, versions))) for tool in tools]
        rounds = zip_longest(*courses) if takes_turns(work, tools) else courses
        yield from filter(None, chain.from_iterable(rounds))


def _course(
    run: Run, work: Work, directory: Path, tool: Tool, versions: Sequence[Version]
) -> Generator[Done | None, None, None]:
    place, step = Place(directory / tool.name, tool), None
    with closing(place):
        try:
            place.prepare()
            for step in work.course(place, versions):
                yield step and (step.counts_for or tool, step, _figures(run, place, step))
        except Failed as error:
            raise Failed(f"{work.name}, {tool.name}, {step.name if step else 'start'}: {error}") from None
    if not takes_turns(work, run.tools):
        remove(
            place.root
        )  # few files, but large ones; of small ones none is removed before the end, see performance.md


def _figures(run: Run, place: Place, step: Step) -> Figures:
    """Do a step and return what it took, once it is seen that it did what it should."""
    tool, tree = place.tool, step.tree
    environment = place.environment(step.user, DATA=step.data, TARGET=tree)
    if run.sync:
        os.sync()  # earlier writes are on the disk: no tool pays for those of another
    with measuring.traffic_of(place.server) as traffic:
        took = measuring.run(step.script, tree.parent if step.makes else tree, environment)
    if run.spoil == step.name and step.result:
        _spoil(step.result)
    _check(tool, step, took.output)
    return {
        "wall": took.wall,
        "cpu": took.cpu,
        "memory": took.memory,
        **traffic,
        "store": measuring.size_of(place.directories(tool.store, tree, step.user)),
        "local": measuring.size_of(place.directories(tool.local, tree, step.user)),
        "git": measuring.size_of([tree / ".git" / "objects"]),
    }


def _check(tool: Tool, step: Step, output: str) -> None:
    if step.quiet and output:
        raise Failed(f"the working tree is not clean: {output[:500]}")
    if step.result is None or step.expected is None:
        return
    there = datasets.manifest_of(step.result)
    names = there.keys() | step.expected.keys()
    same = there.keys() & step.expected.keys() if not tool.keeps else []
    wrong = sorted(name for name in names.difference(same) if there.get(name) != step.expected.get(name))
    if wrong:
        raise Failed(f"wrong answer, {len(wrong)} of {len(names)} file(s) are not as given: {', '.join(wrong[:5])}")


def _spoil(directory: Path) -> None:
    path = min(datasets.paths_in(directory))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
