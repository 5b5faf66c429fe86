"""A pod's files as the service believes them: they lie beside main's folder, and main may write what it likes into them."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from app.pods.local import folders

#: 0 and 1 have meanings of their own where signals are sent: the own process group, and all processes.
_Pid = Annotated[int, msgspec.Meta(ge=2, le=2**31 - 1)]
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**62)]  #: since 1970
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**32)]
_ExitCode = Annotated[int, msgspec.Meta(ge=0, le=255)]
_Text = Annotated[str, msgspec.Meta(max_length=16 * 1024)]
_Uid = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]  #: a part of paths, too

#: The file is there and is not what it should be; any other OSError is the machine's trouble, and may pass.
_DAMAGE = frozenset({errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENXIO})

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Unreadable(Exception):
    """A pod's file is there and can't be believed; the message is a sentence that names the file."""


class Supervisor(msgspec.Struct, frozen=True):
    """supervisor.json."""

    pid: _Pid
    pid_start: int  #: clock ticks since boot
    boot_id: str


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """status.json."""

    phase: Literal["waiting", "running", "terminated"]
    over: bool
    pid: _Pid | None = None  #: main's, from the phase running on
    pid_start: int | None = None  #: clock ticks since boot; None where main had ended before it was asked for
    started_at: _Nanoseconds | None = None
    finished_at: _Nanoseconds | None = None
    exit_code: _ExitCode | None = None
    reason: _Text = ""
    message: _Text = ""
    pod_reason: _Text = ""
    pod_message: _Text = ""

    def __post_init__(self) -> None:
        if self.phase == "running" and self.pid is None:
            raise ValueError("it runs without a process")
        if self.phase == "terminated" and (self.exit_code is None or self.finished_at is None):
            raise ValueError("it ended without an exit code, or at no time")


class Deletion(msgspec.Struct, frozen=True):
    """deletion.json."""

    grace_seconds: _Seconds
    until_ns: _Nanoseconds


class Metadata(msgspec.Struct, frozen=True):
    """Who a pod is, in its manifest."""

    name: str
    namespace: str
    labels: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True):
    """The part of the manifest that the service reads again."""

    metadata: Metadata


class Spec(msgspec.Struct, frozen=True):
    """spec.json; the rest of it is the supervisor's."""

    uid: _Uid
    manifest: Manifest
    grace_seconds: _Seconds


#: msgspec learns of a struct when it is first used; two threads that make it do that at the same time end the process. Here
#: there is one.
_KNOWN = tuple(msgspec.json.Decoder(record) for record in (Supervisor, Status, Deletion, Spec))


def read(path: Path, record: type[_Record]) -> _Record | None:
    """The record in a file; None where there is no such file.

    Raises:
        Unreadable: it is not what it should be.
        OSError: it can't be read now.
    """
    try:
        content = folders.read_file(path)
        return None if content is None else msgspec.convert(json.loads(content), record)
    except OSError as error:
        if error.errno in _DAMAGE:
            raise Unreadable(f"the pod's {path.name} can't be read: {error.strerror}") from error
        raise
    except (ValueError, RecursionError) as error:  # msgspec's own errors are of the first kind
        raise Unreadable(f"the pod's {path.name} is damaged: {error}") from error


def write(path: Path, record: msgspec.Struct) -> None:
    """Replace the file by the record. Raises OSError."""
    value: dict[str, Any] = msgspec.to_builtins(record)
    folders.write_json(path, value)
