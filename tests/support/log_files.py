"""Watches the files of a container's log from outside: when the kubelet rotates them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.support.api import Json
from tests.support.api_proxy import ApiProxy
from tests.support.numbered_log import NumberedLines

LOOK_SECONDS = 0.5


class LogFiles:
    """With which line a container's newest file begins, which is the only one that the API server reads."""

    def __init__(self, lines: NumberedLines) -> None:
        self.rotated_at: list[float] = []  #: when a rotation was seen, by the monotonic clock
        self.is_over = False  #: the pod is gone, or nobody looks any more
        self._lines, self._first = lines, 0

    async def watch(self, url: str) -> None:
        """Look at the log's first bytes until the pod is gone. `url` is of the log, at a proxy of the API server."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            while not self.is_over:
                try:
                    answer = await http.get(url, params={"limitBytes": 64})
                except httpx.TransportError:  # the API server is not there just now
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                self.is_over = self.is_over or answer.status_code == httpx.codes.NOT_FOUND
                # What a rotated file begins with may be the rest of a line.
                starts = [self._lines.number(line) for line in answer.content.split(b"\n")] if answer.is_success else []
                first = next((number for number in starts if number is not None), self._first)
                if first > self._first:
                    self._first = first
                    self.rotated_at.append(time.monotonic())
                await asyncio.sleep(LOOK_SECONDS)

    async def rotations(self, count: int) -> None:
        """Wait until so many have been seen, or the container is over."""
        while len(self.rotated_at) < count and not self.is_over:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


@asynccontextmanager
async def watched_files(attempt: Json, lines: NumberedLines) -> AsyncIterator[LogFiles]:
    """The files of an attempt's container that prints these lines, for as long as the block."""
    files = LogFiles(lines)
    with ApiProxy() as proxy:
        path = f"/api/v1/namespaces/{attempt['namespace']}/pods/{attempt['pod']}/log"
        async with asyncio.TaskGroup() as group:
            group.create_task(files.watch(proxy.url + path), name="files")
            try:
                yield files
            finally:
                files.is_over = True
