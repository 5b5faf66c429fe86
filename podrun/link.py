"""One server: its address, the token, one connection pool, and how long to go on trying.

Requests that are safe to repeat are repeated until the server has answered. Until its first answer ever that goes on for 20 s
(a wrong address should be known soon), later for 10 minutes (a restart or a broken network should not end a CI job). Who waits
for less puts `asyncio.timeout` around the call. Used by `client` and `streams`, and by nobody else.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import urllib.parse
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from podrun.errors import ClientError, InvalidArgument, ProblemError, ServerUnreachable, UnexpectedAnswer
from podrun.types import DocumentFault

API = "/api/v1"
USER_AGENT = "podrun-client"

#: Answers that mean "not now": as good as no answer.
BUSY_STATUSES = frozenset({429, 502, 503, 504})
#: How often a 500 is asked again: it may be a passing fault, but it is an answer.
MAX_SERVER_FAULTS = 3
CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
_FIRST_DELAY_SECONDS = 0.2
_MAX_DELAY_SECONDS = 10.0

Params = Mapping[str, str | int | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client goes on trying when the network fails, in seconds, counted from the first failure in a row."""

    first_seconds: float = 20.0  #: until the server's first answer
    later_seconds: float = 600.0  #: after it


class Busy(ClientError):
    """The server said "not now"; `retry_after_seconds` is what it asked for, or None."""

    def __init__(self, problem: ProblemError, retry_after_seconds: float | None) -> None:
        self.problem, self.retry_after_seconds = problem, retry_after_seconds
        super().__init__(str(problem))


