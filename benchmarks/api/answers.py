"""Bytes of HTTP as clients need them that must be light: what a request looks like, and when an answer is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

HOST = "127.0.0.1"
_BODILESS = (b"HTTP/1.1 304", b"HTTP/1.1 204")
_LENGTH = b"\r\ncontent-length:"


def request_bytes(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request on a connection that is kept."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def whole_length(data: bytes) -> int | None:
    """How long the answer is that begins here; None: its head is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if data.startswith(_BODILESS):
        return end + 4
    head = data[: end + 2].lower()
    at = head.find(_LENGTH)
    if at < 0:
        raise ValueError(f"an answer without length: {head[:300]!r}")
    at += len(_LENGTH)
    return end + 4 + int(head[at : head.index(b"\r\n", at)])


class OneAnswer(asyncio.Protocol):
    """A connection that asks one thing at a time, and says when the whole answer is there."""

    def __init__(self, status: int, done: Callable[[OneAnswer], None]) -> None:
        self._status, self._done = f"HTTP/1.1 {status} ".encode(), done
        self.transport: asyncio.Transport | None = None
        self.received = b""
        self.due = 0.0  #: for whoever measures from another time than that of the sending
        self._is_waiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # what it is
        """See asyncio.Protocol."""
        self.transport = transport

    def send(self, request: bytes) -> None:
        """Ask. The answer before has come."""
        assert self.transport is not None
        self.received, self._is_waiting = b"", True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self.received += data
        length = whole_length(self.received)
        if length is None or len(self.received) < length:
            return
        if len(self.received) > length or not self.received.startswith(self._status):
            raise ValueError(f"not the answer that was to come: {self.received[:600]!r}")
        self._is_waiting = False
        self._done(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._is_waiting:
            raise ConnectionError("the connection was lost before its answer came") from exc


async def connected(port: int, status: int, done: Callable[[OneAnswer], None]) -> OneAnswer:
    """A connection to that port of this machine, on which answers with this status are to come."""
    _, protocol = await asyncio.get_running_loop().create_connection(lambda: OneAnswer(status, done), HOST, port)
    return protocol
