"""HTTP to the API server: one session for calls and watches, one for log streams, both raw.

Its errors are ApiError and ApiUnreachable; what breaks while a stream is read is aiohttp's, for `unreachable` to translate.

Each request asks the cluster's credentials for its header; a 401 renews them once and the request is made again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from typing import Any

import aiohttp
import orjson

from app.pods.kubernetes.cluster import Cluster
from app.pods.kubernetes.errors import ApiError, ApiUnreachable, parse_error
from app.pods.port import Guard

CONNECT_SECONDS = 10.0
#: For a whole plain call. The API server itself gives up on a call after 60 s, webhooks take 10 s each by default.
CALL_SECONDS = 30.0
#: Idle connections are kept below the 90 s after which the API server closes them.
KEEPALIVE_SECONDS = 60.0
#: aiohttp pauses a socket at twice this size; its default would hold 4 MB for each log that is read slowly.
LOG_BUFFER_BYTES = 65_536
WATCH_BUFFER_BYTES = 1_048_576


def _open_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that notices a dead peer: a quiet watch or log carries no bytes by which it would show."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family=family, type=kind, proto=protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Absent on some systems; there the system's own, slower timing holds.
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


class _GuardedPayload(aiohttp.BytesPayload):
    """A request body that asks the guard with the connection in hand.

    aiohttp holds the request's head back to send it with the body, so nothing has left when the guard refuses, and no
    await stands between its answer and the write. aiohttp wraps what is raised here, hence `refusal`.
    """

    def __init__(self, value: bytes, guard: Guard) -> None:
        super().__init__(value, content_type="application/json")
        self._guard = guard
        self.refusal: Exception | None = None

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        try:
            self._guard()
        except Exception as exc:
            self.refusal = exc
            raise
        await super().write_with_length(writer, content_length)


class ApiClient:
    """The sessions. Enter it before use; leaving it closes every connection."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stack = AsyncExitStack()
        self._api: aiohttp.ClientSession
        self._logs: aiohttp.ClientSession

    async def __aenter__(self) -> ApiClient:
        async with AsyncExitStack() as stack:
            self._api = await stack.enter_async_context(self._open_session({}))
            # A log is one long stream of small writes: nothing is won by compressing it.
            self._logs = await stack.enter_async_context(self._open_session({"Accept-Encoding": "identity"}))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def _open_session(self, headers: Mapping[str, str]) -> aiohttp.ClientSession:
        # No limit: creates, deletes and watches are bounded by who makes them, and a full pool waits without a word.
        connector = aiohttp.TCPConnector(
            limit=0, ssl=self._cluster.ssl or True, keepalive_timeout=KEEPALIVE_SECONDS, socket_factory=_open_socket
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"podrun/{_version()}", "Accept": "application/json", **headers},
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        guard: Guard | None = None,
        timeout_seconds: float = CALL_SECONDS,
    ) -> bytes:
        """Make one plain call and return the body of its good answer.

        Args:
            method: of HTTP
            path: from the root of the API server
            params: the query
            body: becomes JSON; needed where there is a guard
            guard: asked right before the bytes are written; what it raises is raised, and nothing was sent
            timeout_seconds: for the whole call, connection included
        """
        data = orjson.dumps(body) if body is not None else None
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(CONNECT_SECONDS, timeout_seconds))
        try:
            async with self._request(self._api, method, path, params, timeout, data=data, guard=guard) as response:
                return await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise self.unreachable(exc) from exc

    @asynccontextmanager
    async def watch(
        self, path: str, params: Mapping[str, str], silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a watch. Reading raises TimeoutError after that much silence, and aiohttp's errors."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        async with self._request(self._api, "GET", path, params, timeout, read_bufsize=WATCH_BUFFER_BYTES) as response:
            yield response

    @asynccontextmanager
    async def log(
        self, path: str, params: Mapping[str, str], silence_seconds: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a log. With `silence_seconds` None it may be quiet for ever."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds)
        async with self._request(self._logs, "GET", path, params, timeout, read_bufsize=LOG_BUFFER_BYTES) as response:
            yield response

    @asynccontextmanager
    async def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp keeps it
        *,
        data: bytes | None = None,
        guard: Guard | None = None,
        read_bufsize: int | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, renew and send again on 401, and give the good answer."""
        for is_last in (False, True):
            header = await self._header()
            payload = _GuardedPayload(data or b"{}", guard) if guard else None
            options: dict[str, Any] = {"params": params, "timeout": timeout, "read_bufsize": read_bufsize}
            headers = {"Authorization": header} if header else {}
            if data is not None:
                headers["Content-Type"] = "application/json"
            try:
                response = await self._send(session, method, path, data=payload or data, headers=headers, **options)
            except aiohttp.ClientError:
                if payload is not None and payload.refusal is not None:
                    raise payload.refusal from None
                raise
            async with response:
                if response.status < 300:
                    yield response
                    return
                error = parse_error(response.status, await response.read(), response.headers.get("Retry-After"))
            if response.status != 401 or is_last:
                raise error
            await self._renew(header, error)

    async def _send(self, session: aiohttp.ClientSession, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        return await session.request(
            method,
            self._cluster.server + path,
            proxy=self._cluster.proxy,
            server_hostname=self._cluster.server_hostname,
            allow_redirects=False,
            **options,
        )

    async def _header(self) -> str | None:
        try:
            return await self._cluster.credentials.header()
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # whatever a plug-in's output makes the loaders raise
            raise ApiUnreachable("Unauthorized", f"no credentials for the API server: {type(exc).__name__}") from exc

    async def _renew(self, rejected: str | None, error: ApiError) -> None:
        try:
            await self._cluster.credentials.renew(rejected)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            raise error from exc

    def unreachable(self, exc: BaseException) -> ApiUnreachable:
        """The error for a call or stream that broke, in words that hold no header and no body."""
        if isinstance(exc, TimeoutError):
            return ApiUnreachable("Timeout", f"the API server at {self._cluster.server} did not answer in time")
        detail = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
        return ApiUnreachable("ConnectionError", f"the API server at {self._cluster.server} can't be reached: {detail}")


def _version() -> str:
    try:
        return metadata.version("podrun")
    except metadata.PackageNotFoundError:
        return "0"
