"""Streams by cursor that survive a broken connection: nothing lost, nothing twice.

A stream is opened again behind the last cursor that arrived, for as long as the link's patience lasts between two frames.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from podrun.errors import ProblemError, ServerUnreachable, StreamRefused
from podrun.link import BUSY_STATUSES, MAX_SERVER_FAULTS, Busy, Link, Params, retry_after_seconds
from podrun.types import Frame

T = TypeVar("T")

#: The server pings each 15 s: a stream that is silent for longer is dead.
SILENCE_SECONDS = 50.0
OPEN_SECONDS = 10.0
#: Frames have at most 256 KiB; the rest is room for a newer server.
MAX_FRAME_BYTES = 4 * 1024 * 1024

_POLICY_VIOLATION = 1008
_INTERNAL_ERROR = 1011
#: What is told only to the first connection: the cursor says it afterwards.
_START_PARAMS = frozenset({"tail", "from_line", "cursor"})


class _Connect(connect):
    """A connection that follows no redirect, like the HTTP side: the token is for one server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def follow_frames(
    link: Link, path: str, params: Params, expand: Callable[[Frame], Sequence[T]]
) -> AsyncGenerator[T, None]:
    """Yield what a stream's frames hold, up to and with its `end`, over as many connections as it takes.

    Raises:
        ProblemError: The server refused the stream.
        ServerUnreachable: No frame came for as long as patience lasts.
        StreamRefused: The server ended the stream for good.
    """
    outage = link.outage()
    refusals = 0
    query = params
    while True:
        try:
            async with _open(link, path, query) as socket:
                link.answered = True
                while True:
                    frame = await _receive(socket)
                    outage.over()
                    refusals = 0
                    query = _resumed(query, frame)
                    for item in expand(frame):
                        yield item
                    if frame.get("type") == "end":
                        return
        except InvalidStatus as exc:
            await outage.pause(_refusal(link, exc))
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, ValueError) as exc:
            refusals += _closed_for_good(exc, refusals)
            await outage.pause(exc)


async def read_ndjson(link: Link, path: str, params: Params, expand: Callable[[Frame], Sequence[T]]) -> AsyncGenerator[T, None]:
    """Yield what the objects of an NDJSON body hold, opened again behind the last cursor where the connection breaks.

    Raises:
        ProblemError: The server refused.
        ServerUnreachable: Nothing came for as long as patience lasts.
    """
    outage = link.outage()
    query = params
    while True:
        try:
            async with link.open(path, query, "application/x-ndjson") as response:
                lines = _LineSplitter()
                async for chunk in response.aiter_bytes():
                    for line in lines.feed(chunk):
                        frame = _frame(line)
                        outage.over()
                        query = _resumed(query, frame)
                        for item in expand(frame):
                            yield item
                return
        except (httpx.TransportError, Busy) as exc:
            await outage.pause(exc)


async def read_bytes(link: Link, path: str, params: Params) -> AsyncGenerator[bytes, None]:
    """Yield a log's bytes as they were. There is no cursor in them: only a failure before the first byte is tried again.

    Raises:
        ProblemError: The server refused.
        ServerUnreachable: The connection broke.
    """
    outage = link.outage()
    started = False
    while True:
        try:
            async with link.open(path, params, "text/plain") as response:
                async for chunk in response.aiter_bytes():
                    started = True
                    yield chunk
                return
        except (httpx.TransportError, Busy) as exc:
            if started:
                raise ServerUnreachable(link.server, exc) from exc
            await outage.pause(exc)


def _open(link: Link, path: str, query: Params) -> connect:
    headers = {key: value for key, value in link.headers.items() if key != "User-Agent"}
    return _Connect(
        link.websocket_url(path, query),
        additional_headers=headers,
        user_agent_header=link.headers["User-Agent"],
        compression=None,
        open_timeout=OPEN_SECONDS,
        close_timeout=1,
        max_size=MAX_FRAME_BYTES,
    )


async def _receive(socket: ClientConnection) -> Frame:
    async with asyncio.timeout(SILENCE_SECONDS):
        return _frame(await socket.recv())


def _frame(data: str | bytes) -> Frame:
    frame: Any = json.loads(data)
    if not isinstance(frame, dict):
        raise ValueError("the server sent a frame that is no JSON object")  # noqa: TRY004 (what came is not valid)
    return frame


class _LineSplitter:
    """Splits at line feeds alone: JSON text may hold what `str.splitlines` takes for a line's end.

    What follows the last line feed is no line: the body was cut there.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        for end in ended:
            line = b"".join((*self._pieces, end))
            self._pieces.clear()
            if line.strip():
                yield line
        if rest:
            self._pieces.append(rest)


def _resumed(query: Params, frame: Frame) -> Params:
    """The query that goes on behind a frame."""
    cursor = _last_cursor(frame)
    return {key: value for key, value in query.items() if key not in _START_PARAMS} | {"cursor": cursor} if cursor else query


def _last_cursor(frame: Frame) -> str | None:
    """The cursor behind everything in a frame."""
    lines = frame.get("lines")
    cursor = lines[-1].get("cursor") if lines else None
    event = frame.get("event")
    return cursor or frame.get("cursor") or (event.get("cursor") if isinstance(event, dict) else None)


def _refusal(link: Link, exc: InvalidStatus) -> Busy:
    """What a refused handshake means: raised if for good, returned if it may pass."""
    response = exc.response
    problem: ProblemError = link.problem(
        response.status_code, response.headers.get("Content-Type", ""), bytes(response.body or b"")
    )
    if response.status_code not in BUSY_STATUSES | {500}:
        link.answered = True
        raise problem from exc
    return Busy(problem, retry_after_seconds(response.headers.get("Retry-After")))


def _closed_for_good(exc: Exception, refusals: int) -> int:
    """1 if this close counts as a refusal: 1008 and 1011 without a frame before them; too many in a row are final."""
    if not isinstance(exc, ConnectionClosed) or exc.rcvd is None or exc.rcvd.code not in {_POLICY_VIOLATION, _INTERNAL_ERROR}:
        return 0
    # After 1008 the next handshake says in words what turned bad (401, 404): only where it does not, this ends it.
    most = 1 if exc.rcvd.code == _POLICY_VIOLATION else MAX_SERVER_FAULTS
    if refusals >= most:
        raise StreamRefused(exc.rcvd.code, exc.rcvd.reason) from exc
    return 1
