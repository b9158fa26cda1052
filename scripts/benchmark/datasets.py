"""What the tools are given: files made from a seed, in versions, and what must come back of each version."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

MIB = 1 << 20

Manifest = Mapping[str, str]
"""The path of each file below the data directory, with a hash of its contents."""


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a dataset: `directory` has the files that are new or other than in the version before."""

    directory: Path
    manifest: Manifest


def small_files(place: Path, count: int, changes: tuple[int, ...]) -> list[Version]:
    """Make `count` files of 10 to 30 KB that do not compress; each later version has other contents in some of them."""
    random = Random(f"small files {count}")
    names = [f"images/{number // 1000:03}/{number:06}.jpg" for number in range(count)]
    versions = []
    manifest: dict[str, str] = {}
    for number, chosen in enumerate([names, *(random.sample(names, min(n, count)) for n in changes)]):
        directory = place / str(number)
        for name in sorted(chosen):
            data = random.randbytes(random.randint(10_000, 30_000))
            _write(directory / name, data)
            manifest[name] = hashlib.blake2b(data).hexdigest()
        versions.append(Version(directory, dict(manifest)))
    return versions


def large_file(place: Path, size: int) -> list[Version]:
    """Make one file of `size` bytes that does not compress, and an edit of it.

    100 bytes are put in at a tenth of it, ten regions of 1 MiB (smaller ones in a file below 100 MiB: 1 % in all) get
    other contents, and as much as one of them comes at the end.
    """
    name, random = "video.bin", Random(f"large file {size}")
    first, second = place / "0" / name, place / "1" / name
    first.parent.mkdir(parents=True)
    with open(first, "wb") as file:
        for at in range(0, size, 4 * MIB):
            file.write(random.randbytes(min(4 * MIB, size - at)))
    second.parent.mkdir()
    region = min(MIB, size // 1000)
    with open(first, "rb") as old, open(second, "wb") as new:
        new.write(old.read(size // 10))
        new.write(random.randbytes(100))
        shutil.copyfileobj(old, new, MIB)
        new.write(random.randbytes(region))
        for number in range(10):
            new.seek(size // 10 * number + size // 20)
            new.write(random.randbytes(region))
    return [Version(path.parent, {name: hash_of(path)}) for path in (first, second)]


def annotations(place: Path, size: int, edits: int) -> list[Version]:
    """Make a COCO-like JSON file of some `size` bytes, and edits of it.

    Each edit gives 30 annotations another box, takes 10 away and adds 20, all over the file.
    """
    name, random = "instances.json", Random(f"annotations {size}")
    found: list[str] = []
    length = 0
    while length < size:
        found.append(_annotation(random, len(found)))
        length += len(found[-1]) + 2
    images = [{"id": n, "file_name": f"{n:012}.jpg", "width": 640, "height": 480} for n in range(len(found) // 100 + 1)]
    head = json.dumps({"info": {"description": "made for a benchmark"}, "images": images})[:-1]
    versions = []
    for number in range(edits + 1):
        path = place / str(number) / name
        _write(path, (head + ', "annotations": [' + ", ".join(found) + "]}").encode())
        versions.append(Version(path.parent, {name: hash_of(path)}))
        for at in random.sample(range(len(found)), 30):
            found[at] = _annotation(random, at)
        for _ in range(10):
            del found[random.randrange(len(found))]
        for _ in range(20):
            found.insert(random.randrange(len(found)), _annotation(random, len(found)))
    return versions


def _annotation(random: Random, number: int) -> str:
    box = [round(random.uniform(0, 640), 2) for _ in range(4)]
    outline = [round(random.uniform(0, 640), 2) for _ in range(2 * random.randint(4, 20))]
    return json.dumps(
        {
            "segmentation": [outline],
            "area": round(box[2] * box[3], 4),
            "iscrowd": 0,
            "image_id": random.randrange(100_000),
            "bbox": box,
            "category_id": random.randint(1, 90),
            "id": number,
        }
    )


def tiny_files(place: Path, count: int) -> None:
    """Make `count` files of 100 to 200 bytes, a thousand to a directory."""
    random = Random(f"tiny files {count}")
    for number in range(count):
        _write(place / f"{number // 1000:04}" / f"{number:07}.txt", random.randbytes(random.randint(100, 200)))


def nothing(place: Path) -> list[Version]:
    """Make no file: for works whose files are made where they are used, because there are so many."""
    place.mkdir()
    return [Version(place, {})]


def greeting(place: Path) -> list[Version]:
    """Make the file `greeting` with what git first says to a long-running filter."""
    sets = ((b"git-filter-client", b"version=2"), (b"capability=clean", b"capability=smudge", b"capability=delay"))
    packets = [b"".join(b"%04x%s\n" % (len(text) + 5, text) for text in texts) + b"0000" for texts in sets]
    _write(place / "greeting", b"".join(packets))
    return [Version(place, manifest_of(place))]


def put(version: Version, directory: Path) -> None:
    """Copy what a version has that is new to a directory that holds the version before.

    The files stay as old as they are: git looks again at what is as young as its index, by chance more or fewer of them.
    """
    shutil.copytree(version.directory, directory, dirs_exist_ok=True, copy_function=shutil.copy2)


def paths_in(directory: Path) -> Iterator[Path]:
    for top, _, names in os.walk(directory):
        for name in names:
            yield Path(top, name)


def manifest_of(directory: Path) -> Manifest:
    """Return what is in a directory; hidden files apart, which are the tools' own."""
    return {
        path.relative_to(directory).as_posix(): hash_of(path)
        for path in paths_in(directory)
        if not path.name.startswith(".")
    }


def hash_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
