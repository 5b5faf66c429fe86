"""What the server's sockets do beside uvicorn's own: who takes nothing, or never comes to the point, is told so and cut off.

uvicorn says goodbye only when the client has taken what was sent before, and waits for ever for what is left to be taken; it
also keeps whatever comes before a request's head is complete, however much that is and however long it takes.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: A connection whose client takes nothing of what was sent for so long is dropped by the system.
TAKES_NOTHING_SECONDS = 60
#: Of a request's head, of the trailers of a body, and of all else between two pieces of a body, about.
MAX_HEAD_BYTES = 64 * 1024
#: In which a request's head has to come, from its first byte or from the beginning of the connection.
HEAD_SECONDS = 30.0


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's; a request's head that is too large or does not come is answered 431 or 408, and the connection closed."""

    _head_bytes = 0  # received since the last piece of a body, the end of a head or of a request
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or not self._head_bytes:
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._head_timer is None and self._is_idle:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._head_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self._head_bytes = 0
        super().on_message_complete()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is under way, so that something can be answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        self._stop_waiting()
        if self._is_idle and self._head_bytes:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's; a close is sent behind whatever waits for the client, so that it finds it there if it reads on.

    A handshake that the service's stop meets is answered 503, which clients take for what it is: come again.
    """

    def shutdown(self) -> None:
        """See uvicorn, which would answer 500."""
        if self.handshake_complete or self.initial_response is not None or self.close_sent:
            super().shutdown()
            return
        self.stop_keepalive()
        response = self.conn.reject(HTTPStatus.SERVICE_UNAVAILABLE, "The service is being stopped.\n")
        response.headers["Retry-After"] = "1"
        self.conn.send_response(response)
        self.transport.write(b"".join(self.conn.data_to_send()))

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI."""
        if message["type"] == "websocket.close" and self.handshake_complete:
            self.writable.set()  # nothing else is sent any more
        await super().send(message)


def drop_silent_clients(listening: socket.socket) -> None:
    """Have the system drop connections of the socket whose clients take nothing. Elsewhere than on Linux they stay.

    Source: tcp(7), TCP_USER_TIMEOUT; a connection has the option of the socket that it was accepted on.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKES_NOTHING_SECONDS * 1000)
