"""The API server's audit log: every write that was answered, whoever made it.

The server goes on in a new file when the log is large, and keeps the one before beside it: `audit-<time>.log`. Entries of one
namespace are some in hundreds of megabytes, so lines without its name are passed over unread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

LOG = "audit.log"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CHUNK_BYTES = 4 * 1024 * 1024
_OPEN_SECONDS = 10.0
#: A line of the live file without its line feed is being written just now.
_LINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One request, as it was answered."""

    time: datetime  #: when it came
    answered: datetime
    user: str
    user_agent: str
    verb: str
    namespace: str
    resource: str
    name: str  #: "" where the server made it up, or of a request for many
    subresource: str  #: eviction, binding, status, ...; "" of the object itself
    code: int  #: the HTTP status of the answer
    uri: str  #: path and query


def audit_folder(kubeconfig: Path) -> Path:
    """Where the cluster of that kubeconfig keeps its audit log."""
    return kubeconfig.parent


def read_audit(folder: Path, namespaces: Iterable[str], verbs: frozenset[str] = WRITES) -> list[AuditEntry]:
    """The entries of these namespaces with these verbs, oldest first; none is lost when the log is rotated meanwhile."""
    wanted = frozenset(namespaces)
    with ExitStack() as stack:
        files = [stack.enter_context(file) for file in _open_all(folder)]
        entries = [entry for file in files for line in _lines_of(file, wanted) for entry in _entry(line, wanted, verbs)]
    return sorted(entries, key=lambda entry: entry.time)


def oldest_entry(folder: Path) -> datetime | None:
    """How far back the log goes, None where nothing was written yet: what came before may have been rotated away."""
    with ExitStack() as stack:
        files = [stack.enter_context(file) for file in _open_all(folder)]
        first = next((line for file in files if (line := file.readline())), None)
    return None if first is None else _time(json.loads(first)["requestReceivedTimestamp"])


def _open_all(folder: Path) -> list[IO[bytes]]:
    """The rotated file, if there is one, and the live one, open: from then on no renaming takes a byte of them away.

    Where a file was renamed while they were being opened, one could be missing, or be there twice: then once more.
    """
    deadline = time.monotonic() + _OPEN_SECONDS
    while True:
        before = _files(folder)
        with ExitStack() as stack:
            try:
                opened = [stack.enter_context(path.open("rb")) for path in before]
            except FileNotFoundError:
                opened = []
            if opened and [_identity(file) for file in opened] == list(_files(folder).values()):
                stack.pop_all()
                return opened
        assert time.monotonic() < deadline, f"{folder} has no {LOG} that stays"
        time.sleep(0.01)


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    """The files, oldest first (their names are times), and which files they are."""
    found: dict[Path, tuple[int, int]] = {}
    for path in [*sorted(folder.glob("audit-*.log")), folder / LOG]:
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        found[path] = (about.st_dev, about.st_ino)
    return found if folder / LOG in found else {}


def _identity(file: IO[bytes]) -> tuple[int, int]:
    about = os.fstat(file.fileno())
    return about.st_dev, about.st_ino


def _lines_of(file: IO[bytes], namespaces: frozenset[str]) -> Iterator[bytes]:
    """The file's whole lines that name one of the namespaces."""
    needles = [f'"namespace":"{namespace}"'.encode() for namespace in sorted(namespaces)]
    rest = b""
    while piece := file.read(_CHUNK_BYTES):
        chunk = rest + piece
        end = chunk.rfind(b"\n") + 1
        yield from _lines_with(chunk[:end], needles)
        rest = chunk[end:]
    if rest:
        yield from _lines_with(_whole(file, rest), needles)


def _whole(file: IO[bytes], line: bytes) -> bytes:
    """The last line, once it is written to its end."""
    deadline = time.monotonic() + _LINE_SECONDS
    while b"\n" not in line and time.monotonic() < deadline:
        time.sleep(0.01)
        line += file.readline()
    return line if line.endswith(b"\n") else b""


def _lines_with(chunk: bytes, needles: Sequence[bytes]) -> Iterator[bytes]:
    for needle in needles:
        at = chunk.find(needle)
        while at >= 0:
            end = chunk.find(b"\n", at)
            yield chunk[chunk.rfind(b"\n", 0, at) + 1 : end]
            at = chunk.find(needle, end)


def _entry(line: bytes, namespaces: frozenset[str], verbs: frozenset[str]) -> list[AuditEntry]:
    """The line's entry, or nothing where it is not asked for."""
    if not any(f'"verb":"{verb}"'.encode() in line for verb in verbs):
        return []
    told: dict[str, Any] = json.loads(line)
    about = told.get("objectRef", {})
    if about.get("namespace") not in namespaces or told["verb"] not in verbs:
        return []
    return [
        AuditEntry(
            time=_time(told["requestReceivedTimestamp"]),
            answered=_time(told["stageTimestamp"]),
            user=told.get("user", {}).get("username", ""),
            user_agent=told.get("userAgent", ""),
            verb=told["verb"],
            namespace=about["namespace"],
            resource=about.get("resource", ""),
            name=about.get("name", ""),
            subresource=about.get("subresource", ""),
            code=told.get("responseStatus", {}).get("code", 0),
            uri=told.get("requestURI", ""),
        )
    ]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
