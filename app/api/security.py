"""Who may talk to the service: `Host`, `Origin` and the token, checked before anything else, for HTTP and websockets alike.

Deny by default: every path needs the token, but for the two that probes ask, and the page's own, which hold no data. Pure
ASGI, outermost, so that no route can be added that it does not guard; it also answers what nobody else has answered (500),
and sets the headers that every answer has.

Source: https://developer.mozilla.org/docs/Web/Security/Attacks/DNS_rebinding
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.page import is_page_path
from app.api.problems import error_response, status_problem

SUBPROTOCOL = "podrun.v1"
TOKEN_SUBPROTOCOL = "base64url.bearer.podrun.dev."  # noqa: S105  # a prefix, no token
#: Probes of a cluster call by address and without a token; what they get is no secret.
PROBES = frozenset({"/healthz", "/readyz"})
#: As ASGI has them. What a route says of these holds.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def caller_of(token: str | None) -> str:
    """Who calls, as idempotency keys are kept by: a hash of the token, the same for all where there is none."""
    return hashlib.sha256((token or "").encode()).hexdigest()


class Security:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Collection[str], token: str | None) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then call the app."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _HEADERS if pair[0] not in given)]
            is_started = True
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if is_started:
                raise  # nothing can be said any more: the server cuts the connection
            await _refuse(error_response(error), scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        is_probe = scope["type"] == "http" and scope["path"] in PROBES
        if not is_probe and (len(hosts) != 1 or _host_name(hosts[0]) not in self._hosts):
            shown = ", ".join(hosts)[:200] or "none"
            detail = f"this service is not called {shown!r}: call it by another name, or add it to PODRUN_ALLOWED_HOSTS"
            return status_problem(HTTPStatus.MISDIRECTED_REQUEST, detail)
        for origin in headers.getlist("origin"):
            if len(hosts) != 1 or not _is_same(origin, hosts[0]):
                return status_problem(HTTPStatus.FORBIDDEN, f"origin {origin[:200]!r} is not that of this service")
        if self._token is not None and not is_probe and not _is_of_page(scope) and not self._is_authorized(scope, headers):
            detail = "a bearer token is needed: `Authorization: Bearer …`"
            return status_problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": 'Bearer realm="podrun"'})
        return None

    def _is_authorized(self, scope: Scope, headers: Headers) -> bool:
        assert self._token is not None  # noqa: S101  # asked only where there is one
        given = _bearer_token(headers)
        if given is None and scope["type"] == "websocket":
            given = _subprotocol_token(scope.get("subprotocols") or ())
        return given is not None and hmac.compare_digest(given, self._token)


def _is_of_page(scope: Scope) -> bool:
    """Whether one of the page's files is asked for. Routes see the same path, decoded once."""
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_page_path(scope["path"])


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await response(scope, receive, send)


def _host_name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


def _is_same(origin: str, host: str) -> bool:
    """Whether host and port of an `Origin` are those of `Host`. `null` never is."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in _DEFAULT_PORTS or not parts.netloc or parts.path or parts.query:
        return False
    port = _DEFAULT_PORTS[parts.scheme]
    return parts.netloc.lower().removesuffix(f":{port}") == host.lower().removesuffix(f":{port}")


def _bearer_token(headers: Headers) -> bytes | None:
    given = headers.getlist("authorization")
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token.strip().encode("latin-1") if scheme.lower() == "bearer" else None


def _subprotocol_token(subprotocols: Any) -> bytes | None:
    """The token that a browser, which can't set headers on a websocket, offers as a subprotocol."""
    offered = [item.removeprefix(TOKEN_SUBPROTOCOL) for item in subprotocols if item.startswith(TOKEN_SUBPROTOCOL)]
    if len(offered) != 1:
        return None
    try:
        return base64.b64decode(offered[0] + "=" * (-len(offered[0]) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
