"""A client's patience: a request is made again while the service is away, or says that it is."""

from __future__ import annotations

import asyncio
import time

import httpx

AGAIN_SECONDS = 0.1
#: The service, or what stands before it, is not there just now.
AWAY = frozenset({502, 503})
#: Headers that say how the body came, which was read here.
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


class PatientTransport(httpx.AsyncBaseTransport):
    """Makes each request again until it was answered, for so many seconds. The request may have been done all the same.

    Bodies must be bytes: a stream could not be sent again.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, patience_seconds: float) -> None:
        self._inner, self._patience_seconds = inner, patience_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                response = await self._inner.handle_async_request(request)
                if response.status_code not in AWAY or time.monotonic() > deadline:
                    # Cut in the middle of its body, an answer is none.
                    body = await response.aread()
                    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
                    return httpx.Response(response.status_code, headers=headers, content=body, request=request)
                await response.aclose()
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)

    async def aclose(self) -> None:
        await self._inner.aclose()
