"""A process that pushes: `push_process.py MACHINE STORE [AT before|after]`. With AT it is killed at that operation on the store.

It pushes all that is in the machine's local store. Packs are small, so that there are some: TEST_PACK_SIZE is their size.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from git_lds.store.backends.contract import Backend
from git_lds.store.backends.directory import Directory
from git_lds.store.backends.http import Http
from git_lds.transfer import upload_plan
from kit.stores import Faulty, Machine, die


def main(directory: str, address: str, at: str = "", when: str = "") -> None:
    size = int(os.environ.get("TEST_PACK_SIZE", 1 << 18))
    upload_plan.target_size = lambda new_bytes: size  # type: ignore[attr-defined]
    machine = Machine(Path(directory))
    backend: Backend = Http(address) if address.startswith("http") else Directory(Path(address))
    if at:
        backend = Faulty(backend, int(at), after=when == "after", bad=die)
    done = machine.push(backend, {oid: [oid.hex().encode()] for oid in machine.objects.own})
    print(done.packs, done.bytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
