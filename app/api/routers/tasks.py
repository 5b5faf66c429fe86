"""The tasks of a run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer, page_answer
from app.api.requests import Cursor, Limit, RunId, TaskName
from app.api.schemas import TaskList, TaskRun
from app.api.services import ContextDep
from app.domain.phases import Phase

router = APIRouter(tags=["tasks"])


@router.get("/runs/{run_id}/tasks", summary="List a run's tasks", responses=documented(TaskList, 404, 422))
async def list_tasks(
    request: Request,
    context: ContextDep,
    run_id: RunId,
    phase: Annotated[list[Phase] | None, Query(description="One of these phases (repeatable).")] = None,
    foreach: Annotated[
        str | None, Query(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Only this task's items.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """In document order, the items of a `foreach` by index."""
    page = await context.services.runs.list_tasks(
        run_id, phases=[item.value for item in phase or ()], foreach=foreach, cursor=cursor, limit=limit
    )
    return page_answer(request, page.items, page.next_cursor)


@router.get("/runs/{run_id}/tasks/{task}", summary="Get a task", responses=documented(TaskRun, 404))
async def get_task(context: ContextDep, run_id: RunId, task: TaskName) -> Response:
    """A task of a run, with its attempts."""
    return json_answer(await context.services.runs.get_task(run_id, task))
