"""Readers who come back by cursor: over a websocket, server-sent events or NDJSON, to whichever replica, however often.

They stop in the middle of what came, as a client does that dies: what they had looked at by then they never ask for again.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from tests.support.api import PREFIX
from tests.support.patience import AWAY

Json = dict[str, Any]
Transport = Literal["websocket", "events", "ndjson"]
AGAIN_SECONDS = 0.05
_ACCEPT = {"events": "text/event-stream", "ndjson": "application/x-ndjson"}


class _Cut(Exception):
    """The reader has had enough of this connection, or of its silence."""


class RovingReader:
    """Follows something to its end. What it takes it was given once, unless the service gives it twice."""

    def __init__(
        self,
        pick: Callable[[], str],
        path: str,
        take: Callable[[Json], None],
        *,
        transport: Callable[[], Transport] = lambda: "websocket",
        stops_after: Callable[[], int | None] = lambda: None,
        silent_seconds: float = 30.0,
    ) -> None:
        """A reader of a path below the prefix, without a query.

        Args:
            pick: the URL of the service that it asks next
            path: of logs or events
            take: given each line, gap, and event, as the frames have them
            transport: by which it asks next
            stops_after: it cuts the next connection after so many of these; None: it never does
            silent_seconds: a connection that says nothing at all for so long, not even a ping, is left
        """
        self._pick, self._path, self._take = pick, path, take
        self._transport, self._stops_after, self._silent_seconds = transport, stops_after, silent_seconds
        self.end: str | None = None  #: the phase in the last frame
        self.cursor: str | None = None
        self.cuts: Counter[str] = Counter()  #: how connections ended before the end: "own", a close code, an error
        self._left: int | None = None

    async def read(self, seconds: float) -> None:
        """Read to the end, which must come within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while self.end is None:
                    self.cuts[await self._connect()] += 1
        except TimeoutError:
            raise AssertionError(f"{self._path} has not ended after {seconds} s: {dict(self.cuts)}") from None

    async def _connect(self) -> str:
        """One connection; how it ended."""
        self._left = self._stops_after()
        transport = self._transport()
        try:
            await (self._websocket() if transport == "websocket" else self._http(transport))
        except _Cut as cut:
            return str(cut)
        except ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else "cut")
        except InvalidStatus as refusal:
            if refusal.response.status_code not in AWAY:
                raise
        except (OSError, InvalidHandshake, InvalidMessage, httpx.TransportError) as error:
            if not isinstance(error, httpx.ConnectError | ConnectionRefusedError):
                return type(error).__name__
        else:
            return "end"
        await asyncio.sleep(AGAIN_SECONDS)  # it is not there just now
        return "away"

    async def _websocket(self) -> None:
        mark = f"?cursor={self.cursor}" if self.cursor else ""
        url = f"ws{self._pick().removeprefix('http')}{PREFIX}{self._path}{mark}"
        options: Json = {"compression": None, "proxy": None, "max_size": None, "open_timeout": self._silent_seconds}
        # Without pings of the client's own: how long it bears silence is said by `silent_seconds`.
        async with connect(url, ping_interval=None, **options) as socket:
            try:
                while self.end is None:
                    self._frame(json.loads(await self._in_time(socket.recv())))
            except _Cut:
                socket.transport.abort()
                raise

    async def _http(self, transport: Transport) -> None:
        headers, params = {"Accept": _ACCEPT[transport]}, {"follow": "true"}
        if self.cursor is not None and transport == "events":
            headers["Last-Event-ID"] = self.cursor
        elif self.cursor is not None:
            params["cursor"] = self.cursor
        url = f"{self._pick()}{PREFIX}{self._path}"
        timeout = httpx.Timeout(10, read=self._silent_seconds)
        async with (
            httpx.AsyncClient(trust_env=False, verify=False, timeout=timeout) as client,
            client.stream("GET", url, params=params, headers=headers) as answer,
        ):
            if answer.status_code in AWAY:
                raise _Cut("away")
            assert answer.status_code == httpx.codes.OK, await answer.aread()
            async for text in _lines(answer):
                for frame in _frames(text, transport):
                    self._frame(frame)
                if self.end is not None:
                    return

    async def _in_time(self, coming: Any) -> Any:
        try:
            async with asyncio.timeout(self._silent_seconds):
                return await coming
        except TimeoutError:
            raise _Cut("silent") from None

    def _frame(self, frame: Json) -> None:
        """Take what a frame holds, one by one, and stop where it is time to."""
        if frame["type"] == "end":
            self.end = frame["phase"]
            return
        for one in frame["lines"] if frame["type"] == "lines" else () if frame["type"] == "ping" else (frame,):
            self._take(one)
            self.cursor = one["cursor"]
            if self._left is not None:
                self._left -= 1
                if self._left <= 0:
                    raise _Cut("own")


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Whole lines: what stands before a cut is none."""
    held = b""
    async for chunk in answer.aiter_bytes():
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            yield line.decode()


def _frames(text: str, transport: Transport) -> Iterator[Json]:
    """What a line of the body says."""
    if transport == "ndjson" and text:
        one = json.loads(text)
        yield one if "type" in one else {"type": "lines", "lines": [one]}
    elif text.startswith("data: "):
        yield json.loads(text.removeprefix("data: "))
