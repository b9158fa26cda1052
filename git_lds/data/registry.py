"""Which kind of data a file is: the one place that decides, from its path, its first bytes and its attributes.

A kind is a directory beside this module and a line in `ALL`. The directory has `diff.py`, and `merge.py` if the kind has a
structure to merge by. They are loaded when they are first used: git starts its drivers once for every file.
"""

from __future__ import annotations

from importlib import import_module

from git_lds.data.image import identify
from git_lds.data.kinds import DRIVER, KEY, KINDS
from git_lds.fast_typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from git_lds.data.conflicts import Markers, Merged

ATTRIBUTES = ("merge", KEY)
"""The attributes that decide how a file is compared and merged."""

_PROBE = 8000
"""Bytes in which git looks for a NUL before it treats a file as text."""

_MIB = 1 << 20


class Diff(Protocol):
    """Compares two versions, each None or empty if it does not exist. `key` are declared key columns. Raises LdsError."""

    def __call__(self, before: bytes | None, after: bytes | None, name: str, key: Sequence[str] = ()) -> Any: ...


class Merge(Protocol):
    """Merges two versions that are not empty; an empty base means that there is none. Raises LdsError."""

    def __call__(
        self, base: bytes, ours: bytes, theirs: bytes, name: str, markers: Markers, key: Sequence[str] = ()
    ) -> Merged: ...


class Kind(NamedTuple):
    """A kind of data: its name, which `git lds track --merge` takes, and the endings of its files in lower case.

    An opaque kind is not merged, and its first bytes are compared instead of its contents. A kind with structure is read
    before it is merged; others are merged as text. `limit` is the size in bytes up to which contents are compared.
    """

    name: str
    endings: tuple[bytes, ...]
    limit: int
    is_opaque: bool = False
    has_structure: bool = False
    directory: str = ""

    @property
    def diff(self) -> Diff:
        """The function that compares two versions; for an opaque kind, their first bytes."""
        return self._load("diff").diff  # type: ignore[no-any-return]

    @property
    def merge(self) -> Merge:
        """The function that merges versions of a kind with structure."""
        assert self.has_structure
        return self._load("merge").merge  # type: ignore[no-any-return]

    def _load(self, module: str) -> Any:
        return import_module(f"git_lds.data.{self.directory or self.name}.{module}")


COCO = Kind("coco", (), 256 * _MIB, has_structure=True)
JSON = Kind("json", (b".json", b".geojson"), 256 * _MIB, has_structure=True)
JSONL = Kind("jsonl", (b".jsonl", b".ndjson"), 32 * _MIB, has_structure=True)
TABLE = Kind("table", (b".csv", b".tsv", b".tab"), 256 * _MIB, has_structure=True)
IMAGE = Kind(
    "image",
    (b".png", b".jpg", b".jpeg", b".webp", b".gif", b".bmp", b".tif", b".tiff", b".ppm", b".pgm", b".jp2"),
    identify.HEAD,
    is_opaque=True,
)
BINARY = Kind(
    "binary",
    tuple(
        b"." + word
        for word in b"ico heic avif dng mp4 mov avi mkv webm mp3 wav flac ogg npy npz h5 hdf5 parquet arrow feather zip gz"
        b" bz2 xz zst tar 7z pdf pt pth onnx safetensors ckpt tfrecord sqlite db".split()
    ),
    identify.HEAD,
    is_opaque=True,
    directory="image",
)
TEXT = Kind(
    "text",
    tuple(
        b"." + word
        for word in b"txt md yaml yml toml xml svg py html css js cfg ini rst log gitattributes gitignore ldsconfig"
        b" ldsdeps".split()
    ),
    32 * _MIB,
)

ALL = (COCO, JSON, JSONL, TABLE, IMAGE, BINARY, TEXT)


def kind_of(path: bytes, head: bytes | None, attributes: Mapping[str, bytes]) -> Kind:
    """Return the kind of a file from its path, its first bytes (None if unknown) and its attributes.

    Bytes that are not text outweigh the rest, then a kind that is declared as `merge=lds-KIND`, then the ending of the name.
    A file with none of them is text if its first bytes are known, else binary. `kind_of_contents` tells COCO from other JSON.
    """
    if head and not is_text(head):
        return IMAGE if identify.kind_of(head) is not None else BINARY
    named = by_name(path)
    if named is IMAGE and declared(attributes) is BINARY:
        return IMAGE  # both are opaque: the declaration says how it is merged, and an image can still be shown
    return declared(attributes) or named or (TEXT if head is not None else BINARY)


def may_be_coco(path: bytes, attributes: Mapping[str, bytes]) -> bool:
    """Return whether a file is declared as COCO, or is JSON without a declaration, whose contents decide."""
    kind = kind_of(path, None, attributes)
    return kind is COCO or (kind is JSON and declared(attributes) is None)


def kind_of_contents(path: bytes, versions: Sequence[bytes | None], attributes: Mapping[str, bytes]) -> Kind:
    """Return the kind of a file from the contents of its versions; one that is None or empty says nothing.

    One version that is not text makes all of them opaque. JSON is COCO if each version looks like it, which its reader
    confirms (NotCoco), unless another kind is declared.
    """
    kinds = [kind_of(path, version, attributes) for version in versions if version is not None]
    kind = next((kind for kind in kinds if kind.is_opaque), kinds[0] if kinds else kind_of(path, None, attributes))
    contents = [version for version in versions if version]
    if kind is JSON and contents and declared(attributes) is None:
        from git_lds.data.coco import model  # late: what git starts for an image need not read JSON

        return COCO if all(map(model.looks_like_coco, contents)) else JSON
    return kind


def declared(attributes: Mapping[str, bytes]) -> Kind | None:
    """Return the kind that `merge=lds-KIND` declares, or None."""
    driver, _, name = attributes.get("merge", b"").decode("utf-8", "replace").partition("-")
    return next((kind for kind in ALL if driver == DRIVER and kind.name == name and name in KINDS), None)


def declaration(name: str) -> dict[str, bytes]:
    """Return the attributes that declare the kind `name`; none for "auto"."""
    return {} if name == "auto" else {"merge": f"{DRIVER}-{name}".encode()}


def by_name(path: bytes) -> Kind | None:
    """Return the kind that the ending of a path says, or None."""
    name = path.lower()
    return next((kind for kind in ALL if kind.endings and name.endswith(kind.endings)), None)


def key_columns(attributes: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the key columns of a table that `lds-key=COLUMN,COLUMN` declares."""
    value = attributes.get(KEY, b"").decode("utf-8", "replace")
    return tuple(value.split(",")) if value not in ("", "unspecified", "set", "unset") else ()


def is_text(head: bytes) -> bool:
    """Return whether contents that begin like this are text: without a NUL, and not a known format that is not UTF-8."""
    if b"\0" in head[:_PROBE]:
        return False
    return identify.described(head[:_PROBE]) is None or _is_utf8(head[:_PROBE])


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.end == len(head) >= _PROBE  # the last character is cut off
    return True
