"""SQLite has one service: a lock on a file beside the database, gone with the process that held it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from app.domain.errors import ServiceAlreadyRunning

#: A predecessor that is stopping gets this long to go.
WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.1

log = structlog.get_logger(__name__)


@asynccontextmanager
async def sole_service(database_file: str, wait_seconds: float = WAIT_SECONDS) -> AsyncIterator[None]:
    """Be the only service of this database for as long as the block runs.

    Raises:
        ServiceAlreadyRunning: another one still is after `wait_seconds`.
    """
    path = Path(f"{database_file}.lock")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        await _lock(file, path, wait_seconds)
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


async def _lock(file: int, path: Path, wait_seconds: float) -> None:
    looks = max(1, round(wait_seconds / _LOOK_SECONDS))
    for look in range(looks):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if look == 0:
                log.info("another service has this database, waiting for it to stop", lock=str(path))
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return
    holder = os.pread(file, 32, 0).decode(errors="replace").strip()
    raise ServiceAlreadyRunning(
        f"another podrun (process {holder or 'unknown'}) serves this database, and still does after {wait_seconds:.0f} s: "
        f"stop it, or give this one a database of its own (lock {path})"
    )
