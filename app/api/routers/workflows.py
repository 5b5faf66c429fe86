"""Workflow documents: check one, and their JSON Schema. Stored workflows: put, get, list, delete, pause their schedules."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer, json_body, page_answer
from app.api.requests import Cursor, Limit, WorkflowName, matches_etag, read_action, read_json_body
from app.api.schemas import StoredWorkflow, Validation, WorkflowList, WorkflowVersionList
from app.api.services import Context, ContextDep
from app.domain.workflow.parsing import workflow_json_schema
from app.runs.actions import read_nothing
from app.runs.views import API_PREFIX
from app.runs.workflows import Precondition

router = APIRouter(tags=["workflows"])
_ETAG = {"ETag": "Of the document's version; neither `paused` nor what the schedule does changes it."}
IfMatch = Annotated[str | None, Header(description="An `ETag` of it, or `*`: 412 if it is another one by now, or gone.")]
IfNoneMatch = Annotated[str | None, Header(description="`*`: 412 if there is one of this name.")]


@router.post(
    "/workflows/validate",
    summary="Check a workflow",
    responses=documented(Validation, 400, 413, 415, 422),
    openapi_extra=json_body("Workflow", "The workflow itself."),
)
async def validate(
    request: Request,
    context: ContextDep,
    pods: Annotated[bool, Query(description="Whether the answer has the pods that the workflow would make.")] = False,
) -> Response:
    """All that is wrong at once, at pointers into the body. Nothing is stored.

    With `pods=true` the answer shows the pods' manifests, with the params' defaults, a stand-in for the run's id, and each item
    of a `foreach` whose list is known. What only a run can know (outputs of other tasks, params without default) stands in them
    as it was written. At most 1,000 are shown; `pods_left_out` says how many more there are.
    """
    body = await read_json_body(request)
    return json_answer(await context.services.workflows.validate(body, with_pods=pods))


@router.get(
    "/workflows/schema", summary="The JSON Schema of workflows", responses=documented(None, description="Draft 2020-12.")
)
async def schema() -> Response:
    """What editors check a workflow by; graph and Kubernetes' own rules go further."""
    return json_answer(workflow_json_schema())


@router.get(
    "/workflows",
    summary="List stored workflows",
    responses=documented(WorkflowList, 422, headers={"Link": 'The next page: `rel="next"`.'}),
)
async def list_workflows(request: Request, context: ContextDep, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """By name. Their documents are left out."""
    items, next_cursor = await context.services.workflows.list(cursor=cursor, limit=limit)
    return page_answer(request, items, next_cursor)


@router.put(
    "/workflows/{name}",
    summary="Store a workflow",
    responses={
        201: {
            "description": "It is stored under a new name.",
            "model": StoredWorkflow,
            "headers": {"Location": {"description": "The workflow.", "schema": {"type": "string"}}},
        },
        **documented(StoredWorkflow, 400, 412, 413, 415, 422, headers=_ETAG),
    },
    openapi_extra=json_body("Workflow", "The workflow itself; its `name` is that of the path."),
)
async def put_workflow(
    request: Request,
    context: ContextDep,
    name: Annotated[str, Path(description="The workflow's name; not `schema`, nor `validate`.")],
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Checked as a posted one is. Each change is a new version; the very bytes that are stored already make none.

    Its schedule begins at once, an interval with its first end. Where a new version has the same times they go on as they were:
    an interval keeps its origin. Each time makes one run, of the newest version with the defaults of its params, however many
    replicas there are. Times that were missed, by a stopped service or while it was late, get no run but the latest one; with
    `catchup` each gets one, the newest 100 at most. With `overlap: forbid` a time gets none while a run of this schedule is
    not finished; with `replace` such runs are cancelled, as by a user. `last_skipped_at` and its reason show what got no run.

    A cron follows the clock on the wall of its `timezone`, as in Debian's cron. At fixed times, where neither the minute nor
    the hour begins with `*`, it comes once on both days that the clocks change: a time that is left out in spring comes right
    after the gap (02:30 is 03:00 then), one that is there twice in autumn comes the first time. Where the minute or the hour
    begins with `*` it goes by elapsed time: `* * * * *` comes every minute, and in both of the doubled hours.
    """
    body = await read_json_body(request)
    answer = await context.services.workflows.put(name, body, _precondition(if_match, if_none_match))
    headers = {"ETag": answer.etag}
    if answer.is_new:
        headers["Location"] = f"{API_PREFIX}/workflows/{name}"
    return json_answer(answer.body, HTTPStatus.CREATED if answer.is_new else HTTPStatus.OK, headers)


@router.get(
    "/workflows/{name}",
    summary="Get a stored workflow",
    responses=documented(StoredWorkflow, 404, 422, headers=_ETAG),
)
async def get_workflow(
    context: ContextDep,
    name: WorkflowName,
    version: Annotated[int | None, Query(ge=1, le=999_999_999, description="Which document; left out: the newest.")] = None,
) -> Response:
    """The workflow with its newest document, or an earlier one. The document stands in `document`, as it was put."""
    answer = await context.services.workflows.get(name, version)
    return json_answer(answer.body, headers={"ETag": answer.etag, "Cache-Control": "private, no-cache"})


@router.get(
    "/workflows/{name}/versions",
    summary="List the versions of a stored workflow",
    responses=documented(WorkflowVersionList, 404, 422, headers={"Link": 'The next page: `rel="next"`.'}),
)
async def list_versions(
    request: Request, context: ContextDep, name: WorkflowName, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Newest first."""
    items, next_cursor = await context.services.workflows.list_versions(name, cursor=cursor, limit=limit)
    return page_answer(request, items, next_cursor)


@router.delete(
    "/workflows/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a stored workflow",
    responses=documented(None, 404, 412, status=204, description="It is gone, with its versions and its schedule."),
)
async def delete_workflow(context: ContextDep, name: WorkflowName, if_match: IfMatch = None) -> Response:
    """Its runs stay. Its versions' numbers are not used again: stored anew under this name it goes on counting."""
    await context.services.workflows.delete(name, _precondition(if_match))
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/workflows/{name}/pause",
    summary="Pause a schedule",
    responses=documented(StoredWorkflow, 400, 404, 413, 415, 422, headers=_ETAG),
)
async def pause(request: Request, context: ContextDep, name: WorkflowName) -> Response:
    """The schedule makes no runs until it is unpaused. Runs of it go on, and it can be run by its name all the same."""
    return await _set_paused(request, context, name, paused=True)


@router.post(
    "/workflows/{name}/unpause",
    summary="Unpause a schedule",
    responses=documented(StoredWorkflow, 400, 404, 413, 415, 422, headers=_ETAG),
)
async def unpause(request: Request, context: ContextDep, name: WorkflowName) -> Response:
    """The schedule goes on with its next time from now; what came in between is not made up for."""
    return await _set_paused(request, context, name, paused=False)


async def _set_paused(request: Request, context: Context, name: str, *, paused: bool) -> Response:
    await read_action(request, read_nothing)
    answer = await context.services.workflows.set_paused(name, paused=paused)
    return json_answer(answer.body, headers={"ETag": answer.etag})


def _precondition(if_match: str | None, if_none_match: str | None = None) -> Precondition:
    """Source: https://www.rfc-editor.org/rfc/rfc9110#section-13.1 ."""
    return partial(_allows, if_match, if_none_match)


def _allows(if_match: str | None, if_none_match: str | None, etag: str | None) -> bool:
    if if_match is not None and (etag is None or not matches_etag(if_match, etag)):
        return False
    return etag is None or not matches_etag(if_none_match, etag)
