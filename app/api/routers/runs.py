"""Runs: submit, list, get and wait, cancel, delete."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer, json_body, page_answer
from app.api.requests import Cursor, Limit, RunId, matches_etag, read_action, read_json_body
from app.api.schemas import Run, RunCounts, RunList
from app.api.services import Context, ContextDep
from app.domain.kubernetes.label_selector import parse_label_selector
from app.domain.phases import RunPhase
from app.runs.actions import read_cancel, read_nothing, read_retry
from app.runs.history import RunFilter
from app.runs.run_answers import RunAnswer
from app.runs.submit import read_idempotency_key
from app.runs.views import run_etag, run_view

router = APIRouter(tags=["runs"])
#: A long-poll that is woken often looks this often at most whether its client is still there.
LOOK_SECONDS = 1.0
_ETAG = {"ETag": "Weak, of the run's id and version."}


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be in the years 1 to 9999, in UTC") from None


def _is_rfc3339(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.match(value):  # pydantic would take numbers for seconds since 1970
        raise ValueError("must be a time in RFC 3339, such as 2026-01-31T12:00:00Z")
    return value


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
Time = Annotated[AwareDatetime, BeforeValidator(_is_rfc3339), AfterValidator(_in_utc)]


async def run_filter(
    phase: Annotated[list[RunPhase] | None, Query(description="One of these phases (repeatable).")] = None,
    workflow: Annotated[
        str | None, Query(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Name of the workflow.")
    ] = None,
    label_selector: Annotated[
        str | None, Query(max_length=4096, description="In Kubernetes' grammar: `a=b,c!=d,e in (x,y),f notin (z),g,!h`.")
    ] = None,
    created_after: Annotated[Time | None, Query(description="RFC 3339.")] = None,
    created_before: Annotated[Time | None, Query(description="RFC 3339.")] = None,
) -> RunFilter:
    """Which runs are meant."""
    return RunFilter(
        phases=[item.value for item in phase or ()],
        workflow=workflow,
        selector=parse_label_selector(label_selector) if label_selector else None,
        created_after=created_after,
        created_before=created_before,
    )


WantedRuns = Annotated[RunFilter, Depends(run_filter)]


@router.post(
    "/runs",
    status_code=HTTPStatus.CREATED,
    summary="Submit a workflow",
    responses=documented(
        Run, 400, 409, 410, 413, 415, 422, status=201, description="The run, committed before the answer.",
        headers={"Location": "The run.", "Idempotency-Replayed": "`true`: the key had made this run before."},
    ),
    openapi_extra=json_body("Submission", "The workflow, values for its params, and labels for this run."),
)  # fmt: skip
async def submit(
    request: Request,
    context: ContextDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="1 to 255 printable characters, quoted or bare. The same key and body bytes give the same run for 24 h."
        ),
    ] = None,
) -> Response:
    """Validate a workflow, all of it at once, and commit a run of it.

    With a key that has made a run before, under the same token: that run as it is now. With another body: 422; while the first
    request is still in progress: 409; when the run was deleted since: 410. Only 201 is remembered.
    """
    key = read_idempotency_key(idempotency_key)
    body = await read_json_body(request)
    submitted = await context.services.runs.submit(body, key=key, caller=context.caller)
    view = run_view(submitted.run)
    headers = {"Location": view["links"]["self"], "ETag": run_etag(submitted.run)}
    if submitted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_answer(view, HTTPStatus.CREATED, headers)


@router.get("/runs", summary="List runs", responses=documented(RunList, 422, headers={"Link": 'The next page: `rel="next"`.'}))
async def list_runs(
    request: Request, context: ContextDep, wanted: WantedRuns, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Newest first. A page may be short, even empty, while `next_cursor` is not null: go on until it is."""
    page = await context.services.runs.list(wanted, cursor=cursor, limit=limit)
    return page_answer(request, page.items, page.next_cursor)


@router.get("/runs/counts", summary="Count runs by phase", responses=documented(RunCounts, 422))
async def count_runs(context: ContextDep, wanted: WantedRuns) -> Response:
    """How many of the runs that the list would have are in which phase: of the newest 5,000."""
    return json_answer(await context.services.runs.count(wanted))


class _PolledRoute(APIRoute):
    """Answers a run that has not changed without FastAPI's work for each parameter, which costs more than all the rest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See APIRoute."""
        handle = super().get_route_handler()

        async def handle_quickly(request: Request) -> Response:
            kept = None
            if not request.scope["query_string"]:
                kept = request.state.context.services.runs.find_kept(request.path_params["run_id"])
            return await handle(request) if kept is None else _run_answer(kept, request.headers.get("if-none-match"))

        return handle_quickly


polled = APIRouter(route_class=_PolledRoute)


