"""A proxy over plain HTTP before the real API server, for services in tests, which makes happen what a network does.

It lives in a thread and an event loop of its own: nothing that a test does stalls it. Its methods may be called from any
thread. What it does to requests is told by rules (see `api_faults`), which come and go at any time; what passed is in `calls`.
Where the API server can't be reached, the proxy cuts the connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import uvloop
from aiohttp import web
from yarl import URL

from app.pods.kubernetes.cluster import Cluster, load_cluster
from tests.support.api_faults import Action, Answer, Break, Call, Delay, Drop, Garbage, Lose, Match, Rule, Trickle
from tests.support.ports import free_port

START_SECONDS = 20.0
#: The Kubernetes client keeps certificates in files that all threads share: one could read what another one is writing.
_LOADING = threading.Lock()
#: What was written is with the caller then.
FLUSH_SECONDS = 0.05
#: Of a connection: not passed on, as each side has its own.
_HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length", "authorization"})


class Stream:
    """The body of an answer on its way. Only the proxy's own thread may touch it."""

    def __init__(self, call: Call, request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> None:
        self.call = call
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.last_words: bytes | None = None  #: set: the body ends, with these
        self._request, self._upstream = request, upstream

    def do(self, how: str, say: bytes = b"") -> None:
        """As Break has it; or, with `speak`, end a silence."""
        self.call.faults.append(how)
        if how == "cut":
            _abort(self._request)
        elif how == "end":
            self.last_words = say
            self.speaks.set()
            self._upstream.close()  # its reader wakes up, finds the last words and ends the body
        elif how == "silence":
            self.speaks.clear()
        elif how == "speak":
            self.speaks.set()


class ApiProxy:
    """A context manager: the proxy to the cluster of KUBECONFIG lives as long as the block."""

    def __init__(self, *, page_limit: int | None = None) -> None:
        """`page_limit` makes the pages of all lists so small, whatever is asked for."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._page_limit = page_limit
        self._calls: list[Call] = []
        self._failures: list[Exception] = []
        self._rules: tuple[Rule, ...] = ()
        self._rules_lock = threading.Lock()
        self._streams: set[Stream] = set()
        self._listener: asyncio.Server | None = None
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name=f"api proxy {self.port}", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._server: web.Server
        self._cluster: Cluster
        self._session: aiohttp.ClientSession

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(START_SECONDS)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(START_SECONDS)
        assert not self._failures, f"the proxy failed: {self._failures[0]!r}"

    def write_kubeconfig(self, path: Path, namespace: str = "default") -> Path:
        """Write a kubeconfig that leads here, and return its path."""
        context = {"cluster": "proxy", "user": "proxy", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": context}],
        }
        path.write_text(json.dumps(config))
        return path

    # What it does to requests.

    def add(self, action: Action, *, verb: str = "", resource: str = "", name: str = "", query: str = "", **which: Any) -> Rule:
        """Do this to the requests that match, from now on; `which` are the options of Rule. Several rules add up."""
        rule = Rule(action, Match(verb=verb, resource=resource, name=name, query=query), **which)
        with self._rules_lock:
            self._rules += (rule,)
        return rule

    def remove(self, *rules: Rule) -> None:
        """Stop doing that. Streams that are silent stay so, delays under way end in time."""
        with self._rules_lock:
            self._rules = tuple(rule for rule in self._rules if rule not in rules)

    def clear(self) -> None:
        """No rule from now on, and silent streams speak again."""
        with self._rules_lock:
            self._rules = ()
        self.now("speak")

    @contextmanager
    def rule(self, action: Action, **match: Any) -> Iterator[Rule]:
        """A rule for the time of the block."""
        rule = self.add(action, **match)
        try:
            yield rule
        finally:
            self.remove(rule)

    def now(self, how: str, say: bytes = b"", **match: str) -> int:
        """Do it at once to the open streams that match (see Break, and `speak`); returns to how many."""

        async def act() -> int:
            wanted = Match(**match)
            streams = [stream for stream in self._streams if wanted.takes(stream.call)]
            for stream in streams:
                stream.do(how, say)
            return len(streams)

        return self._wait(act())

    @contextmanager
    def away(self) -> Iterator[None]:
        """For the time of the block connections are refused, and all that were there are cut."""
        self._wait(self._stop_listening())
        try:
            yield
        finally:
            self._wait(self._listen())

    # What passed.

    @property
    def calls(self) -> list[Call]:
        """All requests so far, in order."""
        return list(self._calls)

    def find(self, since: float = 0.0, **match: str) -> list[Call]:
        """The requests that match and came after that time of the monotonic clock."""
        wanted = Match(**match)
        return [call for call in self.calls if call.at >= since and wanted.takes(call)]

    def busiest(self, since: float = 0.0, seconds: float = 1.0, **match: str) -> tuple[int, str]:
        """The most requests for one thing within so many seconds, and which thing: its verb and path, and what it creates."""
        times: dict[str, list[float]] = defaultdict(list)
        for call in self.find(since, **match):
            created = f" {call.name}" if call.verb == "create" else ""
            times[f"{call.verb} {call.path}{created}"].append(call.at)
        worst = (0, "nothing")
        for thing, all_at in times.items():
            first = 0
            for last, at in enumerate(all_at):
                while all_at[first] < at - seconds:
                    first += 1
                worst = max(worst, (last - first + 1, thing))
        return worst

    # Its own thread.

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _live(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        with _LOADING:
            self._cluster = await load_cluster()
        # A caller that goes takes its request to the API server with it.
        self._server = web.Server(self._handle, handler_cancellation=True, access_log=None, logger=_quiet())
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._cluster.ssl or True, keepalive_timeout=30)
            self._session = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector,
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
                )
            )
            await self._listen()
            self._started.set_result(None)
            await self._stopped.wait()
            await self._stop_listening()
            await self._server.shutdown(1)
        await asyncio.sleep(0.05)  # transports close in the loop's next turns

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(self._server, "127.0.0.1", self.port, backlog=512)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0.01)  # handlers are told of it in the loop's next turns

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._do(request)
        except _Over:
            raise
        except (OSError, aiohttp.ClientError) as exc:
            raise _cut(request) from exc
        except Exception as exc:
            self._failures.append(exc)
            raise

    async def _do(self, request: web.BaseRequest) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        call = Call.parse(request.method, request.path, request.rel_url.raw_query_string, agent)
        self._calls.append(call)
        body = await request.read()
        call.read_name(body)
        actions = [rule.action for rule in self._rules if rule.applies(call)]
        call.faults += [str(action) for action in actions]
        for action in actions:
            if isinstance(action, Delay) and not action.after:
                await asyncio.sleep(action.seconds)
        for action in actions:
            if isinstance(action, Answer | Garbage | Drop):
                return self._answer(call, request, action)
        return await self._pass_on(call, request, body, actions)

    def _answer(self, call: Call, request: web.BaseRequest, action: Answer | Garbage | Drop) -> web.StreamResponse:
        if isinstance(action, Answer):
            call.status = action.code
            headers = {"Retry-After": str(action.retry_after)} if action.retry_after is not None else {}
            return web.Response(status=action.code, body=action.body(), content_type="application/json", headers=headers)
        if isinstance(action, Garbage) and action.is_http:
            call.status = 200
            return web.Response(body=action.data, content_type="application/json")
        if isinstance(action, Garbage):
            assert request.transport is not None
            request.transport.write(action.data)  # type: ignore[attr-defined]  # it is one that writes
            request.transport.close()  # once that is written
            raise _Over
        raise _cut(request)

    async def _pass_on(self, call: Call, request: web.BaseRequest, body: bytes, actions: list[Action]) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_HEADERS]
        header = await self._cluster.credentials.header()
        if header:
            headers.append(("Authorization", header))
        path = request.rel_url.raw_path_qs
        if self._page_limit is not None:
            path = str(URL(path, encoded=True).update_query(limit=self._page_limit)) if "limit=" in path else path
        url = URL(self._cluster.server + path, encoded=True)
        call.is_passed = True
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False,
            server_hostname=self._cluster.server_hostname,
        ) as upstream:  # fmt: skip
            try:
                return await self._pass_back(call, request, upstream, actions)
            finally:  # what was not read to its end is not waited for
                if upstream.connection is not None and upstream.connection.transport is not None:
                    upstream.connection.transport.abort()  # type: ignore[attr-defined]  # it is one that aborts

    async def _pass_back(
        self, call: Call, request: web.BaseRequest, upstream: aiohttp.ClientResponse, actions: list[Action]
    ) -> web.StreamResponse:
        if any(isinstance(action, Lose) for action in actions):
            await upstream.read()
            raise _cut(request)
        for action in actions:
            if isinstance(action, Delay) and action.after:
                await asyncio.sleep(action.seconds)
        headers = [(name, value) for name, value in upstream.headers.items() if name.lower() not in _HOP_HEADERS]
        response = web.StreamResponse(status=upstream.status, headers=headers)
        if upstream.content_length is not None:
            response.content_length = upstream.content_length
        else:
            response.enable_chunked_encoding()
        call.status = upstream.status
        await response.prepare(request)
        stream = Stream(call, request, upstream)
        self._streams.add(stream)
        breaks = next((action for action in actions if isinstance(action, Break)), None)
        pace = next((action.bytes_per_second for action in actions if isinstance(action, Trickle)), None)
        try:
            await self._pump(stream, _Out(response, pace), upstream, breaks)
        except aiohttp.ClientError:
            if stream.last_words is None:
                raise
        finally:
            self._streams.discard(stream)
        if stream.last_words:
            await response.write(stream.last_words)
        await response.write_eof()
        return response

    async def _pump(self, stream: Stream, out: _Out, upstream: aiohttp.ClientResponse, breaks: Break | None) -> None:
        """Pass the body on as it comes, until the break, if there is one."""
        left = breaks.after_bytes if breaks is not None and breaks.after_bytes else None
        if breaks is not None and breaks.after_seconds is not None:
            self._loop.call_later(breaks.after_seconds, stream.do, breaks.how, breaks.say)
        elif breaks is not None and left is None:
            stream.do(breaks.how, breaks.say)
        async for chunk in upstream.content.iter_any():
            await stream.speaks.wait()
            if stream.last_words is not None:  # it was ended while it was silent
                return
            if left is None or breaks is None or len(chunk) < left:
                left = left - len(chunk) if left is not None else None
                await out.write(chunk)
                continue
            end = chunk.find(b"\n", left - 1) + 1 if breaks.how == "end" and not breaks.exactly else left
            if not end:  # the line that is to be the last is not whole yet
                left = 1
                await out.write(chunk)
                continue
            left = None
            await out.write(chunk[:end])
            if breaks.exactly:
                await asyncio.sleep(FLUSH_SECONDS)
            stream.do(breaks.how, breaks.say)
            if breaks.how == "end":
                return
            await stream.speaks.wait()
            if stream.last_words is not None:
                return
            await out.write(chunk[end:])


class _Out:
    """The way back to the caller, at its pace."""

    def __init__(self, response: web.StreamResponse, bytes_per_second: int | None) -> None:
        self._response, self._pace = response, bytes_per_second

    async def write(self, data: bytes) -> None:
        if self._pace is None:
            await self._response.write(data)
            return
        step = max(1, self._pace // 10)
        for start in range(0, len(data), step):
            await self._response.write(data[start : start + step])
            await asyncio.sleep(step / self._pace)


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()  # type: ignore[attr-defined]  # it is one that aborts


class _Over(ConnectionResetError):
    """The connection is broken or closed; the server takes it for a caller that went."""


def _cut(request: web.BaseRequest) -> _Over:
    """Break the connection; raise what comes back."""
    _abort(request)
    return _Over()


def _quiet() -> logging.Logger:
    """Cut connections are nothing to write of."""
    logger = logging.getLogger(f"{__name__}.quiet")
    logger.disabled = True
    return logger
