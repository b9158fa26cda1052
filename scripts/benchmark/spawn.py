"""Runs one command and writes what it and all processes below it took, as JSON: a process of its own for each command.

The kernel keeps the sums and the peak that are read here for each process, over all descendants that were waited for. So
orphans come to this process and are waited for as well. It must stay small: a process starts with the peak of the one that
started it, so nothing smaller than this one (some 10 MiB) can be seen.
"""

import ctypes
import os
import resource
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def main(report: str, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    wall = time.monotonic() - started
    _wait_for_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(report, "w") as file:
        file.write(
            f'{{"status": {status}, "wall": {wall}, "cpu": {used.ru_utime + used.ru_stime}, '
            f'"memory": {used.ru_maxrss * 1024}}}'
        )


def _wait_for_orphans() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


main(sys.argv[1], sys.argv[2:])
