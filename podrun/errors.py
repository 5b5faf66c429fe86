"""What the client raises. One base, fields as attributes, a sentence as message."""

from __future__ import annotations

from collections.abc import Sequence

from podrun.types import DocumentFault


class ClientError(Exception):
    """Base of all errors of the client."""


class InvalidArgument(ClientError, ValueError):
    """What a caller gave can't be sent to any server."""


class ProblemError(ClientError):
    """The server refused the request, with an RFC 9457 problem.

    `errors` lists all that is wrong with a document that was sent, each at an RFC 6901 pointer into the body as it was sent
    (for a submitted run the workflow stands below `/workflow`).
    """

    def __init__(self, status: int, title: str, detail: str = "", errors: Sequence[DocumentFault] = ()) -> None:
        self.status, self.title, self.detail, self.errors = status, title, detail, tuple(errors)
        super().__init__(f"{status} {title}: {detail}" if detail and detail != title else f"{status} {title}")


class ServerUnreachable(ClientError):
    """No answer, or none but "not now", came for as long as the client's patience lasts. `cause` is the last failure."""

    def __init__(self, server: str, cause: Exception) -> None:
        self.server, self.cause = server, cause
        super().__init__(f"no answer from {server}: {str(cause) or type(cause).__name__}")


class UnexpectedAnswer(ClientError):
    """Something answered, but not as a podrun service does: the address is perhaps another program's, or a proxy's."""

    def __init__(self, server: str, what: str) -> None:
        self.server, self.what = server, what
        super().__init__(f"{server} answered {what}: is this the address of a podrun service?")


class StreamRefused(ClientError):
    """The server ended a websocket for good: `code` is the close code (1008, or 1011 again and again)."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(f"the server ended the stream: {reason or 'no reason given'} (code {code})")
