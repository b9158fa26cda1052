"""The names by which merges of data are chosen in `.gitattributes`."""

from __future__ import annotations

KINDS = ("coco", "table", "json", "jsonl", "text", "binary")
"""What `git lds track --merge` takes: each is a driver of git with the name lds-KIND. The driver lds finds the kind itself."""

DRIVER = "lds"

OWN_KINDS = ("deps", "attributes")
"""The drivers for our own files, with names as above: `.ldsdeps`, and the block in `.gitattributes`."""

LABELS = "GIT_LDS_LABELS"
"""The variable by which an update tells the driver what the sides are called: base, ours and theirs, in three words."""

KEY = "lds-key"
"""The attribute that names the key columns of a table."""
