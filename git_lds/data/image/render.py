"""Makes the pictures of the page: a thumbnail of each image, and the image itself or a smaller one; and compares two.

Pillow, which reads the images, is an extra of the package. An image that it cannot read, or that would take too much memory
to read, becomes a sentence.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from git_lds.errors import LdsError
from git_lds.files import printable
from git_lds.snapshots.contents import Contents
from git_lds.snapshots.version import Version

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FILE = 64 << 20
"""Bytes of the largest image file that is read."""

_MAX_PIXELS = 89_478_485
"""Pixels from which Pillow itself warns of a decompression bomb: 256 MiB as 24-bit colours."""

_LARGE = 16_000_000
"""Pixels from which only one image is decoded at a time, so that no two such images are in memory."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
_OF_BROWSERS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif"}
_THUMB = 160
_LADDER = ((400_000, 2048), (150_000, 1400), (60_000, 1024), (0, 720))
"""The bytes that an image may take on the page, and the longest side that it then gets, in pixels."""

_VISIBLE = 8
"""The difference, of 255, from which a pixel counts. A JPEG that is saved again differs by less everywhere."""

_BUDGET = 400 << 20
"""Bytes that the large pictures of a page may take together, about. GitHub Pages takes 1 GB."""


def need_pillow() -> None:
    """Check that Pillow is installed. Raises LdsError if it is not."""
    try:
        import PIL.Image
    except ImportError:
        raise LdsError("reading images needs Pillow, which is not installed", "pip install 'git-lds[review]'") from None
    # the page names each file that is too large or damaged
    warnings.filterwarnings("ignore", category=PIL.Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module=r"PIL\.")


class NotAnImage(Exception):
    """The reason why an image cannot be shown, as a sentence."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An image on the page: the paths of its thumbnail and picture, and the sizes in pixels of the image and the picture."""

    thumb: str
    large: str
    size: tuple[int, int]
    shown: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """An image before and after: pictures, or the reason for not having one, and a sentence about their difference."""

    before: Picture | str | None
    after: Picture | str | None
    difference: str | None = None


