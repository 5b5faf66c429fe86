"""The service's API in a test's hands: submit, wait, read tasks, events and logs, and follow over a websocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.support.patience import PatientTransport

Json = dict[str, Any]
PREFIX = "/api/v1"
#: How long a run may take where a test does not say.
RUN_SECONDS = 90.0
POLL_SECONDS = 0.05


@dataclass(kw_only=True)
class Followed:
    """What came over a stream of frames."""

    lines: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)
    gaps: list[Json] = field(default_factory=list)
    end: str | None = None  #: the phase in the frame `end`; None: the stream was cut
    cursor: str | None = None

    def add(self, frame: Json) -> None:
        """Take a frame."""
        if frame["type"] == "lines":
            self.lines += frame["lines"]
            self.cursor = frame["lines"][-1]["cursor"]
        elif frame["type"] == "event":
            self.events.append(frame["event"])
            self.cursor = frame["cursor"]
        elif frame["type"] == "gap":
            self.gaps.append(frame)
            self.cursor = frame["cursor"]
        elif frame["type"] == "end":
            self.end = frame["phase"]

    def text(self, task: str | None = None) -> str:
        """The lines put together as they were written, the last one's line feed aside."""
        out: list[str] = []
        for line in self.lines:
            if task is None or line["task"] == task:
                out.append(line["text"])
                out.append("" if line.get("partial") else "\n")
        return "".join(out[:-1])


