"""The measurements of scripts/scale in their smallest form: every table has its rows, and what was looked up was right, which
the program checks itself. No test looks at a time that it measures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kit.matrix import some_of

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "scale.md"
ROWS = {
    "indexes": {"opening indexes": 6, "looking up": 12, "merging": 4},
    "merges": {"merges by pushes": 7},
    "bootstrap": {"before the first object": 6},
    "log": {"reading the log": 7, "keeping the log": 2},
    "states": {"states by packs": 4},
    "transfers": {"local store": 2, "push and fetch": 8},
    "recipes": {"book of recipes": 3},
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def scale(directory: Path, *options: str, program: Path = PROJECT / "scripts") -> subprocess.CompletedProcess[str]:
    """Run what scripts/scale runs once it has installed git-lds, quick and in `directory`."""
    environment = {**os.environ, "PYTHONPATH": str(program), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "scaling", "--quick", "--dir", str(directory), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize("topic", some_of(ROWS, "states"))
def test_every_table_has_its_rows(tmp_path: Path, topic: str) -> None:
    (tmp_path / "work").mkdir()
    done = scale(tmp_path / "work", "--only", topic, "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    tables = figures["tables"]
    assert {name: len(table["rows"]) for name, table in tables.items()} == ROWS[topic]
    for name, table in tables.items():
        assert all(len(row) == len(table["head"]) for row in table["rows"]), name
        assert all(cell is not None for row in table["rows"] for cell in row), name
        assert f"\n{name}\n" in done.stdout
    assert not list((tmp_path / "work").iterdir()), "it leaves something behind"


@pytest.mark.slow
def test_sizes_can_be_chosen(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = scale(tmp_path, "--only", "indexes", "--objects", "3000", "--json", str(figures))
    assert done.returncode == 0, done.stderr
    rows = json.loads(figures.read_text())["tables"]["opening indexes"]["rows"]
    assert [row[:2] for row in rows] == [[n, parts] for n in (300, 3000) for parts in (1, 16, 100)]


@pytest.mark.slow
def test_a_wrong_answer_ends_it(tmp_path: Path) -> None:
    spoilt = tmp_path / "scripts"
    (spoilt / "scaling").mkdir(parents=True)
    for path in (PROJECT / "scripts" / "scaling").glob("*.py"):
        text = path.read_text()
        if path.name == "generated.py":  # objects that were never put into an index
            assert "noise[:8]) + noise[8:])" in text
            text = text.replace("noise[:8]) + noise[8:])", "noise[:8]) + noise[:24])")
        (spoilt / "scaling" / path.name).write_text(text)
    done = scale(tmp_path, "--only", "indexes", program=spoilt)
    assert done.returncode == 1
    assert "were found" in done.stderr


def test_the_page_has_a_place_for_every_table_and_a_run_fills_it(tmp_path: Path) -> None:
    text = PAGE.read_text()
    names = [name for tables in ROWS.values() for name in tables]
    assert re.findall(r"<!-- end of (.*) -->", text) == re.findall(r"<!-- (?!end of)(.*) -->", text)
    assert sorted(re.findall(r"<!-- end of (.*) -->", text)) == sorted(["machine", *names])
    for name in names:
        table = text.partition(f"<!-- {name} -->\n")[2].partition("<!-- end")[0]
        assert table.count("\n|") >= 3, f"{name} is empty"


def test_the_names_of_topics_are_checked(tmp_path: Path) -> None:
    done = scale(tmp_path, "--only", "indices")
    assert done.returncode == 2
    assert "'indices' is not one of indexes" in done.stderr
