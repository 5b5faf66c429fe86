"""Makes the ASGI app: routes, problems, security, and the lifespan that fills the services."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from app.api import problems
from app.api.page import PAGE_FOLDER, PageFiles, page_router
from app.api.problems import Problem
from app.api.routers import events, logs, runs, service, tasks, workflows
from app.api.schemas import Answer, Cancel, Retry, Submission
from app.api.security import Security, caller_of
from app.api.services import Context, Services
from app.domain.workflow.parsing import workflow_json_schema
from app.runs.views import API_PREFIX
from app.settings import Settings

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]

_DESCRIPTION = """Runs workflows of pods: a JSON graph of tasks in, pods on Kubernetes or processes of this machine, status,
history and logs out.

Errors are `application/problem+json` (RFC 9457). Logs and events are followed as server-sent events, or over a websocket on
the same path: JSON text frames `lines`, `event`, `gap`, `ping` and `end`; going on with the last `cursor` loses and repeats
nothing.
A websocket's token may come as the subprotocol `base64url.bearer.podrun.dev.<token, base64url>` beside `podrun.v1`."""


def create_api(
    settings: Settings, open_services: OpenServices, stopping: asyncio.Event, *, page_folder: Path = PAGE_FOLDER
) -> FastAPI:
    """The app. `open_services` is entered when it starts and left when it stops; `stopping` ends streams and long-polls.

    The page is served as it is in `page_folder` now.

    Whoever runs the server sets `stopping` as soon as it is to stop: the server waits for streams, and only then for the
    lifespan.
    """
    token = settings.token.get_secret_value() if settings.token else None
    caller = caller_of(token)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[MutableMapping[str, Any]]:
        async with open_services() as services, asyncio.TaskGroup() as group:

            async def wake_when_stopping() -> None:
                await stopping.wait()
                services.runs.wake_all()

            watcher = group.create_task(wake_when_stopping(), name="wake when stopping")
            try:
                yield {"context": Context(services=services, stopping=stopping, caller=caller)}
            finally:
                stopping.set()
                watcher.cancel()

    app = FastAPI(
        title="podrun",
        version="v1",
        description=_DESCRIPTION,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,  # their scripts would come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        middleware=[Middleware(Security, allowed_hosts=settings.allowed_hosts, token=token)],
    )
    app.state.settings = settings
    problems.install(app)
    for part in (events, runs, tasks, logs, workflows, service):  # events first: /runs/events is no run
        app.include_router(part.router, prefix=API_PREFIX)
    app.include_router(service.outside)
    app.include_router(page_router(PageFiles(page_folder)))
    app.router.default = _no_route
    _describe(app)
    return app


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    """A path without route, for websockets too: they are refused with an answer, not with a bare close."""
    raise HTTPException(HTTPStatus.NOT_FOUND, f"there is nothing at {scope['path'][:200]}")


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI document: with problems, the bodies that routes read themselves, and the token."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = document.setdefault("components", {})
            _leave_out_validation(document)
            components["schemas"] = {
                **problems.schemas((Problem, Answer, Cancel, Retry, Submission)),
                **components.get("schemas", {}),
            }
            document = _with_workflow(document)
            components = document["components"]
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}, {}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _with_workflow(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the workflow's own JSON Schema, as editors get it at `/workflows/schema`, as the component Workflow."""
    schema = workflow_json_schema()
    schemas: dict[str, Any] = document["components"]["schemas"]
    del schema["$schema"], schemas["WorkflowDocument"]
    schemas |= {**schema.pop("$defs"), "Workflow": schema}
    prefix = "#/components/schemas/"
    text = json.dumps(document).replace('"#/$defs/', f'"{prefix}').replace(f'"{prefix}WorkflowDocument"', f'"{prefix}Workflow"')
    renamed: dict[str, Any] = json.loads(text)
    return renamed


def _leave_out_validation(document: dict[str, Any]) -> None:
    """Take away the 422 that FastAPI adds to each route with parameters, in a form of its own: routes declare theirs."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if problems.MEDIA_TYPE not in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"].get("schemas", {}).pop(name, None)
