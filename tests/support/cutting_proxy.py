"""A proxy between browser and service that cuts followed streams in the middle of a frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 65_536


class CuttingProxy:
    """Passes bytes on, both ways; of a websocket it cuts as often as it was told to, each time within a frame."""

    def __init__(self, target: str) -> None:
        """`target` is the service's URL."""
        self.url = ""
        self.cuts = 0  #: how many connections it has cut
        self._left = 0
        self._path = ""
        self._target = urlsplit(target)
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self, times: int, path: str) -> None:
        """Cut the next websockets whose path ends so, each when the service has said something on it."""
        self._left, self._path = times, path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what one connection brings, to its end."""
        with suppress(OSError, asyncio.IncompleteReadError):
            there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            self._open |= {writer, there_writer}
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                there_writer.write(head)
                is_cut = b"upgrade: websocket" in head.lower() and self._is_meant(head)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, there_writer), name="to the service")
                    group.create_task(self._pass(there_reader, writer, is_cut=is_cut), name="from the service")
            except* OSError:
                pass
            finally:
                self._open -= {writer, there_writer}
                there_writer.transport.abort()
                writer.transport.abort()

    def close(self) -> None:
        """Drop all connections."""
        for writer in self._open:
            writer.transport.abort()

    def _is_meant(self, head: bytes) -> bool:
        path = head.split(b" ", 2)[1].split(b"?")[0].decode()
        return self._left > 0 and path.endswith(self._path)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_cut: bool = False) -> None:
        is_first = True
        while data := await reader.read(_CHUNK):
            # The first bytes are the answer to the handshake; a frame may come right with it.
            if is_cut and self._left > 0 and not is_first and len(data) > 8:
                self._left -= 1
                self.cuts += 1
                writer.write(data[: len(data) // 2])
                await writer.drain()
                raise ConnectionResetError("cut")
            is_first = False
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError("one side is done")


@asynccontextmanager
async def cutting_proxy(target: str) -> AsyncIterator[CuttingProxy]:
    """A proxy on a free port of 127.0.0.1, gone after the block."""
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