class Api:
    """Calls of one service. Paths are below the prefix."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url, self.http = url, http

    async def submit(
        self,
        workflow: Json | str,
        *,
        key: str | None = None,
        labels: dict[str, str] | None = None,
        params: Json | None = None,
    ) -> str:
        """Post a workflow, or the name of a stored one, and return the run's id."""
        body: Json = {"workflow": workflow} | ({"labels": labels} if labels else {}) | ({"params": params} if params else {})
        answer = await self.http.post("/runs", json=body, headers={"Idempotency-Key": key} if key else {})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def get(self, path: str, **params: Any) -> Json:
        """What GET answers, which must be 200."""
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        value: Json = answer.json()
        return value

    async def run(self, run_id: str) -> Json:
        """The run with its tasks."""
        return await self.get(f"/runs/{run_id}", include="tasks")

    async def finished(self, run_id: str, seconds: float = RUN_SECONDS) -> Json:
        """The run with its tasks, once it is finished."""
        try:
            async with asyncio.timeout(seconds):
                while not (await self.get(f"/runs/{run_id}", wait=30))["is_finished"]:
                    pass
        except TimeoutError:
            raise AssertionError(f"not finished after {seconds} s: {await self.describe(run_id)}") from None
        return await self.run(run_id)

    async def describe(self, run_id: str) -> str:
        """The run's open tasks and its last events, for a failure."""
        run = await self.run(run_id)
        open_tasks = [task for task in run["tasks"] if not _is_settled(task)][:5]
        events = (await self.events(run_id))[-15:]
        told = [f"{e['type']} {e['task']}/{e['attempt']} {e['phase']} {e['reason']} {e['message']}" for e in events]
        return json.dumps(
            {"phase": run["phase"], "task_phases": run["task_phases"], "open": open_tasks, "events": told}, indent=1
        )

    async def task(self, run_id: str, name: str) -> Json:
        """One task."""
        return await self.get(f"/runs/{run_id}/tasks/{name}")

    async def task_when(
        self, run_id: str, name: str, *, attempts: int = 0, seconds: float = RUN_SECONDS, **wanted: Any
    ) -> Json:
        """The task, once it has so many attempts and the values that are wanted, such as `phase="Running"`."""

        def has_all(task: Json) -> bool:
            return len(task["attempts"]) >= attempts and wanted.items() <= task.items()

        task: Json = {}
        try:
            async with asyncio.timeout(seconds):
                while not has_all(task := await self.task(run_id, name)):  # noqa: ASYNC110 - as users do
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{name} is not {wanted} after {seconds} s: {json.dumps(task, indent=1)}") from None
        return task

    async def log_when(self, run_id: str, name: str, text: bytes, *, seconds: float = RUN_SECONDS) -> bytes:
        """The task's log, once it holds the text."""
        log = b""
        try:
            async with asyncio.timeout(seconds):
                while text not in (log := await self.log(run_id, name)):  # noqa: ASYNC110 - as users do
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {name}'s log after {seconds} s: {log[-500:]!r}") from None
        return log

    async def events(self, run_id: str, **params: Any) -> list[Json]:
        """The run's whole history."""
        return [event async for event in self.pages(f"/runs/{run_id}/events", **params)]

    async def pages(self, path: str, *, limit: int = 1000, **params: Any) -> AsyncIterator[Json]:
        """The items of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = await self.get(path, limit=limit, **params, **cursor)
            for item in page["items"]:
                yield item
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def log(self, run_id: str, task: str | None = None, **params: Any) -> bytes:
        """A log as bytes: of a task, or of the whole run."""
        answer = await self.http.get(_log_path(run_id, task), params=params)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def log_lines(self, run_id: str, task: str | None = None, **params: Any) -> Followed:
        """A log as NDJSON."""
        answer = await self.http.get(_log_path(run_id, task), params=params, headers={"Accept": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        followed = Followed()
        for text in answer.text.split("\n"):
            if text:
                one = json.loads(text)
                followed.add(one if "type" in one else {"type": "lines", "lines": [one]})
        return followed

    async def server_sent(self, path: str, **headers: str) -> tuple[Followed, str | None]:
        """A stream of server-sent events to its end, and its last id."""
        followed, last_id = Followed(), None
        async with self.http.stream(
            "GET", path, headers={"Accept": "text/event-stream", **headers}, timeout=RUN_SECONDS
        ) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    followed.add(json.loads(line.removeprefix("data: ")))
        return followed, last_id

    async def follow(
        self, path: str, *, seconds: float = RUN_SECONDS, lines: int | None = None, into: Followed | None = None
    ) -> Followed:
        """Follow frames over a websocket to their end, or until so many lines came."""
        followed = into or Followed()
        url = f"ws{self.url.removeprefix('http')}{PREFIX}{path}"
        async with asyncio.timeout(seconds), connect(url, compression=None, proxy=None, max_size=None) as socket:
            async for text in socket:
                assert len(text) <= 256 * 1024, "a frame is too large"
                followed.add(json.loads(text))
                if lines is not None and len(followed.lines) >= lines:
                    return followed
        return followed

    async def cancel(self, run_id: str, **body: Any) -> httpx.Response:
        """Cancel the run."""
        return await self.http.post(f"/runs/{run_id}/cancel", json=body)

    async def ask(self, path: str, **body: Any) -> Json:
        """Post something that is new, so the answer is 202 with the run."""
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 202, f"{path}: {answer.status_code} {answer.text}"
        run: Json = answer.json()
        return run

    async def retry(self, run_id: str, *tasks: str) -> Json:
        """Retry what failed, or these tasks."""
        return await self.ask(f"/runs/{run_id}/retry", **({"tasks": list(tasks)} if tasks else {}))

    async def approve(self, run_id: str, task: str, comment: str = "") -> Json:
        """Approve what the task waits for, once it waits."""
        await self.task_when(run_id, task, phase="Running", reason="WaitingForApproval")
        return await self.ask(f"/runs/{run_id}/tasks/{task}/approve", comment=comment)

    async def put_workflow(self, document: Json) -> Json:
        """Store a workflow under its name."""
        answer = await self.http.put(f"/workflows/{document['name']}", json=document)
        assert answer.status_code in (200, 201), answer.text
        stored: Json = answer.json()
        return stored

    async def run_when(
        self, run_id: str, condition: Callable[[Json], bool] | None = None, *, seconds: float = RUN_SECONDS, **wanted: Any
    ) -> Json:
        """The run without its tasks, once it has the values that are wanted and the condition holds: its ETag is waited for."""
        run: Json = {}
        tag = '""'
        try:
            async with asyncio.timeout(seconds):
                while not run or not wanted.items() <= run.items() or not (condition is None or condition(run)):
                    params = {"wait": 30} if run else None
                    answer = await self.http.get(f"/runs/{run_id}", params=params, headers={"If-None-Match": tag})
                    assert answer.status_code in (200, 304), answer.text
                    if answer.status_code == 200:
                        run, tag = answer.json(), answer.headers["ETag"]
        except TimeoutError:
            raise AssertionError(f"not {wanted} after {seconds} s: {await self.describe(run_id)}") from None
        return run


def _log_path(run_id: str, task: str | None) -> str:
    return f"/runs/{run_id}/logs" if task is None else f"/runs/{run_id}/tasks/{task}/logs"


def _is_settled(task: Json) -> bool:
    over = task["phase"] not in ("Pending", "Running")
    return over and all(attempt["log"]["sealed"] for attempt in task["attempts"])


@asynccontextmanager
async def api_of(
    url: str, headers: dict[str, str] | None = None, *, patience_seconds: float | None = None
) -> AsyncIterator[Api]:
    """The API of the service at that address; `headers` go with each request.

    `patience_seconds`: as a careful client does, each request is made again for so long while the service is away.
    """
    # Connections are given up before the service gives them up, after 5 s: a request on one that it closes just now fails.
    limits = httpx.Limits(max_connections=200, keepalive_expiry=2)
    # There is no TLS, and to read the certificates takes longer than most tests' calls.
    transport: httpx.AsyncBaseTransport = httpx.AsyncHTTPTransport(verify=False, trust_env=False, limits=limits)
    if patience_seconds is not None:
        transport = PatientTransport(transport, patience_seconds)
    made = httpx.AsyncClient(base_url=url + PREFIX, headers=headers, timeout=70, transport=transport, trust_env=False)
    async with made as http:
        yield Api(url, http)
