"""The launcher: a small process that forks supervisors, in a millisecond each instead of an interpreter's start of fifteen.

It reads pods' folders from standard input, a line each, and ends with its service; the supervisors go on. Standard library
only: it is started without site-packages.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys

from app.pods.local import supervisor


def main() -> None:
    """Fork a supervisor for each folder that comes in, until the service closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: who ends is seen by others, through a pidfd
    _restore_open_files(int(sys.argv[3]))
    gc.collect()
    gc.freeze()  # so that collections in the children do not copy every page of this process
    root = sys.argv[1]
    requests = os.fdopen(0, "rb", closefd=False)
    for line in requests:
        if os.fork() == 0:
            _become_supervisor(root, os.fsdecode(line.rstrip(b"\n")))


def _restore_open_files(soft: int) -> None:
    """Undo, for all pods, what the service did to its own limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _become_supervisor(root: str, folder: str) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        supervisor.supervise(root, folder)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
