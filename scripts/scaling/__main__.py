"""The program of scripts/scale: what it measures, and what that came to, is in docs/scale.md."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling import local_store, log_length, looking_up, tables
from scaling.measuring import Wrong
from scaling.tables import Table

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
TOPICS = ("indexes", "merges", "bootstrap", "log", "states", "transfers", "recipes")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is generated. `objects` are those of the larger store; others have a tenth of it, or a thousandth."""

    objects: int = 10_000_000
    pushes: int = 100_000
    moved: int = 100_000
    packs: int = 900_000
    recipes: int = 100_000
    runs: int = 2000


FULL = Sizes()
QUICK = Sizes(objects=20_000, pushes=120, moved=300, packs=3000, recipes=100, runs=20)


def main() -> int:
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="git-lds-scale.", dir=options.dir)).resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        found = list(_measured(directory, options))
    except Wrong as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scale: interrupted", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    machine = _machine()
    if options.json:
        options.json.write_text(tables.as_json(machine, found))
    if options.write_docs:
        tables.write_page(PAGE, machine, found)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/scale", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="everything, but very small: for seeing that it works")
    add("--objects", type=int, metavar="N", help=f"objects in the largest store (default: {FULL.objects})")
    add("--pushes", type=int, metavar="N", help=f"pushes in the longest log (default: {FULL.pushes})")
    add("--moved", type=int, metavar="N", help=f"objects pushed and fetched at most (default: {FULL.moved})")
    add("--only", default=",".join(TOPICS), metavar="LIST", help=f"of {','.join(TOPICS)} (default: all)")
    add("--dir", type=Path, metavar="DIR", help="work in a new directory in DIR (default: where TMPDIR says)")
    add("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    add("--write-docs", action="store_true", help="write the tables to docs/scale.md")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := [name for name in options.only if name not in TOPICS]:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(TOPICS)}")
    if min(options.objects or 10_000, options.pushes or 120, options.moved or 100) < 100:
        parser.error("below 100 there is nothing to see")
    return options


def _measured(directory: Path, options: argparse.Namespace) -> Iterator[Table]:
    """Yield the tables that are asked for, each shown as soon as it is there."""
    sizes = QUICK if options.quick else FULL
    objects, pushes = options.objects or sizes.objects, options.pushes or sizes.pushes
    few = [objects // 10, objects]
    topics: dict[str, Callable[[], Iterable[Table]]] = {
        "indexes": lambda: looking_up.tables(directory, few, objects // 100),
        "merges": lambda: [looking_up.merge_table(few)],
        "bootstrap": lambda: [
            log_length.bootstrap_table(directory, [objects // 1000, *few], max(objects // 10_000, 1))
        ],
        "log": lambda: log_length.log_tables(directory, _tenths(pushes, 4)),
        "states": lambda: [log_length.state_table(directory, _states(sizes.packs))],
        "transfers": lambda: local_store.transfer_tables(directory, _tenths(options.moved or sizes.moved, 3)),
        "recipes": lambda: [local_store.book_table(directory, _books(sizes))],
    }
    for topic in options.only:
        for table in topics[topic]():
            print(f"\n{table.name}\n\n{table.markdown()}", end="", flush=True)
            yield table


def _tenths(most: int, count: int) -> list[int]:
    """Return `most`, a tenth of it, a tenth of that, the least first; none below 10."""
    return [most // 10**power for power in reversed(range(count)) if most // 10**power >= 10]


def _states(most: int) -> list[int]:
    # packs of 32 MiB: of 10 million objects of 20 KB, of 10 TB, of as much as a checkpoint takes and a little more
    return [most // 144, most // 9, most // 3, most]


def _books(sizes: Sizes) -> list[tuple[int, int]]:
    return [(sizes.recipes // 10, 1), (sizes.recipes, 1), (sizes.recipes // 100, sizes.runs)]


def _machine() -> str:
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    load = os.getloadavg()[2]
    return (
        f"{os.cpu_count()} cores, {gib:.0f} GiB of memory, Python {platform.python_version()}; "
        f"load average of the last 15 minutes: {load:.1f}."
    )


if __name__ == "__main__":
    sys.exit(main())
