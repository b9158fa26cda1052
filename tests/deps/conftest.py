"""What tests of dependencies start from: a dataset `A` that has published the FILES of the test's module, and who imports it."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.datasets import Dataset, new_dataset, new_importer
from kit.templates import as_first_made, template_directory
from kit.work import Work


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, at the same path for each test, so that repositories that name each other can be copied."""
    return template_directory(tmp_path_factory.getbasetemp(), "deps")


@pytest.fixture
def there(request: pytest.FixtureRequest, tmp_path: Path, world: Path, installed: None) -> Dataset:
    """The dataset `A`: FILES of the module are pushed."""
    with_importer = "here" in request.fixturenames
    files = request.module.FILES
    made = Dataset(Work(tmp_path / "A"), tmp_path / "A.git")

    def make() -> None:
        new_dataset(tmp_path).publish(files)
        if with_importer:
            new_importer(tmp_path, made)

    name = f"{request.module.__name__} {'with importer' if with_importer else 'alone'}"
    as_first_made(name, [tmp_path, world / "cache"], make)
    return made


@pytest.fixture
def here(there: Dataset, tmp_path: Path) -> Work:
    """The repository `B`, which imports the directories `images` and `notes` of the dataset, committed, below `data`."""
    return Work(tmp_path / "B")
