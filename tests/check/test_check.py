"""The mistakes that `git lds check` finds in annotation files, in images, and between them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import coco
from kit.images import bomb, plain, shipped
from kit.work import Work

TRACK = ("images/**", "annotations/*.json")


def checked(work: Work, *options: str, status: int = 1) -> dict[str, Any]:
    done = work.try_lds("check", "--json", *options)
    assert done.returncode == status, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def found(work: Work, *options: str) -> dict[str, list[str]]:
    """Return the mistakes by check."""
    answer = checked(work, *options)
    kinds: dict[str, list[str]] = {}
    for each in answer["findings"]:
        kinds.setdefault(each["check"], []).append(f"{each['path']}: {each['message']}")
    return kinds


@pytest.fixture
def cats(new_work: Callable[..., Work]) -> Work:
    """A dataset without mistakes."""
    work = new_work("cats", track=TRACK)
    work.write("images/a.jpg", plain(640, 480, 1))
    work.write("images/b.jpg", plain(640, 480, 2))
    work.write("annotations/cats.json", coco.text(coco.document(coco.CATS)))
    work.commit()
    return work


def test_a_correct_dataset_has_no_mistakes(cats: Work) -> None:
    answer = checked(cats, status=0)
    assert answer["count"] == 0 and answer["images"] == 2 and answer["annotations"] == 1
    done = cats.try_lds("check")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "Checked 1 annotation file and 2 images: no mistakes.\n"


def test_warnings_of_pillow_are_reported_once_as_findings(cats: Work) -> None:
    cats.write("images/z.tif", b"II*\0\xff\xff\xff\xff")
    cats.commit()
    done = cats.try_lds("check", process=True)  # in this process pytest would filter the warnings
    assert done.returncode == 1 and done.stdout.startswith("images/z.tif: ")
    assert "Warning" not in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_ids_references_boxes_and_files(cats: Work) -> None:
    document = coco.document([*coco.CATS, ("a.jpg", "cat", [600, 400, 100, 100]), ("a.jpg", "cat", [0, 0, 0, 9])])
    document["annotations"][0]["id"] = 2
    document["annotations"][1]["image_id"] = 99
    document["annotations"][2]["category_id"] = "\x1b[31m"
    document["images"].append({"id": 7, "file_name": "nowhere/\n.jpg", "width": 1, "height": 1})
    document["images"][0]["width"] = 700
    cats.write("annotations/cats.json", coco.text(document))
    cats.git("add", ".")
    assert found(cats) == {
        "ids": ["annotations/cats.json: 2 annotations have the id 2"],
        "references": [
            "annotations/cats.json: annotation 2 has image_id 99, which no image has",
            'annotations/cats.json: annotation 3 has category_id "\\u001b[31m", which no category has',
        ],
        "boxes": [
            'annotations/cats.json: annotation 4 has a box outside "a.jpg", which is 700 by 480: [600, 400, 100, 100]',
            "annotations/cats.json: annotation 5 has an empty box: [0, 0, 0, 9]",
        ],
        "missing": ['annotations/cats.json: "nowhere/\\n.jpg" is annotated and is not a file'],
        "size": ["images/a.jpg: is 640 by 480, and annotations/cats.json says 700 by 480"],
    }
    assert set(found(cats, "annotations")) == {"ids", "references", "boxes", "missing"}
    done = cats.try_lds("check", "annotations")
    assert "annotations/cats.json: 2 annotations have the id 2\n" in done.stdout and "\x1b" not in done.stdout


def test_images_that_do_not_decode(cats: Work) -> None:
    cats.write("images/none.png", b"no image")
    cats.write("images/short.png", shipped("chelsea.png")[:50_000])
    cats.write("images/bomb.png", bomb())
    cats.write("annotations/bad.json", b'{"images": [], "annotations": NaN}')
    cats.git("add", ".")
    wrong = found(cats)
    assert wrong["format"] == ["annotations/bad.json: ambiguous JSON: NaN is not a number of JSON"]
    assert [each.partition(": ")[0] for each in wrong["decode"]] == [
        "images/bomb.png", "images/none.png", "images/short.png",
    ]  # fmt: skip
    cats.commit()
    cats.write("images/c.jpg", plain(9, 9)[:45])
    cats.git("add", ".")
    assert [each[:12] for each in found(cats, "--changed", "--against", "HEAD")["decode"]] == ["images/c.jpg"]


def test_an_image_in_two_splits_is_found_without_its_contents(cats: Work, world: Path) -> None:
    cats.write("images/train/1.png", plain(30, 30, 3))
    cats.write("images/val/2.png", plain(30, 30, 3))
    cats.write("images/val/3.png", plain(30, 30, 4))
    cats.write("annotations/instances_train.json", coco.text(coco.document([("b.jpg", "cat", [1, 1, 5, 5])])))
    cats.write("annotations/instances_test.json", coco.text(coco.document([("b.jpg", "cat", [1, 1, 5, 5])])))
    cats.commit()
    leaks = [
        "images/b.jpg: is in split test (in annotations/instances_test.json) and train (in annotations/instances_train.json)",
        "images/val/2.png: in split val, is the same image as images/train/1.png in train",
    ]
    assert found(cats) == {"splits": leaks}
    cats.publish()
    other = cats.clone(
        "other", source=cats.path.parent / "origin.git", GIT_LDS_SKIP_SMUDGE="1", GIT_LDS_CACHE=world / "none"
    )
    done = other.try_lds("check", "--json", GIT_LDS_CACHE=world / "none")
    answer = json.loads(done.stdout)
    assert [f"{each['path']}: {each['message']}" for each in answer["findings"]] == leaks[1:]
    assert len(answer["absent"]) == 8 and "git lds check --fetch" in done.stderr
    fetched = json.loads(other.try_lds("check", "--json", "--fetch", GIT_LDS_CACHE=world / "none").stdout)
    assert fetched["absent"] == [] and fetched["count"] == 2


def test_categories_drift(cats: Work) -> None:
    def boxes(cats: int, dogs: int) -> bytes:
        listed = [("a.jpg", "cat" if at < cats else "dog", [at, 1, 5, 5]) for at in range(cats + dogs)]
        return coco.text(coco.document(listed))  # type: ignore[arg-type]

    cats.write("annotations/cats.json", boxes(50, 50))
    cats.commit()
    cats.write("annotations/cats.json", boxes(90, 10))
    cats.git("add", ".")
    assert found(cats, "--against", "HEAD") == {
        "drift": ['annotations/cats.json: 10.0 % of the annotations are "dog", and 50.0 % were before']
    }
    cats.commit()
    cats.write("annotations/val.json", boxes(50, 50))
    cats.write("annotations/train.json", boxes(98, 2).replace(b"a.jpg", b"b.jpg"))
    cats.git("add", ".")
    drifted = found(cats, "--against", "HEAD")["drift"]
    assert drifted == ['annotations/train.json: 2.0 % of the annotations in train are "dog", and 50.0 % in val']


def test_rules_of_ldsconfig(cats: Work) -> None:
    cats.write("images/north/1.png", plain(30, 30, 3))
    cats.write("images/south/2.png", plain(30, 30, 3))
    cats.write("images/broken.png", b"")
    splits = '[check.splits]\nn = ["images/north/**"]\ns = "images/south"\n'
    rules = f'[check]\nskip = ["decode"]\nexclude = ["images/broken*"]\nsplit = 1\n{splits}'
    cats.write(".ldsconfig", rules)
    cats.git("add", ".")
    assert found(cats) == {"splits": ["images/south/2.png: in split s, is the same image as images/north/1.png in n"]}
    assert "check.split" in cats.try_lds("check").stderr
    for text, says in (
        ('skip = ["nothing"]', "unknown check"),
        ("drift = true", "check.drift must be a number"),
        ("splits = 3", "check.splits must be a table"),
        ('images = ["' + "*a" * 9 + '"]', "too many stars"),
        ("annotations = [3]", "check.annotations must be a list of strings"),
    ):
        cats.write(".ldsconfig", f"[check]\n{text}\n")
        done = cats.try_lds("check")
        assert done.returncode == 1 and says in done.stderr, done.stderr


def test_the_declared_kind_decides_what_is_an_annotation_file(cats: Work) -> None:
    document = coco.document([("a.jpg", "cat", [0, 0, 0, 9])])
    for name in ("cats.labels", "other.json"):
        cats.write(f"more/{name}", coco.text(document))
    cats.write("more/not.labels", "{}")
    cats.lds("track", "--merge", "coco", "*.labels")
    cats.lds("track", "--merge", "json", "more/other.json")
    cats.git("add", ".")
    wrong = found(cats)
    assert wrong["boxes"] == ["more/cats.labels: annotation 1 has an empty box: [0, 0, 0, 9]"]
    assert [text.partition(": ")[0] for text in wrong["format"]] == ["more/not.labels"]


def test_many_mistakes_of_one_kind_are_counted(cats: Work) -> None:
    document = coco.document([("a.jpg", "cat", [9000, at, 5, 5]) for at in range(1200)])
    cats.write("annotations/cats.json", coco.text(document))
    cats.git("add", ".")
    done = cats.try_lds("check")
    assert len(done.stdout.splitlines()) == 11
    assert done.stdout.endswith("annotations/cats.json: and 1190 more of this kind (boxes)\n")
    answer = checked(cats)
    assert answer["count"] == 1200 and answer["more"] == [
        {"path": "annotations/cats.json", "check": "boxes", "count": 200}
    ]
