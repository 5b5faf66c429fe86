"""The tasks of a run."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer, json_body, page_answer
from app.api.requests import Cursor, Limit, RunId, TaskName, read_action
from app.api.schemas import Run, TaskDetail, TaskList
from app.api.services import Context, ContextDep
from app.domain.phases import Phase
from app.runs.actions import read_comment

router = APIRouter(tags=["tasks"])


@router.get("/runs/{run_id}/tasks", summary="List a run's tasks", responses=documented(TaskList, 404, 422))
async def list_tasks(
    request: Request,
    context: ContextDep,
    run_id: RunId,
    phase: Annotated[list[Phase] | None, Query(description="One of these phases (repeatable).")] = None,
    foreach: Annotated[
        str | None,
        Query(
            pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
            description="Only this task's items; until they are known its own row.",
        ),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """In document order, the items of a `foreach` by index."""
    page = await context.services.runs.list_tasks(
        run_id, phases=[item.value for item in phase or ()], foreach=foreach, cursor=cursor, limit=limit
    )
    return page_answer(request, page.items, page.next_cursor)


@router.get("/runs/{run_id}/tasks/{task}", summary="Get a task", responses=documented(TaskDetail, 404))
async def get_task(context: ContextDep, run_id: RunId, task: TaskName) -> Response:
    """A task of a run, with its attempts and the names of its containers."""
    return json_answer(await context.services.runs.get_task(run_id, task))


@router.post(
    "/runs/{run_id}/tasks/{task}/approve",
    status_code=HTTPStatus.ACCEPTED,
    summary="Approve",
    responses=documented(Run, 400, 404, 409, 413, 415, 422, status=202, description="The run; the task is about to succeed."),
    openapi_extra=json_body("Answer", "Why.", required=False),
)
async def approve(request: Request, context: ContextDep, run_id: RunId, task: TaskName) -> Response:
    """Approve what a task waits for. Where it does not wait (its reason is not `WaitingForApproval`), or has an answer: 409."""
    return await _answer(request, context, run_id, task, approved=True)


@router.post(
    "/runs/{run_id}/tasks/{task}/reject",
    status_code=HTTPStatus.ACCEPTED,
    summary="Reject",
    responses=documented(Run, 400, 404, 409, 413, 415, 422, status=202, description="The run; the task is about to fail."),
    openapi_extra=json_body("Answer", "Why.", required=False),
)
async def reject(request: Request, context: ContextDep, run_id: RunId, task: TaskName) -> Response:
    """Reject what a task waits for: it fails. Where it does not wait, or has an answer: 409."""
    return await _answer(request, context, run_id, task, approved=False)


async def _answer(request: Request, context: Context, run_id: str, task: str, *, approved: bool) -> Response:
    comment = await read_action(request, read_comment)
    run = await context.services.runs.answer_approval(run_id, task, approved=approved, comment=comment)
    return json_answer(run.body, HTTPStatus.ACCEPTED, {"ETag": run.etag})
