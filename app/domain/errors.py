"""Every error that podrun itself raises. No HTTP in here: `api.problems` holds the table from class to answer.

Fields are attributes, the message is built in `__init__` and says what is wrong, with which value, and what would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PodrunError(Exception):
    """Base of all errors of this service."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a document.

    `pointer` is an RFC 6901 JSON pointer, from the root of the workflow document ("" is the document itself); the API puts
    the place of the workflow in the body (`/workflow`) before it.
    """

    pointer: str
    detail: str


class InvalidWorkflow(PodrunError):
    """The workflow document is wrong; `faults` has all that is, in document order."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"the workflow is not valid: {first.pointer or '/'}: {first.detail}{more}")


class ExpressionFailed(PodrunError):
    """An expression could not be evaluated, or what came of it is not what may stand at its place."""


class MalformedDocument(PodrunError):
    """The body is no JSON, or nested deeper than is allowed."""


class InvalidBody(PodrunError):
    """The body of a request is JSON, but not what is asked for; the faults' pointers are into the body as sent."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        super().__init__(f"the request is not valid: {first.pointer or '/'}: {first.detail}{more}")


class InvalidParameter(PodrunError):
    """A query parameter or header has a value that it can't have."""

    def __init__(self, parameter: str, detail: str) -> None:
        self.parameter, self.detail = parameter, detail
        super().__init__(f"{parameter}: {detail}")


class NotFound(PodrunError):
    """There is no such thing. `meant`: one whose name is close. `there_is`: a sentence on what there is."""

    def __init__(self, kind: str, name: str, *, meant: str | None = None, there_is: str = "") -> None:
        self.kind, self.name, self.meant = kind, name, meant
        hint = f", did you mean {meant!r}?" if meant else f": {there_is}" if there_is else ""
        super().__init__(f"there is no {kind} {name!r}{hint}")


class PreconditionFailed(PodrunError):
    """Somebody else has changed it since the caller looked. `etag` is what it is now; None: it is not there."""

    def __init__(self, kind: str, name: str, etag: str | None) -> None:
        self.kind, self.name, self.etag = kind, name, etag
        now = f"its ETag is {etag} now" if etag else "it is not there"
        super().__init__(f"{kind} {name} is not what If-Match or If-None-Match say: {now}; get it, and decide again")


class RunNotFinished(PodrunError):
    """What was asked for needs a run that is over and finished."""

    def __init__(self, run_id: str, phase: str) -> None:
        self.run_id, self.phase = run_id, phase
        super().__init__(f"run {run_id} is not finished (phase {phase}): cancel it, or wait until is_finished is true")


class NothingToRetry(PodrunError):
    """Nothing failed in the run, and no task was named."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"nothing failed in run {run_id}: name the tasks that are to run again")


class NotWaitingForApproval(PodrunError):
    """The task does not wait for an approval."""

    def __init__(self, task: str, phase: str, reason: str) -> None:
        self.task, self.phase, self.reason = task, phase, reason
        super().__init__(f"task {task} does not wait for approval: it is {phase}{f' ({reason})' if reason else ''}")


class AlreadyAnswered(PodrunError):
    """The task's approval was given or refused a moment ago."""

    def __init__(self, task: str) -> None:
        self.task = task
        super().__init__(f"task {task} has its answer already: it is on its way")


class IdempotencyKeyReused(PodrunError):
    """The same idempotency key came with another body."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"Idempotency-Key {key!r} was used with another body before: use a new key for a new request")


class IdempotencyKeyBusy(PodrunError):
    """A request with the same idempotency key is still in progress."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"a request with Idempotency-Key {key!r} is still in progress: ask again in a moment")


class IdempotentRunDeleted(PodrunError):
    """The run that an idempotency key made was deleted since."""

    def __init__(self, key: str, run_id: str) -> None:
        self.key, self.run_id = key, run_id
        super().__init__(f"run {run_id}, which Idempotency-Key {key!r} made, was deleted since")


class InvalidCursor(PodrunError):
    """A cursor that podrun did not hand out, or not for this list."""

    def __init__(self, cursor: str) -> None:
        self.cursor = cursor
        super().__init__(f"cursor {cursor[:200]!r} is not one that this resource gave")


class RunGone(PodrunError):
    """The run was deleted."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} is not there any more")


class OwnershipLost(PodrunError):
    """A write carried an epoch that is not the run's newest: another executor owns the run now."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id} is owned by another executor now")


class LeaseExpired(PodrunError):
    """This executor can't prove any more that it lives, so it must not touch the cluster."""


class DatabaseMismatch(PodrunError):
    """The database's schema is not the one that this code was made for."""


class DatabaseUnreachable(PodrunError):
    """The database can't be reached at the start of the service."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        super().__init__(f"the database {url} can't be reached ({why}): is PODRUN_DATABASE_URL right?")


class AddressUnusable(PodrunError):
    """The service can't listen where it is told to."""

    def __init__(self, host: str, port: int, why: str) -> None:
        self.host, self.port = host, port
        super().__init__(f"can't listen on {host}, port {port}: {why}; PODRUN_HOST and PODRUN_PORT say where")


class ServiceAlreadyRunning(PodrunError):
    """Another process serves this SQLite database."""


class PodRefused(PodrunError):
    """The cluster will not take the pod as it is: trying again is of no use.

    `reason` is the API server's word (Forbidden, Invalid, NotFound, BadRequest) or ours (PodNameConflict).
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(f"{reason}: {message}")


class PodDeferred(PodrunError):
    """The pod can't be created just now, but may be later: quota used up, or the cluster is out of reach.

    `reason` is QuotaExceeded, or the trouble's word (TooManyRequests, ServiceUnavailable, ConnectionError, ...).
    `retry_after_seconds` is what the API server asked for, None where it did not.
    """

    def __init__(self, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        self.reason, self.message, self.retry_after_seconds = reason, message, retry_after_seconds
        super().__init__(f"{reason}: {message}")


class LogUnavailable(PodrunError):
    """A container's log can't be read just now (`gone` False), or never again (`gone` True: the pod is not there)."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        self.gone = gone
        super().__init__(message)


class ClusterConfigInvalid(PodrunError):
    """No cluster can be found, or what says where it is (kubeconfig, service account) can't be used."""


class InvalidTemplate(PodrunError):
    """A text holds `${{`, but no expression that ends."""


class EvaluatorUnavailable(PodrunError):
    """Expressions can't be evaluated just now, and podrun is at fault: ask again."""
