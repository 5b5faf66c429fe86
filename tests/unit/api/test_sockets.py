"""What a connection may send before it comes to the point: how much, and for how long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.api.sockets import HEAD_SECONDS, MAX_HEAD_BYTES, HttpProtocol, WebSocketProtocol

POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _answer(_scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def connected() -> tuple[HttpProtocol, Transport]:
    config = uvicorn.Config(_answer, log_config=None, timeout_keep_alive=1000)
    config.load()
    protocol, transport = HttpProtocol(config=config, server_state=ServerState(), app_state={}), Transport()
    protocol.connection_made(transport)
    return protocol, transport


async def settle(protocol: HttpProtocol, transport: Transport) -> None:
    """Let the requests be answered, and the connection go."""
    while protocol.tasks:
        await asyncio.wait(protocol.tasks)
    if transport.is_closed:
        protocol.connection_lost(None)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"y"),
        (b"GET /", b"y"),
        (b"G", b"G"),
        (b"GET / HTTP/1.1\r\n", b"x"),
    ],
    ids=["headers", "value", "address", "method", "name"],
)
async def test_head__that_does_not_end__is_refused_when_it_is_too_large(begun: bytes, more: bytes) -> None:
    protocol, transport = connected()
    protocol.data_received(begun)
    sent = 0
    while not transport.is_closed:
        assert sent <= 2 * MAX_HEAD_BYTES, "it goes on for ever"
        protocol.data_received(more * (8192 // len(more)))
        sent += 8192
    assert transport.written.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    await settle(protocol, transport)


async def test_trailers__that_do_not_end__close_the_connection() -> None:
    protocol, transport = connected()
    protocol.data_received(POST + b"2\r\n{}\r\n0\r\n")
    for _ in range(20):
        if not transport.is_closed:
            protocol.data_received(b"X: y\r\n" * 1000)
    assert transport.is_closed
    protocol.connection_lost(None)
    await settle(protocol, transport)


async def test_body__however_large_and_slow__is_no_head() -> None:
    protocol, transport = connected()
    protocol.data_received(POST)
    for _ in range(20):
        protocol.data_received(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    protocol.data_received(b"0\r\n\r\n")
    await settle(protocol, transport)
    assert transport.written.startswith(b"HTTP/1.1 200 ")
    assert not transport.is_closed
    for _ in range(3):
        protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * (MAX_HEAD_BYTES // 2) + b"\r\n\r\n")
        await settle(protocol, transport)
    assert transport.written.count(b"HTTP/1.1 200 ") == 4
    protocol.connection_lost(None)


@pytest.mark.looptime
@pytest.mark.parametrize(("sent", "answer"), [(b"", b""), (b"GET / HTTP/1.1\r\nHos", b"HTTP/1.1 408 Request Timeout\r\n")])
async def test_head__that_does_not_come__is_given_up(sent: bytes, answer: bytes) -> None:
    protocol, transport = connected()
    if sent:
        protocol.data_received(sent)
    await asyncio.sleep(HEAD_SECONDS - 1)
    assert not transport.is_closed
    await asyncio.sleep(2)
    assert transport.is_closed
    assert transport.written.startswith(answer)
    await settle(protocol, transport)


@pytest.mark.looptime
async def test_head__of_a_second_request_that_does_not_come__is_given_up() -> None:
    protocol, transport = connected()
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await settle(protocol, transport)
    await asyncio.sleep(2 * HEAD_SECONDS)
    assert not transport.is_closed, "an idle connection is kept for as long as uvicorn keeps it"
    protocol.data_received(b"GET /")
    await asyncio.sleep(HEAD_SECONDS + 1)
    assert transport.is_closed
    assert b"HTTP/1.1 408 " in transport.written
    await settle(protocol, transport)


async def test_websocket__the_service_stops_before_it_is_open__503_and_when_to_come_again() -> None:
    opened = asyncio.Event()

    async def wait(_scope: Any, _receive: Any, _send: Any) -> None:
        opened.set()
        await asyncio.Event().wait()

    config = uvicorn.Config(wait, log_config=None)
    config.load()
    protocol, transport = WebSocketProtocol(config=config, server_state=ServerState(), app_state={}), Transport()
    protocol.connection_made(transport)
    protocol.data_received(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await asyncio.wait_for(opened.wait(), 5)
    protocol.shutdown()
    assert transport.written.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in transport.written
    for task in list(protocol.tasks):
        task.cancel()
        await asyncio.wait([task])
