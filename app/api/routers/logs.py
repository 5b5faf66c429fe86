"""Logs: of a run or a task, as text, NDJSON, server-sent events or over a websocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Depends, Query, WebSocket
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented
from app.api.frames import END_MARK, Piece, log_pieces, ndjson
from app.api.requests import Cursor, RunId, TaskName, preferred_type
from app.api.routers.events import LastEventId
from app.api.services import Context, ContextDep
from app.api.transports import EventStream, GrowingBody, serve_websocket
from app.logs.frames import LogQuery

router = APIRouter(tags=["logs"])
_TEXT, _NDJSON, _EVENTS = "text/plain", "application/x-ndjson", "text/event-stream"
_MAX_LINE = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    query: LogQuery  #: without run and task
    follow: bool
    timestamps: bool


async def _asked(
    attempt: Annotated[
        str | None,
        Query(pattern=r"^(all|[1-9][0-9]{0,8})$", description="A number, or `all`; none: the last, and those that follow."),
    ] = None,
    container: Annotated[
        str, Query(pattern=r"^(\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$", description="A container's name; `*`: all.")
    ] = "main",
    follow: Annotated[bool, Query(description="Wait for what is still to come. Always on in streams of frames.")] = False,
    tail: Annotated[int | None, Query(ge=0, le=_MAX_LINE, description="Begin with the last so many lines.")] = None,
    limit: Annotated[int | None, Query(ge=1, le=_MAX_LINE, description="End after so many lines.")] = None,
    from_line: Annotated[int | None, Query(ge=0, le=_MAX_LINE, description="Begin with that line, from 0.")] = None,
    cursor: Cursor = None,
    timestamps: Annotated[bool, Query(description="As text: each line behind its time.")] = False,
    grep: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="Only lines that hold exactly this text.")
    ] = None,
) -> _Asked:
    query = LogQuery(
        run_id="",
        attempt=cast("Literal['all'] | None", attempt) if attempt in ("all", None) else int(attempt),
        container=container,
        tail=tail,
        limit=limit,
        from_line=from_line,
        cursor=_without_mark(cursor),
        grep=grep,
    )
    return _Asked(query=query, follow=follow, timestamps=timestamps)


def _without_mark(cursor: str | None) -> str | None:
    """The cursor in the id of a stream's end is a cursor too."""
    return cursor.removesuffix(END_MARK) or None if cursor else None


AskedDep = Annotated[_Asked, Depends(_asked)]


def _answers() -> dict[int | str, dict[str, Any]]:
    answers = documented(None, 404, 422, description="The log; nothing said yet: empty.")
    answers[200]["content"] = {
        _TEXT: {"schema": {"type": "string", "format": "binary", "description": "The bytes as they were."}},
        _NDJSON: {"schema": {"type": "string", "description": "A line of JSON for each line, and for each gap."}},
        _EVENTS: {"schema": {"type": "string", "description": "The same frames as over a websocket."}},
    }
    return {204: {"description": "`Last-Event-ID` is that of the stream's end."}, **answers}


@router.get(
    "/runs/{run_id}/logs", summary="A run's logs", description="As text, each line behind `[task] `.", responses=_answers()
)
async def run_logs(
    request: Request, context: ContextDep, run_id: RunId, asked: AskedDep, last_event_id: LastEventId = None
) -> Response:
    """The logs of all tasks, in the order in which they were stored."""
    return await _answer(request, context, asked, replace(asked.query, run_id=run_id), last_event_id)


@router.get(
    "/runs/{run_id}/tasks/{task}/logs",
    summary="A task's log",
    description="As text: the bytes as they were. An attempt or a container that a task never had: 404, once it is over.",
    responses=_answers(),
)
async def task_logs(
    request: Request,
    context: ContextDep,
    run_id: RunId,
    task: TaskName,
    asked: AskedDep,
    last_event_id: LastEventId = None,
) -> Response:
    """The log of one task."""
    return await _answer(request, context, asked, replace(asked.query, run_id=run_id, task=task), last_event_id)


async def _answer(request: Request, context: Context, asked: _Asked, query: LogQuery, last_event_id: str | None) -> Response:
    media_type = preferred_type(request.headers.get("accept"), (_TEXT, _NDJSON, _EVENTS))
    logs = context.services.logs
    if media_type == _EVENTS:
        if last_event_id and last_event_id.endswith(END_MARK):
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if last_event_id:
            query = replace(query, cursor=last_event_id, tail=None, from_line=None)
        return EventStream(await _pieces(context, query), context.stopping)
    await logs.check(query)
    if media_type == _NDJSON:
        body = ndjson(logs.lines(query, follow=asked.follow), (lambda: logs.phase(query)) if asked.follow else None)
        return GrowingBody(body, _NDJSON, context.stopping)
    return GrowingBody(
        logs.plain(query, follow=asked.follow, timestamps=asked.timestamps), "text/plain; charset=utf-8", context.stopping
    )


@router.websocket("/runs/{run_id}/logs")
async def run_logs_socket(websocket: WebSocket, context: ContextDep, run_id: RunId, asked: AskedDep) -> None:
    """The logs of all tasks, followed to the end of the run."""
    pieces = await _pieces(context, replace(asked.query, run_id=run_id))
    await serve_websocket(websocket, pieces, context.stopping)


@router.websocket("/runs/{run_id}/tasks/{task}/logs")
async def task_logs_socket(websocket: WebSocket, context: ContextDep, run_id: RunId, task: TaskName, asked: AskedDep) -> None:
    """The log of one task, followed to its end."""
    pieces = await _pieces(context, replace(asked.query, run_id=run_id, task=task))
    await serve_websocket(websocket, pieces, context.stopping)


async def _pieces(context: Context, query: LogQuery) -> AsyncGenerator[Piece, None]:
    logs = context.services.logs
    await logs.check(query)  # what is wrong is told before anything is sent
    return log_pieces(logs.lines(query, follow=True), lambda: logs.phase(query))
