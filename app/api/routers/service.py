"""What the service says of itself: info, and outside the prefix health, readiness and metrics."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

import structlog
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.answers import documented, json_answer
from app.api.problems import Kind, declare, problem_response
from app.api.requests import MAX_BODY_BYTES
from app.api.schemas import Info
from app.api.services import Check, ContextDep
from app.domain.workflow.task_checks import MAX_TASKS
from app.settings import Settings

CHECK_SECONDS = 3.0

router = APIRouter(tags=["service"])
outside = APIRouter(tags=["service"])
log = structlog.get_logger(__name__)


def _version() -> str:
    try:
        return version("podrun")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"


@router.get("/info", summary="About this service", responses=documented(Info))
async def info(request: Request, context: ContextDep) -> Response:
    """Version, where pods run, limits."""
    services = context.services
    settings: Settings = request.app.state.settings
    return json_answer(
        {
            "version": _version(),
            "instance": services.instance,
            "pods": services.pods.kind,
            "namespaces": list(services.pods.namespaces),
            "database": services.database_kind,
            "limits": {
                "max_body_bytes": MAX_BODY_BYTES,
                "max_parallel_pods": settings.max_parallel_pods,
                "max_tasks": MAX_TASKS,
            },
        }
    )


@outside.head("/healthz", include_in_schema=False)
@outside.get("/healthz", summary="Whether the process lives", responses={200: {"description": "It does."}})
async def healthz() -> Response:
    """Asks nothing of anybody: a database that is away must not have the process killed."""
    return json_answer({"status": "ok"})


@outside.head("/readyz", include_in_schema=False)
@outside.get(
    "/readyz", summary="Whether the service can work", responses={200: {"description": "It can."}, 503: declare(503)[503]}
)
async def readyz(context: ContextDep) -> Response:
    """Database, pods, log store and executor; the problem names what is wrong."""
    if context.stopping.is_set():
        wrong = {"service": "it is stopping"}
    else:
        wrong = await _failing({"database": context.services.runs.check, **context.services.checks})
    if not wrong:
        return json_answer({"status": "ok"})
    kind = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service can't work just now")
    return problem_response(kind, "; ".join(f"{name}: {sentence}" for name, sentence in wrong.items()))


async def _failing(checks: dict[str, Check]) -> dict[str, str]:
    """What is wrong, by the check's name; all are asked side by side."""
    wrong: dict[str, str] = {}

    async def ask(name: str, check: Check) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                sentence = await check()
        except TimeoutError:
            sentence = f"no answer within {CHECK_SECONDS:.0f} s"
        except Exception as error:  # whatever it is, this part is not ready
            log.warning("a readiness check failed", check=name, exc_info=error)
            sentence = f"the check failed ({type(error).__name__})"
        if sentence is not None:
            wrong[name] = sentence

    async with asyncio.TaskGroup() as group:
        for name, check in checks.items():
            group.create_task(ask(name, check), name=f"check {name}")
    return {name: wrong[name] for name in checks if name in wrong}


@outside.get("/metrics", summary="Metrics for Prometheus", responses=documented(None, 404, description="As text."))
async def metrics(context: ContextDep) -> Response:
    """In Prometheus' text format."""
    registry = context.services.metrics
    if registry is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "this service keeps no metrics")
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
