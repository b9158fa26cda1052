"""What many objects on this machine take: in the local store, in a push and a fetch of them all, and in the book of recipes."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from git_lds import hashing
from git_lds.hashing import FileId, Oid
from git_lds.local.objects import ObjectDirectory
from git_lds.store.backends.directory import Directory
from git_lds.store.client.recipe_cache import RecipeCache
from git_lds.store.client.store import Store
from git_lds.store.format.recipe import FrameRun, Recipe
from scaling.generated import missing_oid
from scaling.measuring import Facts, check, in_a_process, memory, size_of, taking
from scaling.tables import Cell, Table, mb

SIZE = 200
"""Bytes of each object: what many of them cost, and not what they hold."""

_GIT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}


def transfer_tables(directory: Path, objects: Sequence[int]) -> Iterator[Table]:
    """Yield the tables of what so many objects take in the local store, to be pushed, and to be fetched."""
    here: list[list[Cell]] = []
    moved: list[list[Cell]] = []
    for count in objects:
        place = directory / "transfer"
        place.mkdir()
        try:
            here.append(_fill(place, count))
            moved += _move(place, count)
        finally:
            shutil.rmtree(place)
    head = ["objects", "local packs", "MB on disk", "add, CPU µs each", "peak of adding, MB", "first look-up, ms"]
    yield Table("local store", [*head, "there, µs each", "not there, µs each", "own memory, MB"], here)
    head = ["objects", "what", "s", "CPU s", "peak, MB", "peak, bytes an object", "git's CPU s"]
    yield Table("push and fetch", [*head, "MB of the store"], moved)


def _fill(place: Path, count: int) -> list[Cell]:
    repository = place / "work"
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], env={**os.environ, **_GIT}, check=True)
    store = repository / ".git" / "lds"
    added = in_a_process(add, directory=str(store), count=count)
    found = in_a_process(find, directory=str(store), count=count)
    packs = len(list((store / "packs").glob("*.pack")))
    spent = [
        added["spent"] / count * 1e6,
        mb(added["peak"]),
        found["first"] * 1e3,
        found["hit"] * 1e6,
        found["miss"] * 1e6,
    ]
    return [count, packs, mb(size_of(store)), *spent, mb(found["own"])]


def _contents(number: int) -> bytes:
    return number.to_bytes(8) + hashing.new().update(b"object %d" % number).digest(length=SIZE - 8)


def add(directory: str, count: int) -> Facts:
    """Measure how objects are put into the local store, as the filter does."""
    objects = ObjectDirectory(Path(directory))
    with taking() as took:
        for number in range(count):
            data = _contents(number)
            objects.put(hashing.of_bytes(data), data)
        objects.close()
    return {"spent": took.cpu, "peak": took.peak}


def find(directory: str, count: int) -> Facts:
    """Measure look-ups in the local store, the first one after the start of a process apart."""
    objects = ObjectDirectory(Path(directory))
    with taking() as first:
        check(not objects.has(missing_oid(0)), "an object was found that does not exist")
    asked = min(count, 10_000)
    there = [hashing.of_bytes(_contents(number)) for number in random.Random(count).sample(range(count), asked)]
    nowhere = [missing_oid(number) for number in range(asked)]
    with taking() as hits:
        check(all(map(objects.has, there)), "an object was not found")
    with taking() as misses:
        check(not any(map(objects.has, nowhere)), "an object was found that does not exist")
    own = memory()["RssAnon"]
    objects.close()
    return {"first": first.cpu, "hit": hits.cpu / asked, "miss": misses.cpu / asked, "own": own}


def _move(place: Path, count: int) -> Iterator[list[Cell]]:
    """Yield the rows of a push of all objects, of one of one object more, and of a fetch of them all."""
    work, store = place / "work", place / "store"
    _commit(work, range(count), "start")
    for name, new in (("push all", 0), ("push one more", 1)):
        if new:
            data = _contents(count)
            with contextlib.closing(ObjectDirectory(work / ".git" / "lds")) as objects:
                objects.put(hashing.of_bytes(data), data)
            _commit(work, range(count, count + 1), "one more")
        f = in_a_process(
            command, directory=str(work), words=["push", "-q"], cache=str(place / "cache"), store=str(store)
        )
        yield _row(count, name, f, store)
    _check_store(store, place / "checked", count + 1)
    shutil.rmtree(work / ".git" / "lds")
    words = ["fetch", "-q", "origin", "main"]
    git = ["git", "-C", str(work), "remote", "add", "origin", str(place / "nowhere")]
    subprocess.run(git, env={**os.environ, **_GIT}, check=True)
    shutil.rmtree(place / "cache")
    f = in_a_process(command, directory=str(work), words=words, cache=str(place / "cache"), store=str(store))
    with contextlib.closing(ObjectDirectory(next((place / "cache").rglob("packs")).parent)) as objects:
        check(sum(1 for _ in objects) == count + 1, "a fetch left objects out")
        check(objects.read(hashing.of_bytes(_contents(0))) == _contents(0), "a fetch brought something else")
    yield _row(count, "fetch all", f, store)
    f = in_a_process(command, directory=str(work), words=words, cache=str(place / "cache"), store=str(store))
    yield _row(count, "fetch nothing", f, store)


def _row(count: int, name: str, f: Facts, store: Path) -> list[Cell]:
    own = [f["seconds"], f["cpu"], mb(f["peak"]), f["peak"] / count]
    return [count, name, *own, f["git cpu"], mb(size_of(store))]


def command(directory: str, words: list[str], cache: str, store: str) -> Facts:
    """Run a command of git-lds in this process."""
    os.chdir(directory)
    os.environ.update(_GIT, GIT_LDS_CACHE=cache, GIT_LDS_STORE=store)
    from git_lds.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        check(main(words) == 0, f"git lds {' '.join(words)}: {said.getvalue()}")
    return {}


def _check_store(root: Path, cache: Path, count: int) -> None:
    """Raise Wrong unless the store has all objects."""
    with contextlib.closing(Store(Directory(root), cache)) as store:
        store.refresh()
        for start in range(0, count, 100_000):
            oids = [hashing.of_bytes(_contents(n)) for n in range(start, min(start + 100_000, count))]
            check(len(store.find(oids)) == len(oids), "the store lacks objects after a push")


def _commit(work: Path, numbers: Iterable[int], message: str) -> None:
    """Commit the pointers of objects, as many in a directory as people have there, without a working tree."""
    process = subprocess.Popen(
        ["git", "-C", str(work), "fast-import", "--quiet"], stdin=subprocess.PIPE, env={**os.environ, **_GIT}
    )
    assert process.stdin is not None
    with process.stdin as out:
        out.write(b"commit refs/heads/main\ncommitter Ada <ada@example.org> 1700000000 +0000\n")
        out.write(b"data %d\n%s\n" % (len(message), message.encode()))
        if message != "start":
            out.write(b"from refs/heads/main^0\n")
        for number in numbers:
            oid = hashing.of_bytes(_contents(number)).hex().encode()
            text = b"version git-lds/v1\noid blake3:%s\nsize %d\n" % (oid, SIZE)
            out.write(b"M 100644 inline images/%04d/%08d.png\n" % (number // 1000, number))
            out.write(b"data %d\n%s\n" % (len(text), text))
    check(process.wait() == 0, "git fast-import failed")


# the book of recipes


def book_table(directory: Path, books: Sequence[tuple[int, int]]) -> Table:
    """Return what recipes take; `books` are how many, and how many runs each has."""
    rows: list[list[Cell]] = []
    for count, runs in books:
        path = directory / "recipes"
        kept = in_a_process(keep_recipes, path=str(path), count=count, runs=runs)
        asked = in_a_process(ask_recipes, path=str(path), count=count, runs=runs)
        size = path.stat().st_size
        path.unlink()
        times = [asked[name] * 1e3 for name in ("get", "near", "sharing")]
        rows.append([count, runs, mb(size), size / count, kept["spent"] / count * 1e3, *times, mb(asked["peak"])])
    head = ["recipes", "runs in each", "MB", "bytes a recipe", "keep, CPU ms each", "get, ms", "nearest in size, ms"]
    return Table("book of recipes", [*head, "sharing most, ms", "peak, MB"], rows)


def _recipe(number: int, runs: int) -> Recipe:
    """Return the recipe of one of many large objects: one run in every pack of its own, and one in 200 for a long one."""
    packs = [FileId(hashing.of_bytes(b"pack %d" % (number // 20 * 200 + n))) for n in range(min(runs, 200))]
    made = tuple(
        FrameRun(packs[n % len(packs)], 24 + n // len(packs) * 32_000, 30_012, n // len(packs) * 32_000, 30_000, 1)
        for n in range(runs)
    )
    return Recipe(Oid(hashing.of_bytes(b"large %d" % number)), 30_000 * runs, made)


def keep_recipes(path: str, count: int, runs: int) -> Facts:
    """Measure how recipes are remembered, a thousand at a time."""
    book = RecipeCache(Path(path))
    spent = 0.0
    for start in range(0, count, 1000):
        recipes = [_recipe(number, runs) for number in range(start, min(start + 1000, count))]
        with taking() as took:
            book.add(recipes)
        spent += took.cpu
    book.close()
    return {"spent": spent}


def ask_recipes(path: str, count: int, runs: int) -> Facts:
    """Measure the questions that a push and a fetch have."""
    book = RecipeCache(Path(path))
    asked = [_recipe(number, runs) for number in random.Random(runs).sample(range(count), min(count, 100))]
    with taking() as get:
        found = book.get(recipe.oid for recipe in asked)
    check(found == {recipe.oid: recipe for recipe in asked}, "a recipe was not remembered")
    with taking() as near:
        for recipe in asked[:20]:
            check(bool(book.near(recipe.size, 4)), "no recipe is near in size")
    with taking() as sharing:
        for recipe in asked[:20]:
            book.sharing(recipe, 32)
    book.close()
    per = {"get": get.cpu / len(asked), "near": near.cpu / len(asked[:20]), "sharing": sharing.cpu / len(asked[:20])}
    return {**per, "peak": max(get.peak, near.peak, sharing.peak)}
