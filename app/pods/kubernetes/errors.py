"""Translates what the API server answers, or fails to, into podrun's errors, by status code and Status.reason.

Only bodies of `kind: Status` are trusted for text; headers and other bodies never reach a message or a log.
"""

from __future__ import annotations

import msgspec

from app.domain.errors import LogUnavailable, PodDeferred, PodRefused
from app.domain.texts import storable
from app.pods.kubernetes.objects import Status, decode_status

#: The longest message that is passed on, in characters. A refused pod's message names each wrong field.
MAX_MESSAGE = 4096

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "Timeout",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "Timeout",
}
#: Codes below 500 after which the same request may succeed later.
_PASSING = frozenset({401, 408, 409, 410, 425, 429})


class ApiError(Exception):
    """The API server answered with an error. Stays inside this room."""

    def __init__(
        self, code: int, reason: str, message: str, *, kind: str = "", retry_after_seconds: float | None = None
    ) -> None:
        self.code, self.reason, self.message, self.kind = code, storable(reason), storable(message), kind
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{code} {self.reason}: {self.message}")


class ApiUnreachable(Exception):
    """There was no answer: no connection, a broken one, or none in time. The request may have been done all the same."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = storable(reason), storable(message)
        super().__init__(self.message)


def parse_error(code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an answer stands for.

    Args:
        code: the HTTP status
        body: a JSON Status, or anything else
        retry_after: the header of that name
    """
    try:
        status = decode_status(body)
    except msgspec.MsgspecError:
        status = Status()
    if status.kind != "Status":
        status = Status()
    seconds = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else None
    if seconds is None and status.details and status.details.retry_after_seconds > 0:
        seconds = float(status.details.retry_after_seconds)
    return ApiError(
        code,
        status.reason or _REASONS.get(code, f"HTTP{code}"),
        (status.message or f"the API server answered {code} without saying why")[:MAX_MESSAGE],
        kind=status.details.kind if status.details else "",
        retry_after_seconds=seconds,
    )


def is_already_exists(error: ApiError) -> bool:
    """Whether a create failed because something of that name is there."""
    return error.code == 409 and error.reason == "AlreadyExists"


def is_other_uid(error: ApiError) -> bool:
    """Whether a delete failed because the pod of that name is another one (no other precondition is ever sent)."""
    return error.code == 409 and "precondition" in error.message.lower()


def create_error(error: ApiError | ApiUnreachable) -> PodRefused | PodDeferred:
    """What a failed create means for the pod. 409 AlreadyExists is not for this function."""
    if isinstance(error, ApiUnreachable):
        return PodDeferred(error.reason, error.message)
    # The quota admission plug-in says "exceeded quota", and "status unknown for quota" of one just made; "failed quota" is a
    # pod that lacks a request or a limit, and stays so.
    # Source: https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/resourcequota/controller.go
    if error.code == 403 and ("exceeded quota" in error.message or "status unknown for quota" in error.message):
        return PodDeferred("QuotaExceeded", error.message, error.retry_after_seconds)
    if 400 <= error.code < 500 and error.code not in _PASSING and not _is_starting(error):
        return PodRefused(error.reason, error.message)
    return PodDeferred(error.reason, error.message, error.retry_after_seconds)


def _is_starting(error: ApiError) -> bool:
    """Whether admission refused only because the API server has just started, and has not read yet what it decides by.

    Source: https://github.com/kubernetes/apiserver/blob/master/pkg/admission/plugin/namespace/lifecycle/admission.go
    Source: https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/admission/limitranger/admission.go
    """
    starting = ("not yet ready to handle request", "at this time because there was an error enforcing limit ranges")
    return error.code == 403 and error.message.endswith(starting)


def delete_error(error: ApiError | ApiUnreachable) -> PodDeferred:
    """What a failed delete means. A pod that is gone is not for this function."""
    if isinstance(error, ApiUnreachable):
        return PodDeferred(error.reason, error.message)
    return PodDeferred(error.reason, error.message, error.retry_after_seconds)


def log_error(error: ApiError | ApiUnreachable) -> LogUnavailable:
    """What a failed read of a log means: gone only where the API server says that there is no such pod.

    The kubelet answers 404 too, for a pod that it does not know yet or no longer; the API server passes that on with the
    kind "pods/log" or with none.
    """
    if isinstance(error, ApiUnreachable):
        return LogUnavailable(error.message)
    gone = error.code == 404 and error.kind == "pods" and error.message.startswith("pods ")
    return LogUnavailable(error.message, gone=gone)
