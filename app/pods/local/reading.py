"""Readers of local pods' logs: from a stamp on, to the end there is, or as the log grows."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from app.domain.errors import LogUnavailable
from app.pods.local import folders
from app.pods.local.logfile import find_line_since

_CHUNK_BYTES = 256 * 1024
_TICK_SECONDS = 0.025  #: how often the files of those who wait are asked for their size: all of them in one go, 1.5 µs each

_Result = TypeVar("_Result")


class _Reader:
    """One reader's place in one log; `more` is set when there is something to read, or nothing more to wait for."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.offset = 0
        self.more = asyncio.Event()


class LogReading:
    """All readers of one backend. `run` must run while somebody follows."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._waiting: set[_Reader] = set()
        self._has_waiting = asyncio.Event()
        self._is_closed = False

    async def run(self) -> None:
        """Wake those who wait when their log has grown."""
        while True:
            await self._has_waiting.wait()
            await asyncio.sleep(_TICK_SECONDS)
            for reader in [r for r in self._waiting if os.fstat(r.fd).st_size > r.offset]:
                self._wake(reader)

    def wake(self, path: Path) -> None:
        """Let a log's readers look: its pod has ended or is gone."""
        for reader in [r for r in self._waiting if r.path == path]:
            self._wake(reader)

    def close(self) -> None:
        """End all follows."""
        self._is_closed = True
        for reader in list(self._waiting):
            self._wake(reader)

    def _wake(self, reader: _Reader) -> None:
        reader.more.set()
        self._waiting.discard(reader)
        if not self._waiting:
            self._has_waiting.clear()

    async def read(self, path: Path, since: datetime | None, is_over: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """A log's bytes from `since` on, until `is_over` said so before a read that brought nothing.

        Raises:
            LogUnavailable: the file is not there.
        """
        try:
            fd = await self._in_thread(folders.open_file, path)
        except (FileNotFoundError, ValueError):
            raise LogUnavailable(f"there is no log {path.name!r} of pod {path.parent.name!r}", gone=True) from None
        reader = _Reader(path, fd)
        try:
            skips_line = since is not None and await self._seek(reader, since)
            while not self._is_closed:
                was_over = is_over()  # asked before the read: what is written last is then in it
                chunk = await self._in_thread(os.pread, fd, _CHUNK_BYTES, reader.offset)
                reader.offset += len(chunk)
                if not chunk and was_over:
                    return
                if not chunk and not is_over():  # no await from here to the place among those who wait
                    await self._wait(reader)
                if skips_line:
                    _, feed, chunk = chunk.partition(b"\n")
                    skips_line = not feed
                if chunk:
                    yield chunk
        finally:
            self._wake(reader)
            os.close(fd)

    async def _seek(self, reader: _Reader, since: datetime) -> bool:
        second = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")
        reader.offset, is_within_line = await self._in_thread(find_line_since, reader.fd, second)
        return is_within_line

    async def _wait(self, reader: _Reader) -> None:
        reader.more.clear()
        self._waiting.add(reader)
        self._has_waiting.set()
        await reader.more.wait()

    async def _in_thread(self, function: Callable[..., _Result], *args: object) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
