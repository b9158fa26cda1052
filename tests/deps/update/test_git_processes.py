"""How many git processes an import and an update take, at most. A process costs 1.8 ms here and more elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.datasets import Dataset, new_consumer, new_dataset, opened
from kit.git_count import GitProcesses, counted_git
from kit.work import Work

from git_lds.deps.update.add import import_path
from git_lds.deps.update.outdated import outdated
from git_lds.deps.update.update import update


@pytest.fixture
def dataset(tmp_path: Path, installed: None) -> Dataset:
    dataset = new_dataset(tmp_path)
    dataset.publish({f"images/{number}.png": f"image {number}" for number in range(20)})
    return dataset


def import_images(work: Work, dataset: Dataset) -> GitProcesses:
    with counted_git() as counted, opened(work) as repo:
        import_path(repo, dataset.url, "images", output="data/images")
    return counted


@pytest.fixture
def importer(tmp_path: Path, dataset: Dataset) -> Work:
    work = new_consumer(tmp_path)
    import_images(work, dataset)
    work.commit("import")
    return work


def count_update(work: Work) -> GitProcesses:
    with counted_git() as counted, opened(work) as repo:
        update(repo)
    return counted


def test_an_import_of_20_files(tmp_path: Path, dataset: Dataset) -> None:
    import_images(new_consumer(tmp_path), dataset).assert_at_most(19)


def test_an_update_with_nothing_new(importer: Work) -> None:
    count_update(importer).assert_at_most(4)


def test_an_update_of_one_file(dataset: Dataset, importer: Work) -> None:
    dataset.publish({"images/0.png": "changed"})
    count_update(importer).assert_at_most(15)


def test_an_update_beside_an_edit_of_another_file(dataset: Dataset, importer: Work) -> None:
    importer.write("data/images/1.png", "edited")
    importer.commit("edit")
    dataset.publish({"images/0.png": "changed"})
    count_update(importer).assert_at_most(17)


def test_outdated(dataset: Dataset, importer: Work) -> None:
    dataset.publish({"images/0.png": "changed"})
    with counted_git() as counted, opened(importer) as repo:
        outdated(repo)
    counted.assert_at_most(6)
