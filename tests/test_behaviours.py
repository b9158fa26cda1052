"""The numbers of behaviours that tests cite are those of the list."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_each_behaviour_that_a_test_cites_is_in_the_list() -> None:
    listed = [int(number) for number in re.findall(r"(?m)^(\d+)\. ", (TESTS / "BEHAVIOURS.md").read_text())]
    assert len(listed) == len(set(listed)) and listed == sorted(listed)
    cited = {}
    for path in TESTS.rglob("test_*.py"):
        for numbers in re.findall(r"\bBehaviours? (\d+(?:(?:, | and | to )\d+)*)", path.read_text()):
            cited.update({int(number): path.name for number in re.findall(r"\d+", numbers)})
    assert cited and {number: name for number, name in cited.items() if number not in listed} == {}
