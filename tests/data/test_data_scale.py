"""A COCO file of 100 MB, 100,000 images and 800,000 annotations, is compared and merged in bounded time and memory."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_MEASURE = """
import resource, sys
from pathlib import Path
from git_lds.data.coco import diff, merge as coco_merge, model as coco
from git_lds.data.conflicts import Markers
what, *paths = sys.argv[1:]
data = [Path(path).read_bytes() for path in paths]
if what == "compare":
    found = diff.compare(coco.read(data[0], "a"), coco.read(data[1], "b"))
    assert len(found.annotations.changed) == 4000 and len(found.annotations.added) == 5000
else:
    merged = coco_merge.merge(*data, "a", Markers())
    assert not merged.conflicts
    assert len(coco.read(merged.data, "merged").annotations) == 800_000 - 2 * 800 + 2 * 5000
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A base, and two sides that each move, delete and add annotations, with ids that collide."""
    chance = random.Random(1)
    directory = tmp_path_factory.mktemp("exports")
    base = {
        "images": [
            {"id": n, "file_name": f"images/{n:06d}.jpg", "width": 640, "height": 480} for n in range(1, 100_001)
        ],
        "annotations": [annotation(n, chance) for n in range(1, 800_001)],
        "categories": [{"id": n, "name": f"category {n}"} for n in range(1, 81)],
    }
    paths = [directory / name for name in ("base.json", "ours.json", "theirs.json")]
    paths[0].write_text(json.dumps(base))
    annotations = base["annotations"]
    for side, path in enumerate(paths[1:]):
        before = {at: annotations[at]["bbox"] for at in range(side, 800_000, 200)}
        for at, box in before.items():
            annotations[at]["bbox"] = [box[0] + 1.5, *box[1:]]
        kept = [each for at, each in enumerate(annotations) if at % 1000 != 2 + 3 * side]
        added = [annotation(800_001 + n, chance) for n in range(5000)]
        path.write_text(json.dumps({**base, "annotations": kept + added}))
        for at, box in before.items():
            annotations[at]["bbox"] = box
    assert paths[0].stat().st_size > 95_000_000
    return paths


def annotation(number: int, chance: random.Random) -> dict[str, Any]:
    box = [round(chance.random() * 500, 2) for _ in range(2)] + [round(5 + chance.random() * 80, 2) for _ in range(2)]
    image, kind = chance.randint(1, 100_000), chance.randint(1, 80)
    return {"id": number, "image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


def measured(what: str, *paths: Path) -> tuple[float, float]:
    """Seconds of processor time and MiB of memory."""
    done = subprocess.run([sys.executable, "-c", _MEASURE, what, *paths], capture_output=True, text=True, check=True)
    seconds, memory = map(float, done.stdout.split())
    print(f"{what}: {seconds:.1f} s, {memory:.0f} MiB")
    return seconds, memory


@pytest.mark.slow
def test_a_large_file_is_compared(exports: list[Path]) -> None:
    seconds, memory = measured("compare", *exports[:2])
    assert seconds < 15 and memory < 2000


@pytest.mark.slow
def test_a_large_file_is_merged(exports: list[Path]) -> None:
    seconds, memory = measured("merge", *exports)
    assert seconds < 40 and memory < 2500  # with the reading of the result, which is not a part of the merge
