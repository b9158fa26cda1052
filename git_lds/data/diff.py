"""What changed between two versions of a file, by its kind."""

from __future__ import annotations

from collections.abc import Mapping

from git_lds.data import registry
from git_lds.data.coco.diff import CocoChanges
from git_lds.data.coco.model import NotCoco
from git_lds.data.image.diff import FileKinds
from git_lds.data.json.diff import ValueChanges
from git_lds.data.table.diff import TableChanges
from git_lds.data.text.diff import LineChanges
from git_lds.files import printable

Changes = CocoChanges | TableChanges | ValueChanges | LineChanges | FileKinds


def diff(path: bytes, before: bytes | None, after: bytes | None, attributes: Mapping[str, bytes]) -> Changes:
    """Return the changes between two versions, each None if it does not exist.

    The type of the result tells how they were compared. Raises LdsError for contents that are malformed for their kind.
    """
    kind = registry.kind_of_contents(path, (before, after), attributes)
    key, name = registry.key_columns(attributes), printable(path)
    try:
        found: Changes = kind.diff(before, after, name, key)
    except NotCoco:
        if registry.declared(attributes) is not None:
            raise
        found = registry.JSON.diff(before, after, name, key)
    return found
