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


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where the file is missing, or was cut short by a power cut."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict[str, Any], *, sync: bool = False) -> None:
    """Replace a file in one step: a reader sees the old object or the new one. `sync`: it survives a power cut."""
    scratch = path.with_name(f"{path.name}.{os.urandom(6).hex()}")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        json.dump(value, file)
        if sync:
            file.flush()
            os.fsync(fd)
    scratch.replace(path)


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
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def notify_watchers(watchers_fd: int, uid: str) -> None:
    """Tell every service that watches that the pod has changed; best effort, since each also looks by itself now and then."""
    for name in os.listdir(watchers_fd):
        try:
            fifo = os.open(name, os.O_WRONLY | os.O_NONBLOCK, dir_fd=watchers_fd)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads: a service that was killed left it
                _unlink_quietly(name, watchers_fd)
            continue
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(fifo, f"{uid}\n".encode("ascii"))
        os.close(fifo)


def _unlink_quietly(name: str, folder_fd: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)
