"""Streams: one engine, three transports (websocket, server-sent events, a plain body that grows).

           source ──▶ queue (bounded) ──▶ pump: gather lines, pace, ping ──▶ transport
    disconnect, shutdown ─────────────────▶ end everything

The engine waits for data, for the client's leaving and for the service's stop side by side: a stream that waits for data alone
would hold up the stop. A client that takes nothing for `STALLED_SECONDS` is cut; one that is slow reads the store later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from enum import Enum
from typing import Protocol

import structlog
from starlette.websockets import WebSocketDisconnect

from app.api.frames import PING, EncodedLine, Frame, LineGatherer, Piece
from app.domain.errors import NotFound
from app.storage.errors import describe_outage, is_outage

PING_SECONDS = 15.0
#: A client whose socket took nothing for so long is cut.
STALLED_SECONDS = 30.0
#: Between two frames of lines, where there is less than a full one.
PACE_SECONDS = 0.05
#: How long a last word may take.
CLOSING_SECONDS = 2.0
#: Pieces that are read ahead for one client.
_AHEAD = 2

log = structlog.get_logger(__name__)


class Ending(Enum):
    """Why a stream is over; the value is the websocket's close code.

    Source: https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
    """

    COMPLETE = 1000  #: everything was sent
    GONE = 1001  #: the client left
    NO_LONGER = 1008  #: what was asked for is no longer there
    FAULT = 1011  #: our fault
    STOPPING = 1012  #: the service stops
    STALLED = 1013  #: the client took nothing


class _Ended(Exception):
    def __init__(self, ending: Ending) -> None:
        self.ending = ending
        super().__init__(ending.name)


class Transport(Protocol):
    """Where a stream goes."""

    async def send(self, frame: Frame) -> None:
        """Send a frame, or a ping in the transport's own way. Returns when the socket has room for more."""

    async def wait_gone(self) -> None:
        """Return when the client has left."""


async def run_frames(source: AsyncGenerator[Piece, None], transport: Transport, stopping: asyncio.Event) -> Ending:
    """Send a source's pieces until its `end` frame, or until something else ends it; the source is closed then."""
    queue: asyncio.Queue[Piece | None] = asyncio.Queue(_AHEAD)

    async def fill() -> None:
        async with aclosing(source) as pieces:
            async for piece in pieces:
                await queue.put(piece)
        await queue.put(None)

    return await _race([fill, _Pump(queue, transport).run], transport.wait_gone, stopping)


async def run_chunks(
    source: AsyncGenerator[bytes, None],
    send: Callable[[bytes], Awaitable[None]],
    wait_gone: Callable[[], Awaitable[None]],
    stopping: asyncio.Event,
) -> Ending:
    """Send a source's bytes as they come, until it ends, or until something else ends it; the source is closed then."""

    async def pump() -> None:
        async with aclosing(source) as chunks:
            async for chunk in chunks:
                await _sent(send(chunk))
        raise _Ended(Ending.COMPLETE)

    return await _race([pump], wait_gone, stopping)


async def _race(
    workers: list[Callable[[], Awaitable[None]]], wait_gone: Callable[[], Awaitable[None]], stopping: asyncio.Event
) -> Ending:
    """Run side by side until one of them raises _Ended, or fails."""

    async def watch_gone() -> None:
        await wait_gone()
        raise _Ended(Ending.GONE)

    async def watch_stopping() -> None:
        await stopping.wait()
        raise _Ended(Ending.STOPPING)

    async def run(worker: Callable[[], Awaitable[None]]) -> None:
        await worker()

    try:
        async with asyncio.TaskGroup() as group:
            for worker in (*workers, watch_gone, watch_stopping):
                group.create_task(run(worker), name="stream")
    except ExceptionGroup as group_error:
        return _ending(_leaves(group_error))
    raise AssertionError("a stream ends by an exception")


def _ending(errors: Sequence[Exception]) -> Ending:
    failed = [error for error in errors if not isinstance(error, _Ended | NotFound)]
    if failed:
        if is_outage(failed[0]):  # no fault of ours, and it is every stream's: a line each
            log.warning("a stream failed", error=describe_outage(failed[0]))
        else:
            log.error("a stream failed", exc_info=failed[0])
        return Ending.FAULT
    endings = {error.ending if isinstance(error, _Ended) else Ending.NO_LONGER for error in errors}
    return next(ending for ending in Ending if ending in endings)


def _leaves(group: ExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, ExceptionGroup) else [error])
    return found


async def _sent(sending: Awaitable[None]) -> None:
    """Wait until it is sent. Raises _Ended where the client takes nothing, or has left."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await sending
    except TimeoutError as error:
        raise _Ended(Ending.STALLED) from error
    except (OSError, WebSocketDisconnect) as error:
        raise _Ended(Ending.GONE) from error


async def last_word(saying: Awaitable[None]) -> None:
    """Say goodbye, but do not wait long for it: the client may be what is wrong."""
    with suppress(OSError, RuntimeError, WebSocketDisconnect):  # TimeoutError is an OSError
        async with asyncio.timeout(CLOSING_SECONDS):
            await saying


class _Pump:
    """Takes pieces from the queue and sends frames.

    The first lines go at once. What comes soon after is gathered until PACE_SECONDS have passed or a frame is full.
    """

    def __init__(self, queue: asyncio.Queue[Piece | None], transport: Transport) -> None:
        self._queue, self._transport = queue, transport
        self._clock = asyncio.get_running_loop().time
        self._lines = LineGatherer()
        self._due: float | None = None  # when the lines that wait must go
        self._lines_sent_at = float("-inf")

    async def run(self) -> None:
        """Pump until the end. Raises _Ended."""
        ping_at = self._clock() + PING_SECONDS
        while True:
            is_in_time, piece = await self._next(ping_at if self._due is None else min(ping_at, self._due))
            if is_in_time:
                await self._take(piece)
            now = self._clock()
            if self._due is not None and now >= self._due:
                await self._flush()
            if now >= ping_at:
                await _sent(self._transport.send(PING))
                ping_at = now + PING_SECONDS

    async def _next(self, until: float) -> tuple[bool, Piece | None]:
        with suppress(asyncio.QueueEmpty):
            return True, self._queue.get_nowait()
        try:
            async with asyncio.timeout_at(until):
                return True, await self._queue.get()
        except TimeoutError:
            return False, None

    async def _take(self, piece: Piece | None) -> None:
        if isinstance(piece, list):
            await self._gather(piece)
            return
        if not self._lines.is_empty:
            await self._flush()
        if piece is None:
            raise _Ended(Ending.FAULT)  # a source that is whole ends with its `end` frame
        await _sent(self._transport.send(piece))
        if piece.type == "end":
            raise _Ended(Ending.COMPLETE)

    async def _gather(self, lines: list[EncodedLine]) -> None:
        self._lines.add(lines)
        while self._lines.is_full:
            await self._send_lines()
        if not self._lines.is_empty and self._due is None:
            self._due = max(self._clock(), self._lines_sent_at + PACE_SECONDS)

    async def _flush(self) -> None:
        while not self._lines.is_empty:
            await self._send_lines()
        self._due = None

    async def _send_lines(self) -> None:
        await _sent(self._transport.send(self._lines.take()))
        self._lines_sent_at = self._clock()
