"""A service that follows the contract as far as the client uses it, and fails where a test says so. Nothing runs in it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

DROP = "drop"  #: do the work, then break the connection instead of answering


class FakeService:
    """What the fake says and what it was asked. Change it between requests; `reset` before each test."""

    def __init__(self) -> None:
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.token: str | None = None
        self.runs: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.by_key: dict[str, str] = {}
        self.workflows: dict[str, list[dict[str, Any]]] = {}  #: name → documents, the newest last
        self.paused: set[str] = set()
        self.schedule: dict[str, Any] | None = None  #: of each stored workflow
        self.bodies: list[bytes] = []
        self.asked: list[tuple[str, str, dict[str, str]]] = []  #: method, path with query, headers
        self.troubles: list[int | str] = []  #: what the next requests meet: a status, or DROP
        self.cuts: list[tuple[int, int]] = []  #: of the next streams: frames until the cut, and its close code
        self.refusal: dict[str, Any] | None = None  #: the problem that a submitted or validated workflow meets
        self.ignores_cancel = False
        self.cancelled = threading.Event()  #: somebody asked to cancel a run
        self.polled = threading.Event()  #: somebody waits for a run

    def add_run(self, run_id: str, phase: str = "Succeeded", *, polls: int = 0, **fields: Any) -> dict[str, Any]:
        """Add a run that is finished after it was asked for `polls` times."""
        run = {"id": run_id, "workflow": "hello", "phase": phase, "is_finished": True, "version": 1, "polls": polls}
        run |= {"created_at": "2026-01-02T03:04:05Z", "started_at": "2026-01-02T03:04:05Z"}
        run |= {"finished_at": "2026-01-02T03:04:07Z", "reason": None, "message": None, "task_phases": {}} | fields
        self.runs[run_id] = run
        self.tasks.setdefault(run_id, [])
        self.events.setdefault(run_id, [])
        self.lines.setdefault(run_id, [])
        return run

    def add_lines(self, run_id: str, *texts: str, task: str = "a", **fields: Any) -> None:
        lines = self.lines[run_id]
        for text in texts:
            number = len(lines)
            line = {"cursor": f"c{number}", "line": number, "time": "2026-01-02T03:04:05Z", "task": task}
            lines.append(line | {"attempt": 1, "container": "main", "text": text} | fields)

    def asked_for(self, method: str, part: str) -> list[tuple[str, dict[str, str]]]:
        return [(path, headers) for verb, path, headers in self.asked if verb == method and part in path]


def problem(status: int, title: str, **more: Any) -> JSONResponse:
    body = {"type": "about:blank", "status": status, "title": title, "detail": title} | more
    return JSONResponse(body, status, media_type="application/problem+json", headers={"Retry-After": "0"})


class _Gate:
    """In front of the routes: notes each request, asks for the token, makes the troubles."""

    def __init__(self, app: ASGIApp, fake: FakeService) -> None:
        self._app, self._fake = app, fake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fake, headers = self._fake, {key.decode(): value.decode() for key, value in scope["headers"]}
        fake.asked.append((scope["method"], f"{scope['path']}?{scope['query_string'].decode()}", headers))
        trouble = fake.troubles.pop(0) if fake.troubles else None
        if fake.token and headers.get("authorization") != f"Bearer {fake.token}":
            await problem(401, "Unauthorized")(scope, receive, send)
        elif isinstance(trouble, int):
            await problem(trouble, f"trouble {trouble}")(scope, receive, send)
        elif trouble == DROP:

            async def cut(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message = message | {"headers": [(b"content-length", b"100000")]}
                await send(message)

            await self._app(scope, receive, cut)
        else:
            await self._app(scope, receive, send)


API = "/api/v1"


def make_app(fake: FakeService) -> FastAPI:
    app = FastAPI(openapi_url=None)
    for add_routes in (_add_submission, _add_runs, _add_intents, _add_workflows, _add_lists, _add_logs, _add_streams):
        add_routes(app, fake)
    app.add_middleware(_Gate, fake=fake)
    return app


def _add_submission(app: FastAPI, fake: FakeService) -> None:
    @app.post(f"{API}/runs")
    async def submit(request: Request) -> Response:
        body = await request.body()
        fake.bodies.append(body)
        if fake.refusal:
            return problem(422, "The workflow is not valid", **fake.refusal)
        key = request.headers["idempotency-key"]
        if key not in fake.by_key:
            fake.by_key[key] = f"run-{len(fake.by_key) + 1}"
            if fake.by_key[key] not in fake.runs:
                fake.add_run(fake.by_key[key])
        return JSONResponse({key: value for key, value in fake.runs[fake.by_key[key]].items() if key != "polls"}, 201)

    @app.post(f"{API}/workflows/validate")
    async def validate(request: Request) -> Response:
        if fake.refusal:
            return problem(422, "The workflow is not valid", **fake.refusal)
        pods = {"pods": [{"metadata": {"name": "a"}}]} if request.query_params.get("pods") == "true" else {}
        return JSONResponse({"valid": True} | pods)

    @app.get(f"{API}/info")
    async def info() -> Response:
        return JSONResponse({"version": "0"})


def _add_runs(app: FastAPI, fake: FakeService) -> None:
    @app.get(API + "/runs/{run_id}")
    async def get_run(run_id: str, request: Request) -> Response:
        if run_id not in fake.runs:
            return problem(404, "Not Found", detail=f"there is no run {run_id!r}")
        if "wait" in request.query_params:
            fake.polled.set()
        run = fake.runs[run_id]
        now = dict(run)
        if run["polls"] > 0:
            run["polls"] -= 1
            now |= {"phase": "Running", "is_finished": False, "finished_at": None, "version": 1000 - run["polls"]}
        if request.query_params.get("include") == "tasks":
            now["tasks"] = fake.tasks[run_id]
        now.pop("polls")
        return JSONResponse(now, headers={"ETag": f'W/"{run_id}-{now["version"]}"'})

    @app.delete(API + "/runs/{run_id}")
    async def delete(run_id: str) -> Response:
        if run_id not in fake.runs:
            return problem(404, "Not Found")
        del fake.runs[run_id]
        return Response(status_code=204)

    @app.post(API + "/runs/{run_id}/cancel")
    async def cancel(run_id: str, request: Request) -> Response:
        fake.bodies.append(await request.body())
        if run_id not in fake.runs:
            return problem(404, "Not Found")
        if not fake.ignores_cancel:
            fake.runs[run_id] |= {"phase": "Cancelled", "polls": 0}
        fake.cancelled.set()
        return JSONResponse(fake.runs[run_id], 202)


def _add_intents(app: FastAPI, fake: FakeService) -> None:
    @app.post(API + "/runs/{run_id}/{intent}")
    @app.post(API + "/runs/{run_id}/tasks/{task}/{intent}")
    async def ask(run_id: str, intent: str, request: Request) -> Response:
        fake.bodies.append(await request.body())
        if run_id not in fake.runs:
            return problem(404, "Not Found")
        if fake.refusal:
            return problem(409, "Refused", **fake.refusal)
        run = fake.runs[run_id]
        if intent == "retry":
            if run.get("retried_at"):
                return problem(409, "The run is not finished")
            run["retried_at"] = "2026-01-02T04:00:00Z"
        elif intent in {"suspend", "resume"}:
            run["suspended"] = intent == "suspend"
        return JSONResponse({key: value for key, value in run.items() if key != "polls"}, 202)


def _stored(fake: FakeService, name: str, version: int | None = None) -> dict[str, Any]:
    number = version or len(fake.workflows[name])
    document, paused = fake.workflows[name][number - 1], name in fake.paused
    schedule = fake.schedule and fake.schedule | ({"next_at": None} if paused else {})
    params = {key: {"type": "string", "required": False} | spec for key, spec in document.get("params", {}).items() if spec}
    return {
        "name": name,
        "version": number,
        "paused": paused,
        "updated_at": "2026-01-02T03:04:05Z",
        "schedule": schedule,
        "params": params,
        "document": document,
    }


def _add_workflows(app: FastAPI, fake: FakeService) -> None:
    @app.put(API + "/workflows/{name}")
    async def put(name: str, request: Request) -> Response:
        fake.bodies.append(await request.body())
        if fake.refusal:
            return problem(422, "The workflow is not valid", **fake.refusal)
        versions, document = fake.workflows.setdefault(name, []), json.loads(fake.bodies[-1])
        if versions[-1:] != [document]:
            versions.append(document)
        return JSONResponse(_stored(fake, name))

    @app.get(f"{API}/workflows")
    async def list_workflows() -> Response:
        return JSONResponse({"items": [_stored(fake, name) for name in sorted(fake.workflows)], "next_cursor": None})

    @app.get(API + "/workflows/{name}")
    async def get(name: str, version: int | None = None) -> Response:
        if not 0 < (version or 1) <= len(fake.workflows.get(name, [])):
            return problem(404, "Not Found", detail=f"there is no workflow {name!r}")
        return JSONResponse(_stored(fake, name, version))

    @app.get(API + "/workflows/{name}/versions")
    async def versions(name: str) -> Response:
        items = [{"version": number, "created_at": "T"} for number in range(len(fake.workflows[name]), 0, -1)]
        return JSONResponse({"items": items, "next_cursor": None})

    @app.delete(API + "/workflows/{name}")
    async def delete(name: str) -> Response:
        return Response(status_code=204) if fake.workflows.pop(name, None) else problem(404, "Not Found")

    @app.post(API + "/workflows/{name}/{change}")
    async def change(name: str, change: str) -> Response:
        if name not in fake.workflows:
            return problem(404, "Not Found")
        (fake.paused.add if change == "pause" else fake.paused.discard)(name)
        return JSONResponse(_stored(fake, name))


def _add_lists(app: FastAPI, fake: FakeService) -> None:
    @app.get(f"{API}/runs")
    async def list_runs(cursor: int = 0, limit: int = 100) -> Response:
        # Two to a page at most, an empty page in the middle: the cursor alone says whether there is more.
        if cursor % 2:
            return JSONResponse({"items": [], "next_cursor": str(cursor + 1)})
        items = list(fake.runs.values())[cursor : cursor + min(limit, 2)]
        more = str(cursor + 1) if cursor + 2 < len(fake.runs) else None
        return JSONResponse({"items": items, "next_cursor": more})

    @app.get(API + "/runs/{run_id}/tasks")
    async def list_tasks(run_id: str, request: Request) -> Response:
        phases = request.query_params.getlist("phase")
        tasks = [task for task in fake.tasks[run_id] if not phases or task["phase"] in phases]
        return JSONResponse({"items": tasks, "next_cursor": None})

    @app.get(API + "/runs/{run_id}/events")
    async def events(run_id: str, cursor: str | None = None, tail: int | None = None) -> Response:
        items = _events(fake, run_id, cursor, tail)
        more = items[1]["cursor"] if len(items) > 2 else None  # pages of two
        return JSONResponse({"items": items[:2] if more else items, "next_cursor": more})


def _events(fake: FakeService, run_id: str, cursor: str | None, tail: int | None) -> list[dict[str, Any]]:
    assert cursor is None or tail is None, "the service refuses both"
    events = [event for event in fake.events[run_id] if cursor is None or event["cursor"] > cursor]
    return events if tail is None else events[max(0, len(events) - tail) :]


def _lines(fake: FakeService, run_id: str, task: str | None, cursor: str | None, tail: str | None) -> list[dict[str, Any]]:
    start = int(cursor[1:]) + 1 if cursor else 0
    lines = [line for line in fake.lines[run_id][start:] if task in {None, line["task"]}]
    return lines[-int(tail) :] if tail else lines


def _add_logs(app: FastAPI, fake: FakeService) -> None:
    @app.get(API + "/runs/{run_id}/logs")
    @app.get(API + "/runs/{run_id}/tasks/{task}/logs")
    async def logs(run_id: str, request: Request, task: str | None = None, cursor: str | None = None) -> Response:
        lines = _lines(fake, run_id, task, cursor, request.query_params.get("tail"))
        if "ndjson" not in request.headers["accept"]:
            return Response("".join(line["text"] + "\n" for line in lines), media_type="text/plain")
        most, _ = fake.cuts.pop(0) if fake.cuts else (len(lines), 0)
        bodies = [json.dumps(line).encode() + b"\n" for line in lines]
        # A length that is not reached is how a broken connection looks.
        headers = {"Content-Length": str(sum(map(len, bodies)))}

        async def written() -> Any:
            for body in bodies[:most]:
                yield body

        return StreamingResponse(written(), media_type="application/x-ndjson", headers=headers)


def _add_streams(app: FastAPI, fake: FakeService) -> None:
    @app.websocket(API + "/runs/{run_id}/logs")
    @app.websocket(API + "/runs/{run_id}/tasks/{task}/logs")
    async def follow_logs(websocket: WebSocket, run_id: str, task: str | None = None, cursor: str | None = None) -> None:
        lines = _lines(fake, run_id, task, cursor, websocket.query_params.get("tail"))
        frames = [line if line.get("type") == "gap" else {"type": "lines", "lines": [line]} for line in lines]
        await _stream(fake, websocket, run_id, frames)

    @app.websocket(API + "/runs/{run_id}/events")
    async def follow_events(websocket: WebSocket, run_id: str, cursor: str | None = None, tail: int | None = None) -> None:
        events = _events(fake, run_id, cursor, tail)
        frames = [{"type": "event", "cursor": event["cursor"], "event": event} for event in events]
        await _stream(fake, websocket, run_id, frames)


async def _stream(fake: FakeService, websocket: WebSocket, run_id: str, frames: list[dict[str, Any]]) -> None:
    headers = dict(websocket.headers)
    fake.asked.append(("WEBSOCKET", f"{websocket.url.path}?{websocket.url.query}", headers))
    trouble = fake.troubles.pop(0) if fake.troubles else None
    if fake.token and headers.get("authorization") != f"Bearer {fake.token}":
        await websocket.send_denial_response(problem(401, "Unauthorized"))
        return
    if isinstance(trouble, int):
        await websocket.send_denial_response(problem(trouble, f"trouble {trouble}"))
        return
    await websocket.accept()
    frames = [{"type": "ping"}, *frames, {"type": "end", "phase": fake.runs[run_id]["phase"]}]
    most, code = fake.cuts.pop(0) if fake.cuts else (len(frames), 1000)
    for frame in frames[:most]:
        await websocket.send_text(json.dumps(frame))
    with contextlib.suppress(RuntimeError):
        await websocket.close(code)


@contextlib.contextmanager
def served(fake: FakeService) -> Iterator[FakeService]:
    """Serve the fake on a free port from a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(make_app(fake), log_level="critical", ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="fake-service")
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.005)
            fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield fake
        finally:
            server.should_exit = True
            thread.join(10)
