"""Carries blobs from a mirror, or what a merge made, into the repository that imports: one pack, never a history.

Trees are not carried. The ones that the index needs are made by `git commit`, and they come out the same as upstream's; any
other would lie there without what it names, which `git fsck` reports.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from git_lds.errors import LdsError
from git_lds.git import objects
from git_lds.git.run import Git

_COPY_SIZE = 1 << 20
_UNPACK_BELOW = 100
"""Fewer blobs than this become loose objects, as `git fetch` has it (fetch.unpackLimit): small packs slow git down."""


def carry(source: Git, git: Git, blobs: Collection[str]) -> None:
    """Put `blobs`, which `source` has, into the repository of `git`. Raises LdsError if git could not copy them."""
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


_SMALL = 1 << 20
"""Bytes of all blobs together that are copied one by one."""


def copy(git: Git, sources: Mapping[Git, Collection[str]], texts: Sequence[bytes], scratch: Path) -> list[str]:
    """Put blobs that other repositories have, and blobs of `texts`, into the repository of `git`; return the ids of the latter.

    A few small blobs take one process for all, others two for each source. Scratch files are made in the directory
    `scratch`. Raises LdsError if git cannot write them.
    """
    contents = list(texts)
    for source, blobs in sources.items():
        few = _few(source, blobs)
        if few is None:
            carry(source, git, blobs)
        else:
            contents += few
    return objects.write_blobs(git, contents, scratch)[: len(texts)]


def _few(source: Git, blobs: Collection[str]) -> list[bytes] | None:
    """Return the contents of blobs that are few and small, else None."""
    if len(blobs) >= _UNPACK_BELOW:
        return None
    sizes = objects.sizes(source, (blob.encode() for blob in blobs))
    if len(sizes) < len(set(blobs)) or sum(sizes.values()) > _SMALL:
        return None
    answers = list(source.reader.contents(sorted(blobs)))
    found = [answer[1] for answer in answers if answer is not None]
    return found if len(found) == len(answers) else None
