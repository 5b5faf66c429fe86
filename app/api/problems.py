"""Every error answer, as problem details (RFC 9457): one table from class of error to status, type and title.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from app.domain import errors
from app.logs.errors import LogObjectDamaged, LogStoreUnavailable
from app.storage.errors import describe_outage, is_full, is_outage

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:podrun:problem:"
#: Pydantic's first step of the place of a parameter: its kind, which users need not know.
_SOURCES = frozenset({"query", "path", "header", "cookie"})

log = structlog.get_logger(__name__)


class Kind(NamedTuple):
    """How a class of errors is answered."""

    status: int
    type: str  #: behind `urn:podrun:problem:`
    title: str


PROBLEMS: Mapping[type[Exception], Kind] = {
    errors.MalformedDocument: Kind(400, "malformed-document", "The body is not JSON that podrun reads"),
    errors.InvalidCursor: Kind(422, "invalid-cursor", "The cursor is not one of this resource"),
    errors.NotFound: Kind(404, "not-found", "There is no such thing"),
    errors.RunNotFinished: Kind(409, "run-not-finished", "The run is not finished"),
    errors.NothingToRetry: Kind(409, "nothing-to-retry", "Nothing failed"),
    errors.NotWaitingForApproval: Kind(409, "not-waiting-for-approval", "The task does not wait for approval"),
    errors.AlreadyAnswered: Kind(409, "already-answered", "The task has its answer already"),
    errors.IdempotencyKeyBusy: Kind(409, "idempotency-key-in-progress", "A request with this key is in progress"),
    errors.IdempotentRunDeleted: Kind(410, "run-deleted", "The run that this key made was deleted"),
    errors.PreconditionFailed: Kind(412, "precondition-failed", "Somebody else was first"),
    errors.InvalidWorkflow: Kind(422, "invalid-workflow", "The workflow is not valid"),
    errors.InvalidBody: Kind(422, "invalid-body", "The request is not valid"),
    errors.InvalidParameter: Kind(422, "invalid-parameter", "A parameter is not valid"),
    errors.IdempotencyKeyReused: Kind(422, "idempotency-key-reused", "The key was used with another body"),
    errors.EvaluatorUnavailable: Kind(503, "evaluator-unavailable", "Expressions can't be evaluated just now"),
    errors.OwnershipLost: Kind(503, "try-again", "Try again in a moment"),
    LogStoreUnavailable: Kind(503, "log-store-unavailable", "The log store can't be reached"),
    LogObjectDamaged: Kind(500, "log-damaged", "A stored log is damaged"),
}
#: What passes by itself has many classes: `is_outage` tells, by what the database said.
_DATABASE_UNAVAILABLE = Kind(503, "database-unavailable", "The database can't be used just now")
_DATABASE_FULL = Kind(503, "database-full", "The database's disk is full")
_UNAVAILABLE = Kind(503, "unavailable", "Something that podrun needs can't be reached")
#: Their messages may hold addresses or statements.
_SILENT = (LogStoreUnavailable, LogObjectDamaged, errors.EvaluatorUnavailable)

_STATUS_TYPES = {
    HTTPStatus.UNAUTHORIZED: "unauthorized",
    HTTPStatus.FORBIDDEN: "forbidden-origin",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    HTTPStatus.MISDIRECTED_REQUEST: "unknown-host",
    HTTPStatus.SERVICE_UNAVAILABLE: "not-ready",
}


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str | None = Field(None, description="RFC 6901 JSON pointer into the body as it was sent.")
    parameter: str | None = Field(None, description="Name of the query parameter or header.")
    detail: str = Field(description="What is wrong, and what would be right.")


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field(description="What kind of problem it is; `about:blank` says no more than the status.")
    title: str
    status: int
    detail: str | None = None
    instance: str | None = Field(None, description="This occurrence, as the service's own log names it.")
    errors: list[ProblemError] | None = Field(
        None, description="All that is wrong with the request; of more than 10,000 things the first."
    )


def problem_response(
    kind: Kind,
    detail: str | None = None,
    *,
    faults: Sequence[Mapping[str, str]] = (),
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a problem; it refuses a websocket as well, where the server can (`websocket.http.response`)."""
    body: dict[str, Any] = {"type": kind.type, "title": kind.title, "status": kind.status}
    if kind.type != "about:blank":
        body["type"] = _TYPES + kind.type
    if detail:
        body["detail"] = detail
    if instance:
        body["instance"] = instance
    if faults:
        body["errors"] = faults
    extra = {"Cache-Control": "no-store"}
    if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = "2"
    return Response(_encode(body), kind.status, extra | dict(headers or {}), MEDIA_TYPE)


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        # A message repeats what was sent, which may be half of a surrogate pair: JSON can escape it, UTF-8 has no bytes for it.
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def status_problem(status: int, detail: str | None = None, *, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a problem that is no more than its status."""
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
    kind = Kind(status, _STATUS_TYPES.get(HTTPStatus(status), "about:blank"), phrase)
    return problem_response(kind, None if detail == phrase else detail, headers=headers)


def error_response(error: Exception) -> Response:
    """The answer to any exception. What is not in the table is our fault: logged with an id, and nothing of it is said."""
    kind = next((PROBLEMS[base] for base in type(error).__mro__ if base in PROBLEMS), None)
    if kind is None or isinstance(error, _SILENT):
        instance = f"urn:podrun:error:{secrets.token_hex(8)}"
        shown = kind or _unknown(error)
        if _passes(error):  # no fault of ours, and there may be many: a line each
            told = describe_outage(error) if is_outage(error) else str(error)
            log.warning("a request failed", instance=instance, status=shown.status, error=told)
        else:
            log.error("a request failed", instance=instance, status=shown.status, exc_info=error)
        return problem_response(shown, instance=instance)
    return problem_response(kind, str(error), faults=_faults(error))


def _passes(error: Exception) -> bool:
    """Whether it is over as soon as what podrun needs is back, and its kind says all."""
    if isinstance(error, SQLAlchemyError):
        return is_outage(error)
    return isinstance(error, LogStoreUnavailable | errors.EvaluatorUnavailable)


def _unknown(error: Exception) -> Kind:
    if is_full(error):
        return _DATABASE_FULL
    if is_outage(error):
        return _DATABASE_UNAVAILABLE if isinstance(error, SQLAlchemyError) else _UNAVAILABLE
    return Kind(500, "internal-error", "Something went wrong inside podrun")


def _faults(error: Exception) -> list[dict[str, str]]:
    if isinstance(error, errors.InvalidWorkflow | errors.InvalidBody):
        return [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
    if isinstance(error, errors.InvalidParameter):
        return [{"parameter": error.parameter, "detail": error.detail}]
    if isinstance(error, errors.InvalidCursor):
        return [{"parameter": "cursor", "detail": str(error)}]
    return []


def install(app: FastAPI) -> None:
    """Answer every error of the app, FastAPI's own too, with a problem."""
    for known in PROBLEMS:
        app.add_exception_handler(known, _answer_error)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(WebSocketRequestValidationError, _answer_validation)


async def _answer_error(_connection: HTTPConnection, error: Exception) -> Response:
    return error_response(error)


async def _answer_http(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is installed for
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(connection))
    return status_problem(error.status_code, error.detail, headers=headers)


def _allowed_methods(connection: HTTPConnection) -> list[str]:
    """All methods of a path: the router names those of the first route that fits, and there may be several."""
    routes: list[BaseRoute] = connection.app.routes
    return [
        method
        for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
        if any(route.matches({**connection.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _answer_validation(_connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)  # noqa: S101 - as above
    faults = []
    for fault in error.errors():
        steps = [str(step) for step in fault["loc"] if step not in _SOURCES]
        # A list's parameter has the index behind its name.
        faults.append({"parameter": steps[0] if steps else "", "detail": str(fault["msg"])})
    detail = "; ".join(f"{fault['parameter']}: {fault['detail']}" for fault in faults)
    return problem_response(PROBLEMS[errors.InvalidParameter], detail, faults=faults)


_DESCRIPTIONS = {
    400: "Not JSON, or nested deeper than 100 levels.",
    401: "The token is missing or wrong.",
    403: "`Origin` is not the service's own.",
    404: "There is no such thing.",
    409: "Not as it is now, or a request with the same key is in progress.",
    410: "The run that this key made was deleted since.",
    412: "It is not what `If-Match` or `If-None-Match` say: somebody else was first.",
    413: "The body is larger than 16 MiB, or than 2 MiB where it only asks something of a run.",
    415: "The body must be `application/json`, and in no content coding.",
    421: "`Host` is not one of the service's names.",
    422: "The request is not valid; `errors` has all that is wrong.",
    500: "Something went wrong inside podrun; `instance` is in its log.",
    503: "Something that podrun needs can't be reached just now.",
}
_ALWAYS = (401, 403, 421, 500, 503)


def declare(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's problems for its OpenAPI description, with those that every route may answer."""
    return {status: _declaration(status) for status in sorted({*statuses, *_ALWAYS})}


def _declaration(status: int) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Problem"}
    return {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": reference}}}


def schemas(models: Iterable[type[BaseModel]] = (Problem,)) -> dict[str, Any]:
    """The components that `declare` refers to."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[model.__name__] = schema
    return found
