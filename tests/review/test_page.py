"""The page of `git lds review` in a real browser: real images with annotations are shown, and hostile data is harmless."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kit.images import saved, shipped
from kit.work import Work

playwright = pytest.importorskip("playwright.sync_api", reason="NOT TESTED: the page of git lds review: no playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = (
    "NOT TESTED: the page of git lds review in a browser, for there is no chromium; ./scripts/test installs it as root"
)
HOSTILE = "<script>alert(1)</script>"
SPOON = [[330, 120, 450, 110, 452, 290, 340, 300]]


def mask() -> tuple[dict[str, object], int]:
    """Return a mask for an image of 600 by 400, as compressed by pycocotools, and its area."""
    import numpy
    from pycocotools import mask as masks

    down, across = numpy.ogrid[:400, :600]
    inside = (((down - 200) / 120) ** 2 + ((across - 300) / 130) ** 2 < 1) & (
        ((down - 200) / 50) ** 2 + ((across - 300) / 60) ** 2 > 1
    )
    found = masks.encode(numpy.asfortranarray(inside.astype("uint8")))
    return {"size": [int(n) for n in found["size"]], "counts": found["counts"].decode()}, int(inside.sum())


# eyes, nose, and a fourth without a label
FACE = ([175, 118, 2, 260, 100, 2, 215, 150, 2, 0, 0, 0], [180, 122, 2, 262, 104, 2, 230, 160, 1, 0, 0, 0])


def annotations(*, after: bool) -> bytes:
    categories = ["cat", "cup", "person", HOSTILE] if not after else ["person", "cup", HOSTILE, "cat", "spoon"]
    number = {name: at + 1 for at, name in enumerate(categories)}
    found: list[tuple[int, str, list[float], object]] = [
        (1, "cat", [0, 0, 400, 300] if after else [60, 0, 391, 300], []),
        (2, "cup", [171, 17, 249, 291], mask()[0]),
        (3, "person", [22, 15, 342, 497], []),
        (2, HOSTILE, [10, 10, 50, 50], []),
    ]
    if after:
        found.append((2, "spoon", [330, 110, 122, 190], SPOON))
        found.append((2, "cup", [80, 20, 340, 290], mask()[0]))
    images = [(1, "chelsea.png", 451, 300), (2, "coffee.png", 600, 400), (3, "astronaut.png", 512, 512)]
    return json.dumps(
        {
            "images": [{"id": i, "file_name": name, "width": w, "height": h} for i, name, w, h in images],
            "annotations": [
                {
                    "id": 10 * after + at,
                    "image_id": image,
                    "category_id": number[name],
                    "bbox": box,
                    "segmentation": shape,
                    **({"keypoints": FACE[after], "num_keypoints": 4} if name == "cat" else {}),
                }
                for at, (image, name, box, shape) in enumerate(found, 1)
            ],
            "categories": [
                {
                    "id": at,
                    "name": name,
                    **({"skeleton": [[1, 2], [2, 3], [3, 1], [3, 4], [9, "<b>"]]} if name == "cat" else {}),
                }
                for name, at in number.items()
            ],
        }
    ).encode()


PAGE: list[Path] = []
"""The page, made by the first test of this process."""


@pytest.fixture
def page_directory(new_work: Callable[..., Work], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a change to images, annotations, a table and texts, some of them broken or with hostile names."""
    if PAGE:
        return PAGE[0]
    from PIL import Image

    work = new_work("cups", track=("images/**", "annotations/*.json", "*.csv", "meta/*.json"))
    for name in ("chelsea.png", "coffee.png", "astronaut.png"):
        work.write(f"images/{name}", shipped(name))
    work.write("annotations/instances.json", annotations(after=False))
    work.write("people.csv", "id,name,age\n1,Ada,36\n2,Grace,45\n3,Joan,50\n")
    work.write("meta/about.json", json.dumps({"version": 1, "about": {"by": "Ada", "tags": ["a", "b"]}}))
    work.write("notes.txt", "one\ntwo\nthree\n")
    work.commit("Start")
    work.git("switch", "-qc", "fix")
    astronaut = Image.open(BytesIO(shipped("astronaut.png"))).convert("RGB")
    astronaut.paste((255, 255, 255), (100, 100, 200, 200))
    work.write("images/astronaut.png", saved(astronaut))
    work.write("images/camera.png", shipped("camera.png"))
    work.write(f"images/{HOSTILE}", b"not here")
    work.write("images/broken.png", b"no image at all")
    work.write("images/short.png", shipped("coffee.png")[:20_000])
    work.write("annotations/instances.json", annotations(after=True))
    work.write("annotations/malformed.json", '{"images": [], "annotations": [{]}')
    work.write("people.csv", f"id,name,age\n1,Ada,37\n3,Joan,50\n4,{HOSTILE},20\n")
    work.write("meta/about.json", json.dumps({"version": 2, "about": {"by": HOSTILE, "tags": ["a", "c"]}}))
    work.write("notes.txt", f"one\n2\nthree\n{HOSTILE}\n")
    work.write(
        "logo.svg", '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)" viewBox="0 0 9 9"><circle r="4"/></svg>'
    )
    work.commit("Fix")
    directory = tmp_path_factory.mktemp("page") / "review"
    work.lds("review", "-o", directory)
    PAGE.append(directory)
    return directory


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as running:
        # as root, as in most containers, Chromium runs only without its sandbox
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """The page in a tab, and its errors: messages, dialogs, and requests for files that are not beside the page."""

    def __init__(
        self, browser: Any, directory: Path, *, width: int = 1280, height: int = 800, scheme: str = "light"
    ) -> None:
        # without motion: during a change of colour axe-core reports contrasts that last for a moment only
        self.tab = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.wrong: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        self.tab.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        self.tab.on("request", lambda request: self._asked(request.url, directory.as_uri()))
        self.tab.goto((directory / "index.html").as_uri())
        self.tab.wait_for_selector("html[data-ready]")

    def _asked(self, url: str, directory: str) -> None:
        if not url.startswith((directory, "data:")):
            self.wrong.append(f"asked for {url}")

    def look_at(self, path: str) -> None:
        self.tab.evaluate("path => { location.hash = encodeURIComponent(path) }", path)
        self.tab.wait_for_function("path => document.querySelector('#detail h2').textContent === path", arg=path)
        self.tab.wait_for_selector(".body:not([aria-busy])")

    def texts(self, selector: str) -> list[str]:
        return list(self.tab.locator(selector).all_inner_texts())

    def faults(self) -> list[str]:
        """Return the serious problems that axe-core finds for users of a screen reader or a keyboard, and with weak eyes."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.tab).response["violations"]
        return [
            f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ]


def test_an_image_is_compared_with_its_annotations(browser: Any, page_directory: Path) -> None:
    page = Opened(browser, page_directory)
    page.look_at("images/astronaut.png")
    assert page.texts(".caption") == ["512 \u00d7 512 pixels · 3.8 % of the pixels differ"]
    stage = page.tab.locator(".stage")
    assert stage.get_attribute("data-mode") == "slider"
    middle = stage.evaluate("stage => stage.style.getPropertyValue('--at')")
    page.tab.locator(".slide").focus()
    page.tab.keyboard.press("ArrowRight")
    box = stage.bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + 40)
    moved = float(stage.evaluate("stage => stage.style.getPropertyValue('--at')").rstrip("%"))
    assert middle == "50%" and 75 < moved < 85
    for key, mode in (("2", "sides"), ("3", "difference"), ("4", "together"), ("1", "slider")):
        page.tab.keyboard.press(key)
        assert stage.get_attribute("data-mode") == mode

    page.look_at("images/coffee.png")  # only its annotations changed
    assert stage.get_attribute("data-mode") == "together"
    shapes = page.tab.locator(".shape")
    assert shapes.count() == 2 and page.tab.locator(".shape.after polygon").count() == 2
    area = page.tab.evaluate(
        "() => { const c = document.querySelector('.over.after canvas'); "
        "const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; "
        "let count = 0; for (let at = 3; at < data.length; at += 4) count += data[at] > 0; return count }"
    )
    assert area == mask()[1]
    page.tab.get_by_role("button", name="Unchanged").click()
    assert shapes.count() == 4
    page.tab.locator(".picture [data-category]", has_text="spoon").click()
    assert shapes.count() == 3
    page.tab.keyboard.press("a")
    assert page.tab.locator(".shape.after").count() == 0
    assert page.wrong == [] and page.faults() == []
    page.tab.close()


def test_key_points_are_drawn_with_their_skeleton_and_toggled_with_their_annotation(
    browser: Any, page_directory: Path
) -> None:
    page = Opened(browser, page_directory)
    page.look_at("images/chelsea.png")
    for side in ("before", "after"):
        shape = page.tab.locator(f".over .shape.{side}")
        assert shape.locator(".line.keypoint").count() == 3 and shape.locator(".line.bone").count() == 3
    assert "key points" in " ".join(page.texts(".annotation .how"))
    assert page.tab.locator(".over.after .line.keypoint").last.get_attribute("d") == "M230 160h0"
    page.tab.keyboard.press("a")
    assert (
        page.tab.locator(".shape.after .keypoint").count() == 0
        and page.tab.locator(".shape.before .line.keypoint").count() == 3
    )
    page.tab.keyboard.press("b")
    assert page.tab.locator(".keypoint").count() == 0
    assert page.wrong == [] and page.faults() == []
    page.tab.close()


def test_files_are_found_by_filters_search_and_keys(browser: Any, page_directory: Path) -> None:
    page = Opened(browser, page_directory)
    count = page.tab.locator("#count")
    every = int(count.inner_text().split()[0])
    assert page.texts("#detail h2") == ["Overview"] and every == 13
    assert "annotations/malformed.json" in page.texts(".bad a")
    assert page.faults() == []
    page.tab.locator('[data-filter="image"]').click()
    assert count.inner_text() == f"6 of {every} files"
    page.tab.locator('[data-filter="labels"]').click()
    assert page.texts("#list .file") == ["chelsea.png", "coffee.png"]
    page.tab.locator("#clear").click()
    page.tab.locator('[data-directory="annotations/"]').click()
    assert page.texts("#list .file") == ["instances.json", "malformed.json"]
    page.tab.locator("#clear").click()
    page.tab.locator("#facets [data-category]", has_text="spoon").click()
    assert page.texts("#list .file") == ["coffee.png"]
    page.tab.locator("#clear").click()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("cat")
    assert page.texts("#list .file") == ["chelsea.png"]
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_selector(".stage")
    assert page.texts("#detail h2") == ["images/chelsea.png"]
    page.tab.locator("#clear").click()
    page.tab.keyboard.press("j")
    assert page.texts("#detail h2") == ["images/coffee.png"]
    page.tab.keyboard.press("k")
    page.tab.keyboard.press("ArrowUp")
    assert page.texts("#detail h2") == ["images/camera.png"]
    page.tab.keyboard.press("?")
    assert page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("Escape")
    assert not page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("Escape")
    assert page.texts("#detail h2") == ["Overview"]
    page.tab.keyboard.press("t")
    assert page.tab.locator("html").get_attribute("data-theme") == "dark"
    assert page.wrong == [] and page.faults() == []
    page.tab.close()


def test_on_a_phone_in_the_dark_each_kind_of_file_can_be_read(browser: Any, page_directory: Path) -> None:
    page = Opened(browser, page_directory, width=390, height=844, scheme="dark")
    page.tab.locator("#show-filters").click()
    page.tab.locator('[data-filter="image"]').click()
    assert page.faults() == []
    page.tab.get_by_role("button", name="Show 6 files").click()
    page.tab.locator("#list .entry", has_text="camera.png").click()
    page.tab.wait_for_selector(".stage img")
    page.tab.locator(".back").click()
    assert page.tab.locator("#list").is_visible()
    looked_at = ["images/chelsea.png", "annotations/instances.json", "annotations/malformed.json", "images/short.png",
                 "people.csv", "meta/about.json", "notes.txt", "logo.svg", f"images/{HOSTILE}"]  # fmt: skip
    for path in looked_at:
        page.look_at(path)
        wide = page.tab.evaluate("() => document.querySelector('#detail').scrollWidth - innerWidth")
        assert wide <= 0, path
        if path in ("annotations/malformed.json", "images/short.png"):
            assert page.tab.locator("#detail .notice").count() == 1, path
        if path in ("images/chelsea.png", "people.csv", "notes.txt"):
            assert page.faults() == [], path
    assert page.wrong == []
    page.tab.close()


def test_values_from_data_are_text(browser: Any, page_directory: Path) -> None:
    page = Opened(browser, page_directory)
    for path, selector in (
        (f"images/{HOSTILE}", "h2"),
        ("people.csv", ".table"),
        ("meta/about.json", ".virtual"),
        ("notes.txt", ".lines"),
        ("annotations/instances.json", ".chart title"),
    ):
        page.look_at(path)
        assert any(HOSTILE in text for text in page.tab.locator(f"#detail {selector}").all_text_contents()), path
    page.look_at("logo.svg")
    assert page.tab.locator("#detail .drawings img").count() == 1 and page.tab.locator("#detail svg").count() == 0
    text = (page_directory / "index.html").read_text()
    assert text.count("<script") == 2 and HOSTILE not in text
    assert not list(page_directory.rglob("*.svg"))
    assert page.wrong == []
    page.tab.close()
