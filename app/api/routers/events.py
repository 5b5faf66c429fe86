"""Histories: as pages, or followed as server-sent events or over a websocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, WebSocket
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, page_answer
from app.api.frames import END_MARK, Piece, event_pieces
from app.api.requests import Cursor, Limit, RunId, preferred_type
from app.api.routers.runs import WantedRuns
from app.api.schemas import EventList
from app.api.services import Context, ContextDep
from app.api.transports import EventStream, serve_websocket
from app.domain.errors import InvalidParameter
from app.runs.cursors import read_event_cursor
from app.runs.history import RunFilter

router = APIRouter(tags=["events"])
_OFFERS = ("application/json", "text/event-stream")
LastEventId = Annotated[
    str | None, Header(description="Of server-sent events: go on behind this id. That of the end: 204, there is no more.")
]
_MAX_TAIL, _MAX_PAGE = 100_000, 1000
_STREAMS = " With `Accept: text/event-stream`, or upgraded to a websocket, it is followed to its end."


async def _tail(
    cursor: Cursor = None,
    tail: Annotated[
        int | None,
        Query(
            ge=0,
            le=_MAX_TAIL,
            description="Begin with the last so many entries; 0: from now on. Not together with `cursor`. A page has all of "
            "them, as far as `limit` allows: 1,000 where it is not given. Of all runs' history, where filters tell which are "
            "meant: as many of those as there are among the last 5,000 entries.",
        ),
    ] = None,
) -> int | None:
    if tail is not None and cursor is not None:
        raise InvalidParameter("tail", "must not be given together with cursor: both say where to begin")
    return tail


Tail = Annotated[int | None, Depends(_tail)]


def _page_limit(request: Request, limit: int, tail: int | None) -> int:
    """How many entries a page has at most: with `tail` all of those, where no limit is given."""
    return limit if tail is None or "limit" in request.query_params else min(max(tail, 1), _MAX_PAGE)


def _answers() -> dict[int | str, dict[str, Any]]:
    answers = documented(EventList, 404, 422)
    answers[200]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return {204: {"description": "`Last-Event-ID` is that of the stream's end."}, **answers}


@router.get(
    "/runs/events",
    summary="Each change of any run",
    description="Which runs is told as in the list of runs." + _STREAMS + " Without cursor a stream starts now.",
    responses=_answers(),
)
async def all_events(
    request: Request,
    context: ContextDep,
    wanted: WantedRuns,
    limit: Limit = 100,
    cursor: Cursor = None,
    tail: Tail = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The history of all runs that are meant, oldest first."""
    history = context.services.runs.history
    if preferred_type(request.headers.get("accept"), _OFFERS) == "text/event-stream":
        start = last_event_id or cursor or await history.cursor_of_tail(wanted, tail or 0)
        return EventStream(await _all_pieces(context, wanted, start, None), context.stopping, start=start)
    if tail is not None:
        cursor = await history.cursor_of_tail(wanted, tail)
    page = await history.list_all(wanted, cursor, _page_limit(request, limit, tail))
    return page_answer(request, page.events, page.cursor if page.more else None)


@router.websocket("/runs/events")
async def all_events_socket(
    websocket: WebSocket, context: ContextDep, wanted: WantedRuns, cursor: Cursor = None, tail: Tail = None
) -> None:
    """The history of all runs that are meant, from now on, from the last ones, or behind the cursor."""
    await serve_websocket(websocket, await _all_pieces(context, wanted, cursor, tail), context.stopping)


async def _all_pieces(context: Context, wanted: RunFilter, cursor: str | None, tail: int | None) -> AsyncGenerator[Piece, None]:
    """Where it begins is settled here, before a client hears that it is heard: what happens from then on is in it."""
    history = context.services.runs.history
    read_event_cursor(cursor)  # refused before anything is sent
    return event_pieces(history.follow_all(wanted, cursor or await history.cursor_of_tail(wanted, tail or 0)))


@router.get(
    "/runs/{run_id}/events",
    summary="A run's history",
    description="Oldest first: transitions, and what the cluster said of its pods." + _STREAMS,
    responses=_answers(),
)
async def run_events(
    request: Request,
    context: ContextDep,
    run_id: RunId,
    limit: Limit = 100,
    cursor: Cursor = None,
    tail: Tail = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The history of one run, oldest first."""
    history = context.services.runs.history
    if preferred_type(request.headers.get("accept"), _OFFERS) == "text/event-stream":
        if last_event_id and last_event_id.endswith(END_MARK):
            return Response(status_code=HTTPStatus.NO_CONTENT)
        start = None if tail is None or last_event_id else await history.cursor_of_run_tail(run_id, tail)
        return EventStream(await _run_pieces(context, run_id, last_event_id or start or cursor), context.stopping, start=start)
    if tail is not None:
        cursor = await history.cursor_of_run_tail(run_id, tail)
    page = await history.list_run(run_id, cursor, _page_limit(request, limit, tail))
    return page_answer(request, page.events, page.cursor if page.more else None)


@router.websocket("/runs/{run_id}/events")
async def run_events_socket(
    websocket: WebSocket, context: ContextDep, run_id: RunId, cursor: Cursor = None, tail: Tail = None
) -> None:
    """The history of one run, from its first entry, from the last ones, or behind the cursor, to its end."""
    if tail is not None:
        cursor = await context.services.runs.history.cursor_of_run_tail(run_id, tail)
    await serve_websocket(websocket, await _run_pieces(context, run_id, cursor), context.stopping)


async def _run_pieces(context: Context, run_id: str, cursor: str | None) -> AsyncGenerator[Piece, None]:
    history = context.services.runs.history
    await history.list_run(run_id, cursor, 1)  # what is wrong is told before anything is sent
    return event_pieces(history.follow_run(run_id, cursor))
