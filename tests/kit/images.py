"""The words that tests about images are written in: small ones of any kind, those that scikit-image ships, a bomb."""

from __future__ import annotations

import importlib.util
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any


def image(width: int = 60, height: int = 40, form: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A gradient."""
    from PIL import Image

    return saved(Image.linear_gradient("L").resize((width, height)).convert(mode), form, **options)


def plain(width: int, height: int, red: int = 0) -> bytes:
    """A PNG of one colour."""
    from PIL import Image

    return saved(Image.new("RGB", (width, height), (red, 0, 0)))


def saved(picture: Any, form: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def shipped(name: str) -> bytes:
    """One of the images that scikit-image ships: a cat, a cup, a person, all free to use."""
    found = importlib.util.find_spec("skimage")
    assert found is not None and found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "data" / name).read_bytes()


def bomb() -> bytes:
    """A PNG of a few bytes that says that it has 65536 by 65536 pixels."""
    data = bytearray(plain(1, 1))
    data[16:24] = struct.pack(">II", 65536, 65536)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)
