"""A kubelet's logs, scripted: rotation, streams that end or hang, and what a container prints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from app.domain.errors import LogUnavailable
from app.domain.pods import PodRef

SECOND = 1_000_000_000


def stamp(time_ns: int) -> bytes:
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ns // SECOND))
    return f"{text}.{time_ns % SECOND:09d}Z ".encode()


class FakeKubelet:
    """One container's log. `opened` counts streams; `cuts` says after how many bytes each of the next ones ends, and how."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` gives the nanoseconds since 1970."""
        self.clock = clock
        self.printed = b""
        self.files: list[list[tuple[int, bytearray]]] = [[]]
        self.over = False
        self.hangs = False  #: a follow of the container that is over never ends
        self.still = asyncio.Event()  #: follows stand still until it is set
        self.still.set()
        self.mute = 0  #: follows up to this number bring nothing any more, and never end
        self.gone = False
        self.cuts: list[tuple[int, bool]] = []
        self.opened: list[str] = []
        self.chunk_bytes = 65536
        self.on_open: Callable[[int], None] = lambda _: None
        self._grown = asyncio.Event()

    def write(self, data: bytes, time_ns: int | None = None) -> None:
        self.printed += data
        file = self.files[-1]
        for line in data.splitlines(keepends=True) if b"\r" not in data else _split(data):
            if file and not file[-1][1].endswith(b"\n"):
                file[-1][1].extend(line)
            else:
                now = self.clock() if time_ns is None else time_ns
                file.append((max(now, file[-1][0] + 1 if file else 0), bytearray(line)))
        self.wake()

    def rotate(self) -> None:
        self.files.append([])
        self.wake()

    def end(self) -> None:
        self.over = True
        self.wake()

    def wake(self) -> None:
        self._grown.set()

    def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        self.opened.append("follow")
        return self._stream(since, follow=True)

    def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        self.opened.append("read")
        return self._stream(since, follow=False)

    async def _stream(self, since: datetime | None, *, follow: bool) -> AsyncIterator[bytes]:
        number = len(self.opened)
        self.on_open(number)
        if self.gone:
            raise LogUnavailable("pods not found", gone=True)
        left, fails = self.cuts.pop(0) if self.cuts else (1 << 60, False)
        file_number, line, sent, unheard = len(self.files) - 1, 0, 0, 0
        from_ns = 0 if since is None else int(since.timestamp()) * SECOND
        while True:
            if follow and number <= self.mute:
                await asyncio.Event().wait()
            if follow:
                await self.still.wait()
            self._grown.clear()
            out = bytearray()
            file = self.files[file_number]
            while line < len(file):
                time_ns, text = file[line]
                if time_ns >= from_ns:
                    out += (b"" if sent else stamp(time_ns)) + text[sent:]
                    sent = len(text)
                if not text.endswith(b"\n"):
                    break
                line, sent = line + 1, 0
            for start in range(0, len(out), self.chunk_bytes):
                chunk = bytes(out[start : start + min(self.chunk_bytes, left - start)])
                if chunk:
                    yield chunk
                if start + len(chunk) >= left:
                    break
            left -= len(out)
            if left <= 0:
                if fails:
                    raise LogUnavailable("connection reset")
                return
            if self.gone:
                return
            if follow and file_number + 1 < len(self.files):
                # It opens the newest, and once more for each rotation that it has not heard of yet.
                unheard += len(self.files) - file_number - 2
                file_number, line, sent = len(self.files) - 1, 0, 0
                continue
            if follow and unheard:
                unheard, line, sent = unheard - 1, 0, 0
                continue
            if not follow or (self.over and not self.hangs):
                return
            await self._grown.wait()


def _split(data: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]
