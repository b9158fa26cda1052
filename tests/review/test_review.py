"""What `git lds review` writes, without a browser: which commits, which pictures, and notes on what cannot be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import coco
from kit.datasets import opened
from kit.images import bomb, image
from kit.work import Work

from git_lds.data import registry
from git_lds.data.coco.find_images import ImageFinder
from git_lds.review import details as review_details
from git_lds.review import page, summary


def made(work: Work, *words: str, **environment: object) -> dict[str, Any]:
    """Make a page beside the repository; return the data that it reads first, with `details` by path."""
    directory = work.path.parent / "page"
    done = work.try_lds("review", "-o", directory, *words, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{directory / 'index.html'}\n"
    return read(directory)


def read(directory: Path) -> dict[str, Any]:
    text = (directory / "index.html").read_text()
    found: dict[str, Any] = json.loads(text.partition('id="review">')[2].partition("</script>")[0])
    details: dict[str, Any] = {}
    for path in directory.glob("data/*.js"):
        parts = json.loads(re.fullmatch(r"gitLdsPart\(\d+, (.*)\);\n", path.read_text())[1])  # type: ignore[index]
        details |= {found["entries"][int(number)]["p"]: detail for number, detail in parts.items()}
    for entry in found["entries"]:
        for source in [
            *(entry.get("t") or []),
            *((p or {}).get("src") for p in details[entry["p"]].get("pictures", [])),
        ]:
            assert source is None or (directory / source).is_file(), source
    return {**found, "details": details, "by": {entry["p"]: entry for entry in found["entries"]}}


def test_by_default_the_page_shows_what_the_branch_adds(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("images/a.png", image())
    first = work.commit()
    assert made(work)["how"] == "All of the first commit."
    work.publish()
    work.write("images/b.png", image(30))
    second = work.commit()
    assert (
        list(made(work)["by"]) == ["images/b.png"] and made(work)["how"] == "The merge base with origin/main to main."
    )
    work.publish_again()
    assert made(work)["how"] == "The last commit alone: no branch to merge it into lacks it."
    work.git("switch", "-qc", "fix")
    work.write("images/c.png", image(31))
    work.commit()
    work.publish_again()
    found = made(work)
    assert found["how"] == "The merge base with origin/main to fix." and list(found["by"]) == ["images/c.png"]
    assert list(made(work, f"{first}..{second}")["by"]) == ["images/b.png"]
    assert list(made(work, f"{second}...fix")["by"]) == ["images/c.png"]
    assert made(work, "HEAD")["entries"] == []
    for words in ("nope", "nope..HEAD", "--help..", "HEAD..-x"):
        done = work.try_lds("review", "--", words)
        assert done.returncode == 1 and ": no such commit" in done.stderr, done.stderr


def test_images_of_any_kind_have_pictures_or_a_reason(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("start", "x")
    work.commit()
    files = {
        "ok/rgb.png": image(),
        "ok/grey16.png": image(mode="I;16"),
        "ok/seen-through.png": image(mode="LA"),
        "ok/palette.gif": image(form="GIF", mode="P"),
        "ok/cmyk.jpg": image(form="JPEG", mode="CMYK"),
        "ok/float.tiff": image(form="TIFF", mode="F"),
        "ok/large.jpg": image(5000, 3000, "JPEG"),
        "ok/turned.jpg": image(60, 40, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        "bad/bomb.png": bomb(),
        "bad/short.png": image(400, 400)[:200],
        "bad/none.png": b"<svg onload=alert(1)>",
        "bad/empty.png": b"",
    }
    for name, data in files.items():
        work.write(f"images/{name}", data)
    work.commit()
    found = made(work, "HEAD^..HEAD")
    for path, entry in found["by"].items():
        if path.startswith("images/bad"):
            assert entry["n"], path
            assert found["details"][path]["pictures"][1]["absent"] == entry["n"]
        else:
            assert "n" not in entry and entry["t"][1], entry
    shown = {path: detail["pictures"][1] for path, detail in found["details"].items()}
    assert shown["images/ok/rgb.png"]["src"].endswith(".png") and shown["images/ok/seen-through.png"]["src"].endswith(
        ".png"
    )
    assert shown["images/ok/float.tiff"]["src"].endswith(".jpg")
    assert shown["images/ok/turned.jpg"]["width"] == 40  # upright, as people see it
    assert "too many pixels" in found["by"]["images/bad/bomb.png"]["n"]
    assert found["totals"]["images"] == [12, 0, 0]


def test_pixels_are_compared(new_work: Callable[..., Work]) -> None:
    from PIL import Image

    work = new_work()
    plain = Image.new("RGB", (100, 100))
    for name in ("same", "other", "size"):
        work.write(f"images/{name}.png", image())
    plain.save(work.path / "images/dot.png")
    work.commit()
    plain.paste((255, 0, 0), (0, 0, 10, 10))
    plain.save(work.path / "images/dot.png")
    work.write("images/same.png", image(compress_level=1))
    work.write("images/other.png", image(form="GIF", mode="L"))
    work.write("images/size.png", image(61))
    work.commit()
    details = made(work, "HEAD^..HEAD")["details"]
    assert {path[7:-4]: detail["difference"] for path, detail in details.items()} == {
        "same": "the same pixels",
        "other": "the same pixels",
        "size": "other dimensions",
        "dot": "1.0 % of the pixels differ",
    }


def test_annotations_are_grouped_by_image(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("images/**", "annotations/*.json"))
    for split in ("train", "val"):
        for name in ("a", "b"):
            work.write(
                f"images/{split}/{name}.jpg", image(640, 480, "JPEG", quality=80 + (split == "val") + 2 * (name == "b"))
            )
    work.write("annotations/instances_val.json", coco.text(coco.document(coco.CATS)))
    work.commit()
    boxes = [("a.jpg", "cat", [12, 10, 50, 40]), ("b.jpg", "cat", [5, 5, 20, 20]), ("gone.jpg", "cow", [1, 1, 9, 9])]
    work.write("annotations/instances_val.json", coco.text(coco.document(boxes, first=70)))  # type: ignore[arg-type]
    work.commit()
    found = made(work, "HEAD^..HEAD")
    assert {path: (entry["c"], entry.get("a")) for path, entry in found["by"].items()} == {
        "annotations/instances_val.json": ("changed", None),
        "images/val/a.jpg": ("labels", [0, 1, 1]),
        "gone.jpg": ("labels", [1, 0, 0]),
    }
    items = found["details"]["images/val/a.jpg"]["annotations"][0]["items"]
    assert [(item["s"], item.get("how")) for item in items] == [("changed", "box (overlap 92 %)"), ("removed", None)]
    assert found["by"]["gone.jpg"]["n"] == "It has annotations, but no file has this name."
    counts = {found["categories"][number]: [was, now] for number, was, now in found["sources"][0]["categories"]}
    assert counts == {"cat": [2, 2], "dog": [1, 0], "cow": [0, 1]}
    work.write("images/val/b.jpg", image(640, 480, "JPEG", quality=20))
    work.commit()
    unchanged = made(work, "HEAD^..HEAD")["details"]["images/val/b.jpg"]["annotations"][0]["items"]
    assert [item["s"] for item in unchanged] == ["same"]  # from a file that did not change


def test_missing_objects_are_downloaded_or_noted(new_work: Callable[..., Work], world: Path) -> None:
    work = new_work(track=("images/**", "*.json"))
    work.write("images/a.png", image())
    work.write("a.json", coco.text(coco.document(coco.CATS)))
    work.commit()
    work.write("images/a.png", image(61))
    work.write("a.json", coco.text(coco.document(coco.CATS[1:])))
    work.commit()
    work.publish()
    cache = world / "nothing yet"
    other = work.clone("other", source=work.path.parent / "origin.git", GIT_LDS_SKIP_SMUDGE="1", GIT_LDS_CACHE=cache)
    found = made(other, "HEAD^..HEAD", "--no-fetch", GIT_LDS_CACHE=cache)
    assert {entry.get("n") for entry in found["entries"]} == {"Its contents are not on this machine."}
    found = made(other, "HEAD^..HEAD", GIT_LDS_CACHE=cache)
    assert found["by"]["images/a.png"]["t"][0] and found["by"]["a.json"]["k"] == "annotations"
    (work.path.parent / "origin.git" / "lds" / "log").rename(work.path.parent / "away")
    done = other.try_lds("review", "-o", "../third", "HEAD^..HEAD", GIT_LDS_CACHE=world / "nothing again")
    assert done.returncode == 0 and "Some objects could not be downloaded" in done.stderr


def test_a_directory_with_other_files_is_refused(new_work: Callable[..., Work], tmp_path: Path) -> None:
    work = new_work()
    work.write("images/a.png", image())
    work.commit()
    directory = tmp_path / "mine"
    work.write(directory / "index.html", "<h1>mine</h1>")
    done = work.try_lds("review", "-o", directory)
    assert done.returncode == 1 and "is not empty and was not made by git lds review" in done.stderr
    assert [path.name for path in directory.iterdir()] == ["index.html"]
    (directory / "index.html").unlink()
    work.lds("review", "-o", directory)
    before = {path.name for path in directory.rglob("*")}
    work.write("images/a.png", image(61))
    work.commit()
    work.lds("review", "-o", directory)
    work.git("reset", "-q", "--hard", "HEAD^")
    work.lds("review", "-o", directory)
    assert {path.name for path in directory.rglob("*")} == before  # nothing of the page in between is left


@pytest.mark.parametrize("text", ["`", "``a", "a|b", "<b>", "@ada #1 ![x](y)", "a\nb\x1b", "", "x" * 999])
def test_names_in_a_summary_are_code(text: str) -> None:
    shown = summary.code(text)
    fence = re.match("`+", shown)[0]  # type: ignore[index]
    assert shown.endswith(fence) and fence not in shown[len(fence) : -len(fence)].strip("`").replace(" ", "")
    assert shown.isprintable() and len(shown) < 320 and not re.search(r"(?<!\\)\|", shown)


def test_a_summary_has_the_numbers(new_work: Callable[..., Work], tmp_path: Path) -> None:
    work = new_work(track=("images/**", "*.json"))
    work.write("a.json", coco.text(coco.document(coco.CATS)))
    work.write("images/a.jpg", image(640, 480, "JPEG"))
    work.commit()
    work.write("a.json", coco.text(coco.document([("a.jpg", "`<b>`|", [1, 1, 9, 9])])))
    work.write("images/`x`|<b>.png", b"")
    work.commit()
    work.lds("review", "HEAD^..HEAD", "-o", tmp_path / "page", "--summary", tmp_path / "s.md")
    text = (tmp_path / "s.md").read_text()
    assert "| files | 1 | 1 | 0 |" in text and "| `cat` | 2 | 0 |" in text
    assert "- `` images/`x`\\|<b>.png ``" not in text and "``images/`x`\\|<b>.png``" in text
    done = work.try_lds("review", "--json", "HEAD^..HEAD", "-o", tmp_path / "page")
    answer = json.loads(done.stdout)
    assert "| annotations | {} | {} | {} |".format(*answer["totals"]["annotations"]) in text
    assert list(answer["notes"]) == ["b.jpg", "images/`x`|<b>.png"]


def test_data_cannot_end_the_element_it_is_in() -> None:
    text = page.as_json({"</script><!--": ["\u2028", "\ud800", "&"]})
    assert not re.search("[<>&]", text) and text.isascii()
    assert json.loads(text) == {"</script><!--": ["\u2028", "\ud800", "&"]}


def test_an_image_is_found_by_nearness_and_by_words_in_names() -> None:
    finder = ImageFinder([b"a/images/1.jpg", b"b/images/1.jpg", b"c/train/2.jpg", b"c/val/2.jpg", b"x/3.jpg"])
    assert finder.find("1.jpg", b"b/annotations/all.json") == b"b/images/1.jpg"
    assert finder.find("2.jpg", b"annotations/instances_val2017.json") == b"c/val/2.jpg"
    assert finder.find("./x/3.jpg", b"all.json") == b"x/3.jpg" and finder.find("y/3.jpg", b"all.json") is None
    assert finder.find("\ud800.jpg", b"all.json") is None and finder.find("/", b"all.json") is None


def test_nothing_is_written_or_deleted_through_symbolic_links_from_a_clone(
    new_work: Callable[..., Work], tmp_path: Path
) -> None:
    work = new_work()
    work.write("images/a.png", image())
    work.commit()
    mine = work.write(tmp_path / "precious" / "0.js", "mine")
    work.write("page/index.html", b"<!doctype html>\n" + page.MARK)
    (work.path / "page" / "data").symlink_to(mine.parent)
    (work.path / "summary.md").symlink_to(mine)
    done = work.try_lds("review", "-o", "page")
    assert done.returncode == 1 and "contains symbolic links" in done.stderr
    done = work.try_lds("review", "-o", "other", "--summary", "summary.md")
    assert done.returncode == 1 and "summary.md" in done.stderr
    (work.path / "page" / "data").unlink()
    (work.path / "page" / "pictures" / "ab").mkdir(parents=True)
    (work.path / "page" / "pictures" / "ab" / "x").symlink_to(mine)
    assert work.try_lds("review", "-o", "page").returncode == 1
    assert mine.read_text() == "mine" and [path.name for path in mine.parent.iterdir()] == ["0.js"]


def test_odd_values_are_shown_and_checked(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("images/**", "*.json"))
    work.write("images/a.jpg", image(640, 480, "JPEG"))
    work.write("images/b.jpg", image(641, 480, "JPEG"))
    work.commit()
    document = coco.document([*coco.CATS, ("a.jpg", "cat", [-1e14, 0, 1e14, 0.5])])
    odd: list[object] = [{}, [[]], {"size": [1e14, 1], "counts": "~~"}, [[1, 2, 3]]]
    for record, shape in zip(document["annotations"], odd, strict=True):
        record["segmentation"] = shape
    document["annotations"][1]["category_id"] = "cat"
    document["images"][0] |= {"width": 10**30, "height": -3.5}
    document["categories"][0]["name"] = "\ud800" * 1000
    work.write("a.json", coco.text(document).replace(b"-3.5", b"1e999"))
    work.commit()
    found = made(work, "HEAD^..HEAD")
    assert len(found["details"]["images/a.jpg"]["annotations"][0]["items"]) == 3
    assert max(len(name) for name in found["categories"]) == 200
    done = work.try_lds("check")
    assert done.returncode == 1 and 'category_id "cat", which no category has' in done.stdout


def test_json_lines_are_compared_by_record_if_records_have_ids(new_work: Callable[..., Work]) -> None:
    with opened(new_work("lines", track=())) as repo:

        def described(before: str, after: str) -> review_details.Details:
            return review_details.describe(repo, registry.JSONL, "a.jsonl", before.encode(), after.encode())

        found = described('{"id": 1, "v": 1}\n{"id": 2}\n', '{"id": 3}\n{"id": 2}\n\n{"id": 1, "v": 2}\n')
        values: Any = found.detail["values"]
        assert [(each["path"], each["s"]) for each in values["changes"]] == [("$[1].v", "changed"), ("$[3]", "added")]
        lines: Any = described("[1]\n[2]\n", "[0]\n[1]\n[2]\n").detail["lines"]
        assert lines["lines"] == ["@line 1", "+[0]", " [1]", " [2]"]
        broken = described('{"id": 1}\n', '{"id": 1}\n{"id": \n')
        assert "lines" in broken.detail and "line 2: not JSON" in broken.notes[0]


# one decision about the kind of a file, and one comparison of each kind, for `git lds diff` and the page


def diffed(work: Work, path: str) -> dict[str, Any]:
    """Return what `git lds diff --json` says about the changes of a file in the last commit."""
    answer = json.loads(work.try_lds("diff", "--json", "HEAD^", "HEAD", "--", path).stdout)
    found: dict[str, Any] = answer["files"][0]
    return found


def table_of(work: Work, path: str) -> tuple[list[str], list[str]]:
    """Return the key columns of a table on the page, and the states of its rows."""
    found = made(work, "HEAD^..HEAD")
    assert found["by"][path]["k"] == "table"
    table = found["details"][path]["table"]
    return [column["name"] for column in table["columns"] if column["key"]], [row["s"] for row in table["rows"]]


def test_an_integer_that_became_a_float_changed_on_the_page_and_in_diff(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("*.json",))
    work.write("a.json", '{"x": {"y": [1, 2]}}')
    work.commit()
    work.write("a.json", '{"x": {"y": [1.0, 2]}}')
    work.commit()
    found = made(work, "HEAD^..HEAD")["details"]["a.json"]["values"]
    assert found["changes"] == [{"path": "$.x.y", "old": "[1, 2]", "new": "[1.0, 2]", "s": "changed"}]
    assert "x.y" in json.dumps(diffed(work, "a.json"))


def test_a_tab_file_is_a_table_on_the_page_and_in_diff(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("*.tab",))
    work.write("a.tab", "id\tname\n1\tAda\n2\tGrace\n")
    work.commit()
    work.write("a.tab", "id\tname\n1\tAda\n2\tJoan\n3\tMary\n")
    work.commit()
    assert table_of(work, "a.tab") == (["id"], ["changed", "added"])
    assert "rows" in json.dumps(diffed(work, "a.tab"))


@pytest.mark.parametrize("path", ["train.labels", "labels.txt", "labels.png.data"])
def test_a_declared_kind_counts_on_the_page(new_work: Callable[..., Work], path: str) -> None:
    work = new_work()
    work.lds("track", "--merge", "table", path)
    work.write(path, "name,age\nAda,36\nGrace,45\n")
    work.commit()
    work.write(path, "name,age\nAda,37\nGrace,45\n")
    work.commit()
    assert table_of(work, path) == (["name"], ["changed"])


def test_a_declared_key_pairs_rows_on_the_page(new_work: Callable[..., Work]) -> None:
    work = new_work(track=("*.csv",))
    work.write(".gitattributes", (work.path / ".gitattributes").read_text() + "*.csv lds-key=image,label\n")
    work.write("a.csv", "id,image,label,x\n1,a,cat,1\n2,a,dog,2\n3,b,cat,3\n")
    work.commit()
    work.write("a.csv", "id,image,label,x\n7,b,cat,3\n8,a,cat,1\n9,a,dog,5\n")
    work.commit()
    assert table_of(work, "a.csv") == (["image", "label"], ["changed"] * 3)
    table = made(work, "HEAD^..HEAD")["details"]["a.csv"]["table"]
    assert [row["old"] for row in table["rows"]] == [
        ["3", None, None, None],
        ["1", None, None, None],
        ["2", None, None, "2"],
    ]


def test_an_image_that_is_declared_binary_is_still_shown(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.lds("track", "--merge", "binary", "*.png")
    work.write("a.png", image())
    work.commit()
    found = made(work)
    assert found["by"]["a.png"]["k"] == "image" and found["by"]["a.png"]["t"][1]


def test_a_file_with_an_unknown_ending_is_text_if_its_contents_are(new_work: Callable[..., Work]) -> None:
    work = new_work()
    work.write("notes.unknown", "one\n")
    work.write("model.unknown", b"\0\1\2")
    work.commit()
    found = made(work)
    assert found["by"]["notes.unknown"]["k"] == "text" and found["by"]["model.unknown"]["k"] == "binary"
    assert found["details"]["notes.unknown"]["lines"]["lines"] == ["@line 1", "+one"]