def _is_address(server: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(server)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port out of range, half of an IPv6 address
        return False


class Link:
    """A server and the connections to it. Owned and closed by one `AsyncClient`."""

    def __init__(self, server: str, token: str | None, patience: Patience) -> None:
        if not _is_address(server):
            raise InvalidArgument(f"the server's address must be like http://127.0.0.1:8080, not {server!r}")
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise InvalidArgument("the token must be printable ASCII without spaces")
        self.server = server.rstrip("/")
        self.patience = patience
        self.answered = False  #: whether the server ever answered
        self.headers = {"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._http = httpx.AsyncClient(
            headers=self.headers, timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None)
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def outage(self) -> Outage:
        """Start counting the failures of one request or stream."""
        return Outage(self)

    def websocket_url(self, path: str, params: Params) -> str:
        """The address of a stream. It never holds the token."""
        query = urllib.parse.urlencode(params, doseq=True)
        base = "ws" + self.server.removeprefix("http")
        return f"{base}{API}{path}" + (f"?{query}" if query else "")

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        read_seconds: float = READ_SECONDS,
        busy_statuses: frozenset[int] = BUSY_STATUSES,
        lost_statuses: frozenset[int] = frozenset(),
    ) -> httpx.Response:
        """Ask until there is an answer: a 2xx or a 304.

        `lost_statuses` are taken for success when an earlier try may have done the work although its answer was lost.

        Raises:
            ProblemError: The server refused.
            ServerUnreachable: Patience is at an end.
            UnexpectedAnswer: This is no podrun service.
        """
        outage = self.outage()
        timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=None)
        while True:
            try:
                response = await self._http.request(
                    method,
                    self.server + API + path,
                    params=httpx.QueryParams(dict(params or {})),
                    headers=dict(headers or {}),
                    content=content,
                    timeout=timeout,
                )
                if outage.tries and response.status_code in lost_statuses:
                    return response
                self.check(response, busy_statuses)
            except (httpx.TransportError, Busy) as exc:
                await outage.pause(exc)
            else:
                return response

    @asynccontextmanager
    async def open(self, path: str, params: Params, accept: str) -> AsyncIterator[httpx.Response]:
        """Open a body for reading piece by piece, once: who reads it decides how to go on after a failure.

        Raises:
            httpx.TransportError: The network failed, also later, while reading.
            Busy: The server said "not now".
            ProblemError: The server refused.
            UnexpectedAnswer: This is no podrun service.
        """
        query = httpx.QueryParams(dict(params))
        headers = {"Accept": accept}
        async with self._http.stream("GET", self.server + API + path, params=query, headers=headers) as response:
            if response.status_code != HTTPStatus.OK:
                await response.aread()
            self.check(response, BUSY_STATUSES)
            yield response

    def check(self, response: httpx.Response, busy_statuses: frozenset[int]) -> None:
        """Raise what an answer means, unless it is a success or a 304, and note that the server answers."""
        status = response.status_code
        if response.is_success or status == HTTPStatus.NOT_MODIFIED:
            self.answered = True
            return
        content_type = response.headers.get("content-type", "")
        problem = self.problem(status, content_type, response.content)
        if status in busy_statuses or status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Busy(problem, retry_after_seconds(response.headers.get("retry-after")))
        self.answered = True
        raise problem

    def document(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON object of an answer.

        Raises:
            UnexpectedAnswer: It is none.
        """
        try:
            document = response.json()
        except ValueError as exc:
            raise UnexpectedAnswer(self.server, f"{response.status_code}, and not as JSON") from exc
        if not isinstance(document, dict):
            raise UnexpectedAnswer(self.server, f"{response.status_code} with no JSON object")
        return document

    def problem(self, status: int, content_type: str, body: bytes) -> ProblemError:
        """Read a problem.

        Raises:
            UnexpectedAnswer: It is none, and not a status that a proxy may give in the service's place.
        """
        document: Any = None
        if "json" in content_type:
            try:
                document = json.loads(body)
            except ValueError:
                document = None
        title = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown status"
        if isinstance(document, dict):
            errors: list[DocumentFault] = [
                {"pointer": str(fault.get("pointer", "")), "detail": str(fault.get("detail", ""))}
                for fault in document.get("errors") or ()
                if isinstance(fault, dict)
            ]
            return ProblemError(status, str(document.get("title") or title), str(document.get("detail") or ""), errors)
        if status not in {401, 403, 407, 413, 421, 431} and status < 500 and status not in BUSY_STATUSES:
            raise UnexpectedAnswer(self.server, f"{status} {title}, and not as JSON")
        return ProblemError(status, title)


class Outage:
    """The failures in a row of one request or stream: how long to wait for the next try, and when to give up."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._since: float | None = None
        self._faults = 0
        self.tries = 0  #: failures in a row

    def over(self) -> None:
        """Something arrived: the next failure is the first again."""
        self._since, self.tries, self._faults = None, 0, 0

    async def pause(self, failure: Exception) -> None:
        """Wait before the next try: jittered, growing, at least as long as the server asked for.

        Raises:
            ServerUnreachable: Patience is at an end, or `failure` will not pass by itself.
            ProblemError: The server keeps answering 500.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        patience = self._link.patience
        remaining = self._since + (patience.later_seconds if self._link.answered else patience.first_seconds) - now
        if _is_lasting(failure) or (remaining <= 0 and not isinstance(failure, Busy)):
            raise ServerUnreachable(self._link.server, failure) from failure
        if isinstance(failure, Busy):
            self._faults += failure.problem.status == HTTPStatus.INTERNAL_SERVER_ERROR
            if remaining <= 0 or self._faults > MAX_SERVER_FAULTS:
                raise failure.problem from failure
        asked = failure.retry_after_seconds if isinstance(failure, Busy) else None
        ceiling = min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(self.tries, 10))
        delay = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 (jitter, not a secret)
        self.tries += 1
        await asyncio.sleep(min(max(delay, asked or 0.0), max(remaining, 0.0)))


def retry_after_seconds(value: str | None) -> float | None:
    """What a `Retry-After` asks for, None where there is none or it is not understood.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def segment(value: str) -> str:
    """A name or id as one segment of a path.

    Raises:
        InvalidArgument: It would make another path.
    """
    if value in {"", ".", ".."}:
        raise InvalidArgument(f"{value!r} is no name")
    return urllib.parse.quote(value, safe="")


def _is_lasting(failure: Exception) -> bool:
    """Whether trying again can't help: our own mistake, or a certificate that is not trusted."""
    return isinstance(failure, httpx.LocalProtocolError | httpx.UnsupportedProtocol) or "CERTIFICATE_VERIFY" in str(failure)
