"""Workflow documents: check one, and its JSON Schema."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer, json_body
from app.api.requests import read_json_body
from app.api.schemas import Validation
from app.api.services import ContextDep
from app.domain.workflow import workflow_json_schema
from app.runs.documents import read_workflow
from app.runs.submit import INLINE_BYTES

router = APIRouter(tags=["workflows"])


@router.post(
    "/workflows/validate",
    summary="Check a workflow",
    responses=documented(Validation, 400, 413, 415, 422),
    openapi_extra=json_body("Workflow", "The workflow itself."),
)
async def validate(request: Request, context: ContextDep) -> Response:
    """All that is wrong at once, at pointers into the body. Nothing is stored."""
    body, pods = await read_json_body(request), context.services.pods
    if len(body) > INLINE_BYTES:
        workflow = await asyncio.to_thread(read_workflow, body, pods)
    else:
        workflow = read_workflow(body, pods)
    return json_answer({"valid": True, "name": workflow.name, "tasks": len(workflow.tasks)})


@router.get(
    "/workflows/schema", summary="The JSON Schema of workflows", responses=documented(None, description="Draft 2020-12.")
)
async def schema() -> Response:
    """What editors check a workflow by; graph and Kubernetes' own rules go further."""
    return json_answer(workflow_json_schema())
