"""Many who wait for the same: requests that are answered, and websockets that are told, when something happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.api.answers import HOST, OneAnswer, connected
from tests.support.process_cost import cpu_seconds

#: Connections opened at the same time.
AT_ONCE = 50
QUIET_SECONDS, QUIET_CPU_SECONDS = 0.5, 0.03


class Socket(asyncio.Protocol):
    """A websocket that says when it is open, and when a text frame with the marker in it has come."""

    def __init__(self, request: bytes, marker: bytes, opened: Callable[[], None], told: Callable[[], None]) -> None:
        self._request, self._marker, self._opened, self._told = request, marker, opened, told
        self._received = b""
        self._is_open = self._is_told = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # what it is
        """See asyncio.Protocol."""
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += data
        if not self._is_open and (end := self._received.find(b"\r\n\r\n")) >= 0:
            if not self._received.startswith(b"HTTP/1.1 101 "):
                raise ValueError(f"no websocket: {self._received[:600]!r}")
            self._received, self._is_open = self._received[end + 4 :], True
            self._opened()
        while self._is_open and (frame := self._take_frame()) is not None:
            if not self._is_told and self._marker in frame:
                self._is_told = True
                self._told()

    def _take_frame(self) -> bytes | None:
        """The payload of the next frame that is there. Source: https://www.rfc-editor.org/rfc/rfc6455#section-5.2 ."""
        received = self._received
        if len(received) < 4:
            return None
        length, at = received[1] & 0x7F, 2
        if length >= 126:
            at = 4 if length == 126 else 10
            length = int.from_bytes(received[2:at])
        if len(received) < at + length:
            return None
        self._received = received[at + length :]
        return received[at : at + length]

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._is_told:
            raise ConnectionError("the websocket was lost before it was told") from exc


class Watchers:
    """All of them, one trigger, and how long it took until the last of them knew."""

    def __init__(
        self, *, port: int, pid: int, poll: str, polls: int, socket: str, sockets: int, marker: str, trigger: str
    ) -> None:
        """`poll`, `socket` and `trigger` are requests; `marker` is in the frame that is waited for; `pid` is the server's."""
        self._port, self._pid = port, pid
        self._poll, self._socket, self._trigger = poll.encode(), socket.encode(), trigger.encode()
        self._polls, self._sockets, self._marker = polls, sockets, marker.encode()
        self._opened = self._told = 0
        self._all_opened, self._all_told = asyncio.Event(), asyncio.Event()

    async def measure(self) -> float:
        """Seconds from the sending of the trigger until the last one knew."""
        triggering = await connected(self._port, 202, lambda _: None)
        async with asyncio.timeout(25):  # less than the requests wait
            await self._many(self._sockets, self._open_socket)
            await self._many(self._polls, self._open_poll)
            if self._sockets:
                await self._all_opened.wait()
            await self._server_is_quiet()
        if self._told:
            raise RuntimeError(f"{self._told} knew before there was anything to know")
        began = time.perf_counter()
        triggering.send(self._trigger)
        async with asyncio.timeout(60):
            await self._all_told.wait()
        return time.perf_counter() - began

    async def _many(self, count: int, opened: Callable[[], Coroutine[Any, Any, None]]) -> None:
        for first in range(0, count, AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, count - first)):
                    group.create_task(opened())

    async def _open_socket(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            lambda: Socket(self._socket, self._marker, self._one_opened, self._one_told), HOST, self._port
        )

    async def _open_poll(self) -> None:
        (await connected(self._port, 200, self._one_answered)).send(self._poll)

    async def _server_is_quiet(self) -> None:
        """Until all requests have been taken in: the server computes no more."""
        before = -1.0
        while (now := cpu_seconds(self._pid)) - before > QUIET_CPU_SECONDS:
            before = now
            await asyncio.sleep(QUIET_SECONDS)

    def _one_opened(self) -> None:
        self._opened += 1
        if self._opened == self._sockets:
            self._all_opened.set()

    def _one_answered(self, _answer: OneAnswer) -> None:
        self._one_told()

    def _one_told(self) -> None:
        self._told += 1
        if self._told == self._polls + self._sockets:
            self._all_told.set()
