"""A process that downloads one object: `pull_process.py MACHINE STORE OID SIZE`."""

from __future__ import annotations

import sys
from pathlib import Path

from git_lds.hashing import Oid
from git_lds.store.backends.http import Http
from git_lds.transfer.download import download
from kit.stores import Machine


def main(directory: str, address: str, oid: str, size: str) -> None:
    machine = Machine(Path(directory))
    store = machine.store(Http(address))
    done = download([store], machine.objects, {Oid(bytes.fromhex(oid)): (int(size), b"large")})
    for missing in done.missing:
        sys.exit(missing.message)


if __name__ == "__main__":
    main(*sys.argv[1:])
