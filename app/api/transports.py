"""Where a stream goes: a websocket, server-sent events, or a body that grows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from app.api.frames import PING, Frame, Piece
from app.api.security import SUBPROTOCOL
from app.api.streams import Ending, last_word, run_chunks, run_frames

_REASONS = {
    Ending.COMPLETE: "",
    Ending.NO_LONGER: "what was followed is no longer there",
    Ending.FAULT: "something went wrong inside podrun",
    Ending.STOPPING: "the service restarts: come back with the last cursor",
    Ending.STALLED: "nothing was read for too long: come back with the last cursor",
}


class _Socket:
    """Frames as text messages."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, frame: Frame) -> None:
        await self._websocket.send({"type": "websocket.send", "text": frame.data.decode()})

    async def wait_gone(self) -> None:
        while (await self._websocket.receive())["type"] != "websocket.disconnect":
            pass  # a client has nothing to say here


async def serve_websocket(websocket: WebSocket, source: AsyncGenerator[Piece, None], stopping: asyncio.Event) -> None:
    """Accept the websocket and send the source's frames, then close with the code that says why."""
    offered = websocket.scope.get("subprotocols") or ()
    # Only the protocol's name is echoed: the token may have come as another subprotocol.
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    ending = await run_frames(source, _Socket(websocket), stopping)
    if ending is not Ending.GONE:
        await last_word(websocket.close(ending.value, _REASONS[ending]))


class _Body:
    """The body of a response that has started."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send

    async def write(self, data: bytes) -> None:
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def wait_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Events(_Body):
    """Frames as server-sent events.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    async def send(self, frame: Frame) -> None:
        if frame is PING:
            await self.write(b": ping\n\n")
            return
        name = b"" if frame.cursor is None else b"id: " + frame.cursor.encode() + b"\n"
        await self.write(b"event: " + frame.type.encode() + b"\n" + name + b"data: " + frame.data + b"\n\n")


class EventStream(Response):
    """Answers with server-sent events.

    `start` is the cursor behind which they begin, where that is not the first event: a client that is cut off before the
    first one comes back with it.
    """

    media_type = "text/event-stream"

    def __init__(self, source: AsyncGenerator[Piece, None], stopping: asyncio.Event, *, start: str | None = None) -> None:
        # Proxies that gather what they pass on would hold events back.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._source, self._stopping, self._start = source, stopping, start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the events until the end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = _Events(receive, send)
        # Something at once, so that the client has its headers. An id without data is remembered, and no event.
        await body.write(b": podrun\n" + (f"id: {self._start}\n".encode() if self._start else b"") + b"\n")
        ending = await run_frames(self._source, body, self._stopping)
        if ending not in (Ending.GONE, Ending.STALLED):
            await last_word(body.finish())


class GrowingBody(Response):
    """Answers with bytes as they come.

    Where it is cut off before the source's end, the body stays unfinished, so that no client takes a part for the whole.
    """

    def __init__(self, source: AsyncGenerator[bytes, None], media_type: str, stopping: asyncio.Event) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._source, self._stopping = source, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send the body until the end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = _Body(receive, send)
        ending = await run_chunks(self._source, body.write, body.wait_gone, self._stopping)
        if ending is Ending.COMPLETE:
            await last_word(body.finish())
