"""The names by which `.gitattributes` declares kinds of data."""

from __future__ import annotations

KINDS = ("coco", "table", "json", "jsonl", "text", "binary")
"""The kinds that `git lds track --merge` takes. Each is a merge driver with the name lds-KIND; the driver lds decides itself."""

DRIVER = "lds"

OWN_KINDS = ("deps", "attributes")
"""The drivers, named alike, for our own files: `.ldsdeps`, and the block in `.gitattributes`."""

LABELS = "GIT_LDS_LABELS"
"""The variable by which an update passes the names of base, ours and theirs to the driver, in three words."""

KEY = "lds-key"
"""The attribute that names the key columns of a table."""
