"""The API server's answers, and what they mean for a pod, its deletion and its log."""

from __future__ import annotations

import json

import pytest

from app.domain.errors import PodDeferred, PodRefused
from app.pods.kubernetes.errors import (
    MAX_MESSAGE,
    ApiError,
    ApiUnreachable,
    create_error,
    delete_error,
    is_already_exists,
    is_other_uid,
    log_error,
    parse_error,
)
from app.pods.kubernetes.objects import decode_event, to_pod_event

QUOTA = 'pods "a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'


def status(code: int, reason: str, message: str, **details: object) -> bytes:
    return json.dumps(
        {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details}
    ).encode()


def test_parse_error__status__its_reason_message_and_kind():
    error = parse_error(404, status(404, "NotFound", 'pods "a" not found', name="a", kind="pods"))
    assert (error.code, error.reason, error.message, error.kind) == (404, "NotFound", 'pods "a" not found', "pods")


@pytest.mark.parametrize(
    "body", [b"", b"<html>token=secret</html>", b'{"kind": "Secret", "message": "secret"}', b'{"code": "x"}']
)
def test_parse_error__no_status__nothing_of_the_body(body: bytes):
    error = parse_error(502, body)
    assert error.reason == "BadGateway"
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("header", "details", "expected"), [("7", {}, 7.0), (None, {"retryAfterSeconds": 3}, 3.0), ("soon", {}, None)]
)
def test_parse_error__retry_after__from_header_or_status(
    header: str | None, details: dict[str, object], expected: float | None
):
    assert parse_error(429, status(429, "TooManyRequests", "slow down", **details), header).retry_after_seconds == expected


def test_parse_error__endless_message__is_cut():
    assert len(parse_error(422, status(422, "Invalid", "x" * 100_000)).message) == MAX_MESSAGE


@pytest.mark.parametrize(
    ("code", "reason", "message"),
    [
        (400, "BadRequest", "cannot be handled as a Pod"),
        (403, "Forbidden", 'pods is forbidden: User "a" cannot create resource "pods"'),
        (403, "Forbidden", 'pods "a" is forbidden: unable to create new content in namespace x because it is being terminated'),
        (403, "Forbidden", 'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: main'),
        (404, "NotFound", 'namespaces "x" not found'),
        (422, "Invalid", 'Pod "A" is invalid: metadata.name: Invalid value: "A"'),
    ],
)
def test_create_error__never_taken_as_it_is__refused_in_its_words(code: int, reason: str, message: str):
    error = create_error(ApiError(code, reason, message))
    assert isinstance(error, PodRefused)
    assert (error.reason, error.message) == (reason, message)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "Unauthorized"), (409, "Conflict"), (429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")],
)
def test_create_error__may_go_later__deferred_with_retry_after(code: int, reason: str):
    error = create_error(ApiError(code, reason, "not now", retry_after_seconds=2))
    assert isinstance(error, PodDeferred)
    assert (error.reason, error.retry_after_seconds) == (reason, 2)


@pytest.mark.parametrize("message", [QUOTA, 'pods "a" is forbidden: status unknown for quota: small, resources: pods'])
def test_create_error__quota__deferred_as_quota_exceeded(message: str):
    error = create_error(ApiError(403, "Forbidden", message))
    assert isinstance(error, PodDeferred)
    assert (error.reason, error.message) == ("QuotaExceeded", message)


@pytest.mark.parametrize(
    "message",
    [
        'pods "a" is forbidden: not yet ready to handle request',
        'pods "a" is forbidden: unable to CREATE pods at this time because there was an error enforcing limit ranges',
    ],
)
def test_create_error__an_api_server_that_has_just_started__deferred(message: str):
    error = create_error(ApiError(403, "Forbidden", message))
    assert isinstance(error, PodDeferred)
    assert (error.reason, error.message) == ("Forbidden", message)


def test_create_error__no_answer__deferred():
    error = create_error(ApiUnreachable("ConnectionError", "the API server can't be reached"))
    assert isinstance(error, PodDeferred)
    assert error.reason == "ConnectionError"


def test_delete_error__forbidden__deferred():
    assert delete_error(ApiError(403, "Forbidden", "no")).reason == "Forbidden"


@pytest.mark.parametrize(
    "message",
    [
        'Operation cannot be fulfilled on Pod "a": the UID in the precondition (x) does not match the UID in record (y).',
        'Operation cannot be fulfilled on pods "a": Precondition failed: UID in precondition: x, UID in object meta: y',
    ],
)
def test_is_other_uid__both_wordings__yes(message: str):
    assert is_other_uid(ApiError(409, "Conflict", message))
    assert not is_other_uid(ApiError(409, "Conflict", "please apply your changes to the latest version"))


def test_is_already_exists__only_that_conflict():
    assert is_already_exists(ApiError(409, "AlreadyExists", 'pods "a" already exists'))
    assert not is_already_exists(ApiError(409, "Conflict", "quota: please apply your changes"))


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (ApiError(404, "NotFound", 'pods "a" not found', kind="pods"), True),
        (ApiError(404, "NotFound", "the server could not find the requested resource ( pods/log a)"), False),
        (ApiError(400, "BadRequest", 'container "main" in pod "a" is waiting to start: ContainerCreating'), False),
        (ApiError(500, "InternalError", "dial tcp 10.0.0.1:10250: connect: connection refused"), False),
        (ApiUnreachable("Timeout", "no answer in time"), False),
    ],
)
def test_log_error__gone_only_without_pod(error: ApiError | ApiUnreachable, gone: bool):
    assert log_error(error).gone is gone


def test_errors__texts_that_no_database_takes__are_replaced():
    error = parse_error(403, status(403, "Forbid\0den", "the web\0hook says no"))
    assert (error.reason, error.message) == ("Forbid\ufffdden", "the web\ufffdhook says no")
    refused = create_error(error)
    assert (refused.reason, refused.message) == (error.reason, error.message)
    assert ApiUnreachable("x", "half \ud800").message == "half \ufffd"


def test_to_pod_event__texts_that_no_database_takes__are_replaced():
    event = {
        "metadata": {"name": "e"}, "involvedObject": {"name": "p"}, "type": "Warn\0ing", "reason": "Fai\0led", "message": "\0",
        "source": {"component": "kube\0let"},
    }  # fmt: skip
    told = to_pod_event(decode_event(json.dumps(event).encode()))
    assert (told.type, told.reason, told.message, told.source) == ("Warn\ufffding", "Fai\ufffdled", "\ufffd", "kube\ufffdlet")
