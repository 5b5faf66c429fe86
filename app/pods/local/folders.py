"""The files of a local pod, and the small primitives that service and supervisor share. Standard library only.

ROOT/pods/NAMESPACE/NAME/   one pod: it exists while this folder does
    spec.json               made by the service before the folder gets its name: what to run
    supervisor.json         made by the supervisor, once: who runs it
    status.json             replaced by the supervisor at each change: how main is
    deletion.json           made by the service: somebody asked for the pod's end
    log  outputs  work/  tmp/
ROOT/new/UID/               a pod that is being made
ROOT/gone/UID/              a pod that is being removed
ROOT/watchers/*.fifo        one per service: supervisors write a pod's uid and a line feed into each
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from functools import cache
from pathlib import Path
from typing import Any

SPEC = "spec.json"
SUPERVISOR = "supervisor.json"
STATUS = "status.json"
DELETION = "deletion.json"
LOG = "log"
OUTPUTS = "outputs"
WORK = "work"
TMP = "tmp"

PODS = "pods"
NEW = "new"
GONE = "gone"
WATCHERS = "watchers"

_LARGEST_BYTES = 16 * 1024 * 1024  #: a manifest has three MiB at most


def open_file(path: Path) -> int:
    """Open a file to read it; never waits.

    Raises:
        ValueError: it is something else: main may have put a pipe there, or a device that never ends.
        OSError: it can't be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise ValueError("it is no regular file")


def read_file(path: Path) -> bytes | None:
    """What is in a file; None where there is none.

    Raises:
        ValueError: it is no file, or larger than any of ours.
        OSError: it can't be read.
    """
    try:
        fd = open_file(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(fd, "rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise ValueError(f"it is larger than {_LARGEST_BYTES} bytes")
    return content


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is none, or it was damaged by main or cut short by a power cut."""
    try:
        value = json.loads(read_file(path) or b"null")
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any], *, sync: bool = False) -> None:
    """Replace a file in one step: a reader sees the old object or the new one. `sync`: it survives a power cut."""
    scratch = path.with_name(f"{path.name}.{os.urandom(6).hex()}")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            json.dump(value, file)
            if sync:
                file.flush()
                os.fsync(fd)
        scratch.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise


@cache
def boot_id() -> str:
    """Which boot of the machine this is: process ids mean nothing in another one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where it is gone, or dead and not yet reaped.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (fields 3 and 22)
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line[line.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def child_processes(pid: int) -> list[int]:
    """The children of a process of one thread; none where it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_bytes().split()]
    except OSError:
        return []


def notify_watchers(watchers_fd: int, uid: str) -> None:
    """Tell every service that watches that the pod has changed; best effort, since each also looks by itself now and then."""
    try:
        names = os.listdir(watchers_fd)
    except OSError:
        return
    for name in names:
        try:
            fifo = os.open(name, os.O_WRONLY | os.O_NONBLOCK, dir_fd=watchers_fd)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads: a service that was killed left it
                _unlink_quietly(name, watchers_fd)
            continue
        with contextlib.suppress(OSError):
            os.write(fifo, f"{uid}\n".encode("ascii"))
        os.close(fifo)


def _unlink_quietly(name: str, folder_fd: int) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder_fd)
