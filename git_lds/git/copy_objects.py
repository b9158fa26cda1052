"""Carries blobs from a mirror, or what a merge made, into the repository that imports: one pack, never a history.

Trees are not carried. The ones that the index needs are made by `git commit`, and they come out the same as upstream's; any
other would lie there without what it names, which `git fsck` reports.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection

from git_lds.errors import LdsError
from git_lds.git.run import Git

_COPY_SIZE = 1 << 20
_UNPACK_BELOW = 100
"""Fewer blobs than this become loose objects, as `git fetch` has it (fetch.unpackLimit): small packs slow git down."""


def carry(source: Git, git: Git, blobs: Collection[str]) -> None:
    """Put `blobs`, which `source` has, into the repository of `git`."""
    if not blobs:
        return
    packing = source.start("pack-objects", "--stdout", "--quiet", "--delta-base-offset")
    how = ("unpack-objects", "-q") if len(blobs) < _UNPACK_BELOW else ("index-pack", "--stdin", "--fix-thin")
    taking = git.start(*how)
    assert packing.stdin and packing.stdout and taking.stdin and taking.stdout
    try:
        packing.stdin.write("".join(f"{blob}\n" for blob in sorted(blobs)).encode())
        packing.stdin.close()
        shutil.copyfileobj(packing.stdout, taking.stdin, _COPY_SIZE)
        taking.stdin.close()
        taking.stdout.read()
    except BrokenPipeError:
        pass  # the exit code of the one that went away says it
    finally:
        for process in (packing, taking):
            assert process.stdin and process.stdout
            process.stdin.close()
            process.stdout.close()
        ended = packing.wait(), taking.wait()
    if any(ended):
        raise LdsError("git could not take over what was fetched", "see whether the disk is full: git lds doctor")
