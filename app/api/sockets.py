"""What the server's sockets do beside uvicorn's own: a client that takes nothing is told so, and is cut off for good.

uvicorn says goodbye only when the client has taken what was sent before, and waits for ever for what is left to be taken.
"""

from __future__ import annotations

import socket

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

#: A connection whose client takes nothing of what was sent for so long is dropped by the system.
TAKES_NOTHING_SECONDS = 60


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's; a close is sent behind whatever waits for the client, so that it finds it there if it reads on."""

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
