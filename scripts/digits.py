"""Reads handwritten digits: writes them as a table, trains a model on such a table, and tests a model.

The images are those that scikit-learn ships: 1,797 of 8 x 8 pixels, from the UCI repository (CC BY 4.0). Every third is kept for
the test. A model is one array of shape (65, 10): the weights of 64 pixels and a constant for each digit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

_FULL = 16.0
"""The value of a black pixel."""


def export(table: Path, mistakes: int) -> None:
    """Write the images that are not kept back, one a row, its digit in the last column; in the first rows, a wrong one."""
    pixels, digits = load_digits(return_X_y=True)
    rows = numpy.column_stack([pixels, digits]).astype(int)[numpy.arange(len(digits)) % 3 != 0]
    rows[:mistakes, -1] = (rows[:mistakes, -1] + 1) % 10
    header = ",".join([f"pixel{n}" for n in range(64)] + ["digit"])
    table.parent.mkdir(parents=True, exist_ok=True)
    numpy.savetxt(table, rows, "%d", ",", header=header, comments="")


def train(table: Path, model: Path) -> None:
    rows = numpy.loadtxt(table, delimiter=",", skiprows=1)
    found = LogisticRegression(max_iter=1000).fit(rows[:, :-1] / _FULL, rows[:, -1])
    model.parent.mkdir(parents=True, exist_ok=True)
    numpy.save(model, numpy.vstack([found.coef_.T, found.intercept_]))
    print(f"trained on {len(rows)} digits")


def test(model: Path) -> None:
    pixels, digits = load_digits(return_X_y=True)
    pixels, digits = pixels[::3] / _FULL, digits[::3]
    weights = numpy.load(model)
    read = (pixels @ weights[:-1] + weights[-1]).argmax(axis=1)
    print(f"{(read == digits).mean():.1%} of {len(digits)} digits read correctly")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    exporting = commands.add_parser("export")
    exporting.add_argument("table", type=Path)
    exporting.add_argument("--mistakes", type=int, default=0, metavar="N")
    training = commands.add_parser("train")
    training.add_argument("table", type=Path)
    training.add_argument("model", type=Path)
    commands.add_parser("test").add_argument("model", type=Path)
    options = parser.parse_args()
    if options.command == "export":
        export(options.table, options.mistakes)
    elif options.command == "train":
        train(options.table, options.model)
    else:
        test(options.model)


if __name__ == "__main__":
    main()