@polled.get(
    "/runs/{run_id}",
    summary="Get a run, or wait for it",
    responses={304: {"description": "It is still as `If-None-Match` says."}, **documented(Run, 404, 422, headers=_ETAG)},
)
async def get_run(
    request: Request,
    context: ContextDep,
    run_id: RunId,
    wait: Annotated[
        float,
        Query(
            ge=0,
            le=60,
            description="Seconds. The answer comes when the run is finished, or 200 as it is when time is up; with "
            "`If-None-Match` when it has changed, or 304.",
        ),
    ] = 0,
    include: Annotated[list[Literal["tasks"]] | None, Query(description="`tasks`: all tasks in it.")] = None,
    if_none_match: Annotated[str | None, Header(description="An `ETag` of this run.")] = None,
) -> Response:
    """The run as it is."""
    runs, with_tasks = context.services.runs, bool(include)
    run = None
    if wait > 0:
        # The tag is compared as text each time the run changes: of several tags, waiting is for none of them.
        etag = _single_etag(if_none_match)

        looked_at = time.monotonic()

        async def give_up() -> bool:
            nonlocal looked_at
            if context.stopping.is_set():
                return True
            if time.monotonic() - looked_at < LOOK_SECONDS:
                return False
            looked_at = time.monotonic()
            return await request.is_disconnected()

        run = await runs.wait(run_id, etag=etag, seconds=wait, give_up=give_up, include_tasks=with_tasks)
    else:
        run = await runs.get(run_id, include_tasks=with_tasks)
    return _run_answer(run, if_none_match)


router.include_router(polled)


def _run_answer(run: RunAnswer, if_none_match: str | None) -> Response:
    headers = {"ETag": run.etag, "Cache-Control": "private, no-cache"}
    if matches_etag(if_none_match, run.etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return json_answer(run.body, headers=headers)


def _single_etag(header: str | None) -> str | None:
    if header is None:
        return None
    tag = header.strip()
    return tag if tag.startswith("W/") else f"W/{tag}"


@router.get(
    "/runs/{run_id}/workflow",
    summary="Get a run's workflow",
    responses=documented(None, 404, description="The document, byte for byte as it was posted."),
)
async def get_workflow(context: ContextDep, run_id: RunId) -> Response:
    """The document as it was posted."""
    document = await context.services.runs.get_document(run_id)
    return Response(document, media_type="application/json")


@router.post(
    "/runs/{run_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel a run",
    responses={
        200: {"description": "Nothing new was asked, or the run is over: it is unchanged.", "model": Run},
        **documented(Run, 400, 404, 413, 415, 422, status=202, description="The run; its pods are being deleted."),
    },
    openapi_extra=json_body("Cancel", "Why, and whether `on_exit` is cut too.", required=False),
)
async def cancel(request: Request, context: ContextDep, run_id: RunId) -> Response:
    """Running and waiting tasks become Cancelled, their pods are deleted with their grace period."""
    asked = await read_action(request, read_cancel)
    run, is_new = await context.services.runs.cancel(run_id, asked)
    return json_answer(run.body, HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK, {"ETag": run.etag})


@router.post(
    "/runs/{run_id}/retry",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run again what failed",
    responses=documented(Run, 400, 404, 409, 413, 415, 422, status=202, description="The run: it is not finished any more."),
    openapi_extra=json_body("Retry", "Which tasks; left out: those that failed.", required=False),
)
async def retry(request: Request, context: ContextDep, run_id: RunId) -> Response:
    """Failed tasks and what is downstream of them, in the same run, as new attempts with their whole `retries` again.

    Tasks that succeeded stay as they are, and so do the logs of earlier attempts. Of a run that is not finished: 409; of one in
    which nothing failed, where no task is named: 409.
    """
    tasks = await read_action(request, read_retry)
    run = await context.services.runs.retry(run_id, tasks)
    return json_answer(run.body, HTTPStatus.ACCEPTED, {"ETag": run.etag})


@router.post(
    "/runs/{run_id}/suspend",
    status_code=HTTPStatus.ACCEPTED,
    summary="Suspend a run",
    responses={
        200: {"description": "It is suspended already, or it is over: it is unchanged.", "model": Run},
        **documented(Run, 400, 404, 413, 415, 422, status=202, description="The run; nothing new of it starts."),
    },
)
async def suspend(request: Request, context: ContextDep, run_id: RunId) -> Response:
    """Nothing new starts until it is resumed; what runs goes on."""
    return await _set_suspended(request, context, run_id, suspended=True)


@router.post(
    "/runs/{run_id}/resume",
    status_code=HTTPStatus.ACCEPTED,
    summary="Resume a run",
    responses={
        200: {"description": "It is not suspended, or it is over: it is unchanged.", "model": Run},
        **documented(Run, 400, 404, 413, 415, 422, status=202, description="The run; it goes on."),
    },
)
async def resume(request: Request, context: ContextDep, run_id: RunId) -> Response:
    """Let a suspended run go on."""
    return await _set_suspended(request, context, run_id, suspended=False)


async def _set_suspended(request: Request, context: Context, run_id: str, *, suspended: bool) -> Response:
    await read_action(request, read_nothing)
    run, is_new = await context.services.runs.set_suspended(run_id, suspended=suspended)
    return json_answer(run.body, HTTPStatus.ACCEPTED if is_new else HTTPStatus.OK, {"ETag": run.etag})


@router.delete(
    "/runs/{run_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a run",
    responses=documented(None, 404, 409, status=204, description="It is gone, with its history and logs."),
)
async def delete(context: ContextDep, run_id: RunId) -> Response:
    """Only a run that is finished can be deleted."""
    await context.services.runs.delete(run_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)
