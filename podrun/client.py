"""`AsyncClient`: everything that a podrun service offers, over HTTP and websocket.

    async with AsyncClient("http://127.0.0.1:8080") as client:
        run = await client.submit(workflow)
        async for item in client.logs(run["id"], follow=True):
            ...

Every call tries again by itself while the network fails (see `Patience`); each is safe to repeat. `asyncio.timeout` around a
call sets any other limit. What the server refuses comes as `ProblemError`.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, cast

from podrun.errors import InvalidArgument
from podrun.link import BUSY_STATUSES, READ_SECONDS, Link, Patience, segment
from podrun.stored import JSON, Document, StoredWorkflows, encoded, query
from podrun.streams import follow_frames, read_bytes, read_ndjson
from podrun.types import Event, Frame, LogItem, Run, Task

DEFAULT_SERVER = "http://127.0.0.1:8080"
#: How long one long-poll is held; the service allows 60.
WAIT_SECONDS = 30


class AsyncClient(StoredWorkflows):
    """A client of one podrun service. Enter it before use; several calls may run at once."""

    def __init__(self, server: str | None = None, *, token: str | None = None, patience: Patience | None = None) -> None:
        """Talk to a service; nothing is sent yet.

        Args:
            server: Its address; by default PODRUN_SERVER, or http://127.0.0.1:8080.
            token: The bearer token; by default PODRUN_TOKEN, or none.
            patience: How long to go on trying when the network fails.

        Raises:
            InvalidArgument: The address is no http(s) URL, or the token can't be sent.
        """
        server = server or os.environ.get("PODRUN_SERVER") or DEFAULT_SERVER
        token = token or os.environ.get("PODRUN_TOKEN") or None
        self._link = Link(server, token, patience or Patience())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.close()

    @property
    def server(self) -> str:
        """The service's address."""
        return self._link.server

    @property
    def answered(self) -> bool:
        """Whether the service has answered yet."""
        return self._link.answered

    # runs

    async def submit(
        self,
        workflow: Document | str,
        *,
        params: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Submit a workflow and return its run, once, however often the request had to be sent.

        Args:
            workflow: A `Workflow`, a document, or its JSON as bytes, which are sent as they are; or a stored one by "name" or
                "name@version".
            params: Values for the workflow's params.
            labels: Labels of the run.
            idempotency_key: 1 to 255 printable ASCII characters; the same key with the same document gives the same run for
                24 hours. By default a new one.

        Raises:
            InvalidArgument: The key can't be sent.
        """
        key = str(uuid.uuid4()) if idempotency_key is None else idempotency_key
        if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()) or key != key.strip():
            raise InvalidArgument("an idempotency key is 1 to 255 printable ASCII characters")
        response = await self._link.request(
            "POST",
            "/runs",
            headers=JSON | {"Idempotency-Key": key},
            content=_submission(workflow, params, labels),
            # 409: an earlier try of this very request is still in progress.
            busy_statuses=BUSY_STATUSES | {HTTPStatus.CONFLICT},
        )
        return cast("Run", self._link.document(response))

    async def get_run(self, run_id: str, *, include_tasks: bool = False) -> Run:
        """Get a run as it is now."""
        run, _ = await self.poll_run(run_id, include_tasks=include_tasks)
        assert run is not None  # noqa: S101  # without an ETag there is no 304
        return run

    async def poll_run(
        self, run_id: str, *, etag: str | None = None, wait_seconds: int | None = None, include_tasks: bool = False
    ) -> tuple[Run | None, str | None]:
        """Ask for a run once: the run, or None if it is still as at `etag`, and its ETag now.

        `wait_seconds` (60 at most) holds the answer back until the run has changed, where an `etag` is given, else until it is
        finished.
        """
        params: dict[str, str | int | Sequence[str]] = {}
        if wait_seconds:
            params["wait"] = wait_seconds
        if include_tasks:
            params["include"] = "tasks"
        response = await self._link.request(
            "GET",
            f"/runs/{segment(run_id)}",
            params=params,
            headers={"If-None-Match": etag} if etag else {},
            read_seconds=READ_SECONDS + (wait_seconds or 0),
        )
        etag = response.headers.get("etag", etag)
        unchanged = response.status_code == HTTPStatus.NOT_MODIFIED
        return (None if unchanged else cast("Run", self._link.document(response))), etag

    async def watch_run(
        self, run_id: str, *, include_tasks: bool = False, interval_seconds: float = 0.25
    ) -> AsyncGenerator[Run, None]:
        """Yield the run now and after each change, until it is finished; changes within the interval come as one."""
        etag: str | None = None
        while True:
            asked_at = time.monotonic()
            run, etag = await self.poll_run(
                run_id, etag=etag, wait_seconds=WAIT_SECONDS if etag else None, include_tasks=include_tasks
            )
            if run is not None:
                yield run
                if run.get("is_finished"):
                    return
            await asyncio.sleep(max(0.0, asked_at + interval_seconds - time.monotonic()))

    async def wait(self, run_id: str, *, timeout_seconds: float | None = None) -> Run:
        """Wait until a run is finished: all is over, and every log is stored.

        Raises:
            TimeoutError: It is not finished in time. The run goes on.
        """
        async with asyncio.timeout(timeout_seconds):
            while True:
                asked_at = time.monotonic()
                run, _ = await self.poll_run(run_id, wait_seconds=WAIT_SECONDS)
                if run is not None and run.get("is_finished"):
                    return run
                # A proxy may answer at once where the service would have waited.
                await asyncio.sleep(max(0.0, asked_at + 1.0 - time.monotonic()))

    def list_runs(
        self,
        *,
        phases: Sequence[str] = (),
        workflow: str | None = None,
        label_selector: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Run, None]:
        """Yield runs, newest first, page by page; `limit` is how many in all."""
        params = query(
            phase=list(phases),
            workflow=workflow,
            label_selector=label_selector,
            created_after=created_after,
            created_before=created_before,
        )
        return cast("AsyncGenerator[Run, None]", self._items("/runs", params, limit))

    async def cancel(self, run_id: str, *, reason: str | None = None, force: bool = False) -> Run:
        """Ask to cancel a run, and return it as it is then. Asking again changes nothing."""
        body = {key: value for key, value in (("reason", reason), ("force", force)) if value}
        content = json.dumps(body).encode()
        response = await self._link.request("POST", f"/runs/{segment(run_id)}/cancel", headers=JSON, content=content)
        return cast("Run", self._link.document(response))

    async def retry(self, run_id: str, tasks: Sequence[str] | None = None) -> Run:
        """Run what failed of a finished run once more, in the same run, with what is downstream of it.

        Args:
            run_id: The run.
            tasks: Which ones instead: names of tasks, of `foreach` tasks (all their items), or of items (`work.3`).
        """
        return await self._act(run_id, "/retry", {} if tasks is None else {"tasks": list(tasks)})

    async def suspend(self, run_id: str) -> Run:
        """Let nothing new of a run start until `resume`; what runs goes on."""
        return await self._act(run_id, "/suspend", {})

    async def resume(self, run_id: str) -> Run:
        """Let a suspended run go on."""
        return await self._act(run_id, "/resume", {})

    async def approve(self, run_id: str, task: str, *, comment: str | None = None) -> Run:
        """Say yes to a task that waits for approval: it succeeds."""
        return await self._act(run_id, f"/tasks/{segment(task)}/approve", {"comment": comment} if comment else {})

    async def reject(self, run_id: str, task: str, *, comment: str | None = None) -> Run:
        """Say no to a task that waits for approval: it fails."""
        return await self._act(run_id, f"/tasks/{segment(task)}/reject", {"comment": comment} if comment else {})

    async def delete(self, run_id: str) -> None:
        """Delete a finished run with its history and logs."""
        # 404 after a lost answer: the first try did it.
        await self._link.request("DELETE", f"/runs/{segment(run_id)}", lost_statuses=frozenset({HTTPStatus.NOT_FOUND}))

    # tasks

    def list_tasks(
        self, run_id: str, *, phases: Sequence[str] = (), foreach: str | None = None, limit: int | None = None
    ) -> AsyncGenerator[Task, None]:
        """Yield a run's tasks in the document's order; `foreach`: the items of this task alone; `limit` is how many in all."""
        items = self._items(f"/runs/{segment(run_id)}/tasks", query(phase=list(phases), foreach=foreach), limit)
        return cast("AsyncGenerator[Task, None]", items)

    async def get_task(self, run_id: str, task: str) -> Task:
        """Get a task of a run."""
        response = await self._link.request("GET", f"/runs/{segment(run_id)}/tasks/{segment(task)}")
        return cast("Task", self._link.document(response))

    # streams

    def logs(
        self,
        run_id: str,
        task: str | None = None,
        *,
        follow: bool = False,
        attempt: int | str | None = None,
        container: str | None = None,
        tail: int | None = None,
        grep: str | None = None,
        cursor: str | None = None,
    ) -> AsyncGenerator[LogItem, None]:
        """Yield the log of a run or of one of its tasks, line by line.

        What is stored now or, with `follow`, up to its end, with an item of `type` "end" as the last. A broken connection is
        opened again behind the last line that came.

        Args:
            run_id: The run.
            task: One task of it; None: all.
            follow: Wait for what is to come.
            attempt: A number, or "all"; None: the last one and, with `follow`, those that come after it.
            container: A container's name, or "*"; None: main.
            tail: Begin with this many lines from the end.
            grep: Only lines that hold this text.
            cursor: Begin behind this one.
        """
        params = query(attempt=attempt, container=container, tail=tail, grep=grep, cursor=cursor)
        read = follow_frames if follow else read_ndjson
        return read(self._link, _logs_path(run_id, task), params, _log_items)

    def log_bytes(
        self,
        run_id: str,
        task: str | None = None,
        *,
        follow: bool = False,
        attempt: int | str | None = None,
        container: str | None = None,
        tail: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield a log's bytes exactly as they were written, in pieces of any size (of a whole run: lines behind `[task] `).

        Raises:
            ServerUnreachable: Also when the connection breaks in the middle: bytes have no cursor to go on from.
        """
        params = query(attempt=attempt, container=container, tail=tail, follow="true" if follow else None)
        return read_bytes(self._link, _logs_path(run_id, task), params)

    def events(
        self, run_id: str, *, follow: bool = False, tail: int | None = None, cursor: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield a run's history, oldest first; with `follow` up to its end, with an item of `type` "end" as the last.

        Args:
            run_id: The run.
            follow: Wait for what is to come.
            tail: Begin with this many entries from the end; 0 with `follow`: only what comes from now on.
            cursor: Begin behind this one; not together with `tail`.
        """
        path = f"/runs/{segment(run_id)}/events"
        params = query(tail=tail, cursor=cursor)
        return follow_frames(self._link, path, params, _events) if follow else self._items(path, params, None)

    # the service

    async def info(self) -> dict[str, Any]:
        """What the service says of itself."""
        return self._link.document(await self._link.request("GET", "/info"))

    async def _act(self, run_id: str, path: str, body: Mapping[str, Any]) -> Run:
        """Ask for something that is done once, and return the run as it is then."""
        response = await self._link.request(
            "POST",
            f"/runs/{segment(run_id)}{path}",
            headers=JSON,
            content=json.dumps(body).encode(),
            # After a lost answer: the first try did it.
            lost_statuses=frozenset({HTTPStatus.CONFLICT}),
        )
        if response.status_code == HTTPStatus.CONFLICT:
            return await self.get_run(run_id)
        return cast("Run", self._link.document(response))


def _submission(workflow: Document | str, params: Mapping[str, Any] | None, labels: Mapping[str, str] | None) -> bytes:
    """The body of a submission: the workflow's own bytes are in it unchanged."""
    body = b'{"workflow": ' + (json.dumps(workflow).encode() if isinstance(workflow, str) else encoded(workflow))
    for key, values in (("params", params), ("labels", labels)):
        if values:
            body += f', "{key}": {json.dumps(dict(values), allow_nan=False)}'.encode()
    return body + b"}"


def _logs_path(run_id: str, task: str | None) -> str:
    return f"/runs/{segment(run_id)}" + (f"/tasks/{segment(task)}" if task is not None else "") + "/logs"


def _log_items(frame: Frame) -> list[LogItem]:
    kind = frame.get("type", "line")
    if kind == "lines":
        return [cast("LogItem", {"type": "line", **line}) for line in frame.get("lines", ())]
    if kind in {"line", "gap", "end"}:
        return [cast("LogItem", {"type": kind, **frame})]
    return []


def _events(frame: Frame) -> list[Event]:
    """The event of a frame, which may hold it beside its own type or below `event`; or the end."""
    if frame.get("type") not in {"event", "end"}:
        return []
    inner = frame.get("event")
    if isinstance(inner, dict):
        return [{**({"cursor": frame["cursor"]} if "cursor" in frame else {}), **inner}]
    return [frame]
