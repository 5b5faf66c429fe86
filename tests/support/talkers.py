"""Tasks that print numbered lines at their pace, and readers who follow logs live and come back by cursor."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.api import PREFIX, Api, Json
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.patience import AWAY
from tests.support.workflows import python

#: Lines are written together, and whole: what stands before a rotation of a line half written, the kubelet loses.
WRITE_BYTES = 20_000
AGAIN_SECONDS = 0.1

_TALK = """
import os, time
def write_all(data, fd=1):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
time.sleep(PAUSE)
began, size, held = time.monotonic(), 0, []
for number in range(COUNT):
    held.append(line(KEY, number, SIZE, WIDE))
    size += len(held[-1])
    ahead = began + size / RATE - time.monotonic() if RATE else 0
    if ahead > 0.001 or len(held) * SIZE >= WRITE:
        write_all(b"".join(held))
        held.clear()
        if ahead > 0:
            time.sleep(ahead)
write_all(b"".join(held))
"""


def talker(name: str, lines: NumberedLines, bytes_per_second: float = 0, *, pause_seconds: float = 0, **keys: object) -> Json:
    """A task that prints these lines, so fast (0: as fast as it can), after a pause."""
    settings = f"RATE, WRITE, PAUSE = {bytes_per_second}, {WRITE_BYTES}, {pause_seconds}\n"
    return python(name, settings + lines.script + _TALK, **keys)


class LiveReader:
    """Follows a log over a websocket to its end. Where it is cut, it comes back by its last cursor."""

    def __init__(self, api: Api, path: str, take: Callable[[Json], None], **query: str) -> None:
        """`path` is below the prefix; `take` is given each frame of lines and each gap."""
        self.end: str | None = None  #: the phase told in the last frame
        self.cuts = 0
        self._url = f"ws{api.url.removeprefix('http')}{PREFIX}{path}"
        self._take = take
        self._query = query

    async def read(self, seconds: float) -> None:
        """Read to the end, which must come within so many seconds."""
        deadline = time.monotonic() + seconds
        while self.end is None:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._read()
            except (ConnectionClosed, OSError):
                self.cuts += 1
            except InvalidStatus as refusal:
                if refusal.response.status_code not in AWAY:
                    raise
            if self.end is None:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        async with connect(f"{self._url}?{urlencode(self._query)}", compression=None, proxy=None, max_size=None) as socket:
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "end":
                    self.end = frame["phase"]
                    return
                if frame["type"] == "lines":
                    self._query["cursor"] = frame["lines"][-1]["cursor"]
                    self._take(frame)
                elif frame["type"] == "gap":
                    self._query["cursor"] = frame["cursor"]
                    self._take(frame)
            raise ConnectionResetError("closed without an end")


async def stored_frames(api: Api, run_id: str, task: str, **query: object) -> AsyncIterator[Json]:
    """The lines and gaps of a task's log as they are stored now."""
    path = f"/runs/{run_id}/tasks/{task}/logs"
    async with api.http.stream("GET", path, params=query, headers={"Accept": "application/x-ndjson"}) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for text in answer.aiter_lines():
            if text:
                yield json.loads(text)


async def stored_log(api: Api, run_id: str, task: str, lines: NumberedLines, **query: object) -> LogCheck:
    """The check of a task's log as it is stored now, gaps included; nothing is held in memory of it."""
    check = LogCheck(lines)
    async for frame in stored_frames(api, run_id, task, **query):
        check.take(frame)
    return check
