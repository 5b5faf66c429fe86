"""Every error of the service has its answer, and what has none says nothing."""

from __future__ import annotations

import inspect
import json
from socket import gaierror

import pytest
import structlog
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.api.problems import PROBLEMS, error_response
from app.domain import errors
from app.domain.errors import Fault
from app.logs.errors import LogStoreUnavailable
from app.storage.errors import DatabaseUnavailable

#: What never reaches a user's request: start-up, executor, pods.
_INNER = {
    errors.PodrunError, errors.LeaseExpired, errors.DatabaseMismatch, errors.ServiceAlreadyRunning, errors.PodRefused,
    errors.PodDeferred, errors.LogUnavailable, errors.ClusterConfigInvalid, errors.DatabaseUnreachable, errors.AddressUnusable,
    errors.RunGone, errors.ExpressionFailed, errors.InvalidTemplate,
}  # fmt: skip


def test_problems__each_error_that_users_may_meet__has_an_answer() -> None:
    ours = {one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.PodrunError)}
    assert ours - _INNER <= set(PROBLEMS)
    assert len({kind.type for kind in PROBLEMS.values()}) >= len(ours - _INNER)


@pytest.mark.parametrize(
    ("error", "status", "faults"),
    [
        (errors.NotFound("run", "x"), 404, None),
        (errors.InvalidBody([Fault("/workflow/a~1b", "is wrong")]), 422, [{"pointer": "/workflow/a~1b", "detail": "is wrong"}]),
        (errors.InvalidWorkflow([Fault("", "is wrong")]), 422, [{"pointer": "", "detail": "is wrong"}]),
        (errors.InvalidParameter("limit", "is wrong"), 422, [{"parameter": "limit", "detail": "is wrong"}]),
        (errors.IdempotentRunDeleted("k", "x"), 410, None),
    ],
)
def test_error_response__a_known_error__is_told(error: Exception, status: int, faults: object) -> None:
    answer = error_response(error)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["status"], body.get("errors")) == (status, status, faults)
    assert answer.media_type == "application/problem+json"
    assert body["detail"] == str(error)


class PostgresError(Exception):
    """As asyncpg's are: all of one class for SQLAlchemy, told apart by their code."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("secret")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("secret"), 500),
        (OperationalError("SELECT secret", {}, OSError("secret")), 503),
        (DBAPIError("SELECT secret", {}, PostgresError("57P01")), 503),
        (DBAPIError("SELECT secret", {}, PostgresError("42P01")), 500),
        (PoolTimeoutError("secret"), 503),
        (gaierror(-2, "secret"), 503),
        (TimeoutError("secret"), 503),
        (DatabaseUnavailable("it did not answer in time"), 503),
    ],
)
def test_error_response__the_inside__is_logged_and_not_told(error: Exception, status: int) -> None:
    with structlog.testing.capture_logs() as entries:
        answer = error_response(error)
    body = json.loads(bytes(answer.body))
    assert answer.status_code == status
    assert "secret" not in bytes(answer.body).decode()
    assert [entry["instance"] for entry in entries] == [body["instance"]]
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (DatabaseUnavailable("no answer"), "The database can't be used just now"),
        (DBAPIError("SELECT", {}, PostgresError("57P01")), "The database can't be used just now"),
        (DBAPIError("SELECT", {}, PostgresError("53100")), "The database's disk is full"),
        (LogStoreUnavailable("secret"), "The log store can't be reached"),
    ],
)
def test_error_response__something_is_away__is_logged_in_a_line_as_no_fault_of_ours(error: Exception, title: str) -> None:
    with structlog.testing.capture_logs() as entries:
        answer = error_response(error)
    assert json.loads(bytes(answer.body))["title"] == title
    assert [(entry["log_level"], "exc_info" in entry) for entry in entries] == [("warning", False)]


def test_error_response__half_of_a_surrogate_pair_repeated_from_a_request__is_shown_as_unknown() -> None:
    answer = error_response(errors.InvalidBody([Fault("/workflow/\ud800", 'unknown key "\ud800"')]))
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["errors"]) == (422, [{"pointer": "/workflow/\ufffd", "detail": 'unknown key "\ufffd"'}])
