"""An API server for tests, over plain HTTP: pods, events and logs, with each watch in the test's own hands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiohttp import web

WAIT_SECONDS = 5.0

#: Looks at a request first; what it returns is the answer, None lets the request through.
Interceptor = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def status_answer(code: int, reason: str, message: str, **details: Any) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details}
    return web.json_response(body, status=code)


class Watch:
    """One watch that a client has open."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self.version = request.query["resourceVersion"]
        self.namespace = request.match_info["namespace"]
        self._response = response
        self.ended = asyncio.Event()

    async def send(self, kind: str, obj: dict[str, Any]) -> None:
        await self.send_raw(json.dumps({"type": kind, "object": obj}).encode() + b"\n")

    async def send_raw(self, data: bytes) -> None:
        await self._response.write(data)

    def end(self) -> None:
        """End it cleanly."""
        self.ended.set()


class FakeApiServer:
    """Serves what is in `pods`. Versions grow with each change; `requests` has method and path of all that came."""

    def __init__(self) -> None:
        self.url = ""
        self.version = 100
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.log_body = b""
        self.intercept: Interceptor | None = None
        self._watches: dict[str, asyncio.Queue[Watch]] = {"pods": asyncio.Queue(), "events": asyncio.Queue()}
        self._open: list[Watch] = []
        root = "/api/v1/namespaces/{namespace}"
        application = web.Application(middlewares=[self._look])
        application.router.add_get(root + "/{kind:pods|events}", self._collection)
        application.router.add_post(root + "/pods", self._create)
        application.router.add_get(root + "/pods/{name}", self._get)
        application.router.add_delete(root + "/pods/{name}", self._delete)
        application.router.add_get(root + "/pods/{name}/log", self._log)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def __aenter__(self) -> FakeApiServer:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for watch in self._open:
            watch.end()
        await self._runner.cleanup()

    def put(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Make or change a pod; returns it with its version and UID."""
        self.version += 1
        metadata = pod["metadata"]
        metadata.setdefault("uid", f"uid-{metadata['name']}-{self.version}")
        metadata["resourceVersion"] = str(self.version)
        self.pods[metadata["namespace"], metadata["name"]] = pod
        return pod

    def remove(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Delete a pod; returns it with the version of its deletion."""
        self.version += 1
        metadata = pod["metadata"]
        del self.pods[metadata["namespace"], metadata["name"]]
        return pod | {"metadata": metadata | {"resourceVersion": str(self.version)}}

    async def next_watch(self, kind: str = "pods") -> Watch:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._watches[kind].get()

    def count(self, method: str, end: str) -> int:
        return sum(1 for verb, path in self.requests if verb == method and path.endswith(end))

    @web.middleware
    async def _look(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        verb = "WATCH" if "watch" in request.query else "LIST" if request.path.endswith(("/pods", "/events")) else "GET"
        self.requests.append((verb if request.method == "GET" else request.method, request.path))
        answer = await self.intercept(request) if self.intercept else None
        return answer if answer is not None else await handler(request)

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        namespace, kind = request.match_info["namespace"], request.match_info["kind"]
        if "watch" in request.query:
            return await self._watch(request, kind)
        items = [pod for (where, _), pod in sorted(self.pods.items()) if where == namespace]
        items = items if kind == "pods" else self.events
        start, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        metadata = {"resourceVersion": str(self.version)}
        if len(items) > start + limit:
            metadata["continue"] = str(start + limit)
        return web.json_response({"metadata": metadata, "items": items[start : start + limit]})

    async def _watch(self, request: web.Request, kind: str) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        watch = Watch(request, response)
        self._open.append(watch)
        self._watches[kind].put_nowait(watch)
        await watch.ended.wait()
        return response

    async def _create(self, request: web.Request) -> web.StreamResponse:
        pod = json.loads(await request.read())
        if (request.match_info["namespace"], pod["metadata"]["name"]) in self.pods:
            return status_answer(409, "AlreadyExists", f'pods "{pod["metadata"]["name"]}" already exists')
        return web.json_response(self.put(pod), status=201)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        pod = self.pods.get((request.match_info["namespace"], name))
        return web.json_response(pod) if pod else status_answer(404, "NotFound", f'pods "{name}" not found', kind="pods")

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        pod = self.pods.get((request.match_info["namespace"], request.match_info["name"]))
        if pod is None:
            return status_answer(404, "NotFound", "pods not found", kind="pods")
        return web.json_response(self.remove(pod))

    async def _log(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self.log_body)
