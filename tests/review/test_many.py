"""A page of 5,000 changed images is built in a minute and opens in seconds."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from kit.images import saved, shipped
from kit.work import Work

IMAGES = 5_000


def draw(work: Work, *, brighter: bool) -> None:
    """Write 5,000 images of 640 by 480, cut out of real ones, with 40,000 annotations; the second time all are changed."""
    from PIL import Image

    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    sources = [Image.open(BytesIO(shipped(name))).convert("RGB").resize((900, 700)) for name in names]
    if brighter:
        sources = [source.point(lambda value: min(255, value * 6 // 5)) for source in sources]
    chance = random.Random(1)
    images, annotations = [], []
    for at in range(IMAGES):
        left, top = chance.randrange(260), chance.randrange(220)
        picture = sources[at % len(sources)].crop((left, top, left + 640, top + 480))
        work.write(f"images/{at % 7}/{at:06d}.jpg", saved(picture, "JPEG", quality=85))
        images.append({"id": at, "file_name": f"{at:06d}.jpg", "width": 640, "height": 480})
        for number in range(8):
            box = [chance.randrange(500) + 2 * (brighter and number == 0), chance.randrange(400), 90, 70]
            annotations.append({"id": 8 * at + number, "image_id": at, "category_id": number, "bbox": box})
    categories = [{"id": number, "name": f"category {number}"} for number in range(8)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    work.write("annotations.json", json.dumps(document))


@pytest.mark.slow
def test_a_page_of_5000_changed_images(new_work: Callable[..., Work], tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("NOT TESTED: how quickly a page of 5,000 images opens, for there is no chromium")
    work = new_work(track=("images/**", "annotations.json"))
    for brighter in (False, True):
        draw(work, brighter=brighter)
        work.commit()
    began = time.monotonic()
    work.lds("review", "HEAD^..HEAD", "-o", tmp_path / "page")
    built = time.monotonic() - began
    with playwright.sync_playwright() as running:
        program = running.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = program.new_page(viewport={"width": 1280, "height": 800})
        began = time.monotonic()
        tab.goto((tmp_path / "page" / "index.html").as_uri())
        tab.wait_for_selector("html[data-ready]")
        seen = "[...document.querySelectorAll('#list img')].length > 5 && [...document.images].every(image => image.complete)"
        tab.wait_for_function(seen)
        opened = time.monotonic() - began
        assert tab.locator("#count").inner_text() == "5,001 files"
        assert tab.locator("#list .entry").count() < 40
        tab.keyboard.press("End")
        tab.wait_for_selector(".stage")
        program.close()
    print(f"built in {built:.1f} s, opened in {opened:.1f} s")
    assert built < 60 and opened < 3