class Reader:
    """Reads images from many threads; large ones are decoded one at a time."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._alone = threading.Lock()

    def read(self, version: Version) -> bytes:
        """Return the contents of an image. Raises NotAnImage if they are missing, damaged or too large."""
        if version.size > MAX_FILE:
            raise NotAnImage(f"The file is too large to be shown: {version.size} bytes.")
        try:
            data = self._contents.read(version, MAX_FILE)
        except LdsError as error:
            said = error.message.removeprefix(printable(version.path) + ": ")
            raise NotAnImage(f"{said[:1].upper()}{said[1:]}.") from None
        if data is None:
            raise NotAnImage("Its contents are not on this machine.")
        return data

    def sizes(self, version: Version, *, whole: bool) -> list[tuple[int, int]]:
        """Return the size of an image in pixels, and the size after the rotation that its metadata ask for.

        Raises NotAnImage; with `whole` also if only the header can be read.
        """
        image = _opened(self.read(version))
        size = image.size
        try:
            if whole:
                with self.room_for(image):
                    image.load()
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except Exception as error:  # as in Studio
            raise NotAnImage(f"The image cannot be decoded: {_said(error)}.") from None
        return [size, (size[1], size[0])] if turned else [size]

    def room_for(self, image: Image) -> contextlib.AbstractContextManager[object]:
        """Return a context manager to hold while an image is decoded."""
        return self._alone if image.width * image.height > _LARGE else contextlib.nullcontext()


@dataclass(slots=True)
class Studio:
    """Makes pictures in a directory. `share` is how many bytes one may take; `made` has the names of the written files."""

    directory: Path
    reader: Reader
    share: int
    made: set[str] = field(default_factory=set)

    def pair(self, before: Version | None, after: Version | None, recorded: tuple[int, int] | None = None) -> Pair:
        """Make the pictures of one image before and after. `recorded` is the image size in its annotation file."""
        is_same = before is not None and after is not None and _key(before) == _key(after)
        old, old_pixels = self._try(before, recorded)
        if is_same:
            return Pair(old, old)
        new, new_pixels = self._try(after, recorded)
        difference = None
        if old_pixels is not None and new_pixels is not None:
            assert isinstance(old, Picture) and isinstance(new, Picture)
            difference = _difference(old, old_pixels, new, new_pixels)
        return Pair(old, new, difference)

    def _try(
        self, version: Version | None, recorded: tuple[int, int] | None
    ) -> tuple[Picture | str | None, Image | None]:
        if version is None:
            return None, None
        try:
            return self._make(version, recorded)
        except NotAnImage as error:
            return str(error), None

    def _make(self, version: Version, recorded: tuple[int, int] | None) -> tuple[Picture, Image]:
        data = self.reader.read(version)
        opened = _opened(data)
        with self.reader.room_for(opened):
            return self._drawn(version, data, opened, recorded)

    def _drawn(
        self, version: Version, data: bytes, image: Image, recorded: tuple[int, int] | None
    ) -> tuple[Picture, Image]:
        from PIL import ImageOps

        size, form, mode = image.size, image.format or "", image.mode
        side = next(side for least, side in _LADDER if self.share >= least)
        try:
            image.draft("RGB", (side, side))
            image.load()
            # annotations count pixels as they are stored, unless the size in their file says otherwise
            turned = image.getexif().get(0x0112, 1) != 1
            is_turned = turned and recorded != size
            if is_turned:
                image = ImageOps.exif_transpose(image)
                size = (size[1], size[0]) if (image.width > image.height) != (size[0] > size[1]) else size
            image.thumbnail((side, side), reducing_gap=2.0)
            large = _colours(image)
        except Exception as error:  # Pillow's readers raise any error for a malformed file
            raise NotAnImage(f"The image cannot be decoded: {_said(error)}.") from None
        thumb = _thumb(large)
        is_plain = form in _OF_BROWSERS and mode in ("1", "L", "LA", "P", "RGB", "RGBA") and not turned
        is_small = len(data) <= self.share or (max(size) <= side and len(data) <= 2 * self.share)
        name = f"pictures/{_key(version)[:2]}/{_key(version)}"
        if is_plain and is_small:
            at, dimensions = self._write(f"{name}.{_OF_BROWSERS[form]}", data), size
        else:
            at, dimensions = self._save(f"{name}-{'t' if is_turned else 'l'}", large), large.size
        return Picture(self._save(f"{name}-s", thumb), at, size, dimensions), large

    def _save(self, name: str, image: Image) -> str:
        """Write a picture as JPEG, which is ten times as fast as WebP, or as WebP if it is transparent."""
        out = io.BytesIO()
        if image.mode == "RGBA":
            image.save(out, "WEBP", quality=80, method=0)
            return self._write(name + ".webp", out.getvalue())
        image.save(out, "JPEG", quality=82)
        return self._write(name + ".jpg", out.getvalue())

    def _write(self, name: str, data: bytes) -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.made.add(name)
        return name


def share_of(versions: Iterable[Version]) -> int:
    """Return how many bytes each of these images may take on the page."""
    sizes = {_key(version): version.size for version in versions}
    return _BUDGET // max(1, len(sizes))


def _key(version: Version) -> str:
    """Return a name for the contents of a version: the start of its oid, or of its blob id."""
    return version.oid[:24] if version.oid is not None else "g" + (version.blob or b"").decode()[:23]


def _opened(data: bytes) -> Image:
    """Return an image with only its header read. Raises NotAnImage."""
    import PIL
    from PIL import Image as images

    try:
        image = images.open(io.BytesIO(data), formats=_FORMATS)
    except images.DecompressionBombError:
        raise NotAnImage("The image says that it has too many pixels to be decoded.") from None
    except Exception as error:
        what = (
            "The file is not an image that can be shown"
            if isinstance(error, PIL.UnidentifiedImageError)
            else _said(error)
        )
        raise NotAnImage(f"{what}.") from None
    if image.width * image.height > _MAX_PIXELS:
        raise NotAnImage(f"The image says that it has {image.width} by {image.height} pixels, too many to be decoded.")
    return image


def _colours(image: Image) -> Image:
    """Return an image as RGB, or as RGBA if it is transparent; values of 16 bits are stretched to the range in use."""
    if image.mode.startswith(("I", "F")):
        low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
        scale = 255 / (high - low) if high > low else 1.0
        return image.convert("F").point(lambda value: value * scale - low * scale).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        lowest, _ = seen.getchannel("A").getextrema()
        return seen if float(lowest) < 255 else seen.convert("RGB")  # type: ignore[arg-type]
    return _as_rgb(image)


def _as_rgb(image: Image) -> Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # convert copies in any case: 1 ms an image


def _thumb(image: Image) -> Image:
    from PIL.Image import Resampling

    scale = min(1.0, _THUMB / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Resampling.BILINEAR, reducing_gap=1.0)


def _difference(before: Picture, old: Image, after: Picture, new: Image) -> str:
    from PIL import ImageChops

    if before.size != after.size:
        return "other dimensions"
    if new.size != old.size:
        new = new.resize(old.size)
    apart = ImageChops.difference(_as_rgb(old), _as_rgb(new))
    counts = apart.convert("L").histogram()
    differ, pixels = sum(counts[_VISIBLE:]), old.width * old.height
    if not differ:
        return "no visible difference" if apart.getbbox() or old.size != before.size else "the same pixels"
    share = 100 * differ / pixels
    return f"{'under 0.1' if share < 0.1 else f'{share:.1f}'} % of the pixels differ"


def _said(error: Exception) -> str:
    said = "".join(c if c.isprintable() else " " for c in str(error)[:160])
    return " ".join(said.split()) or type(error).__name__
