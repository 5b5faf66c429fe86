"""Who may talk to the service, for every route that there is."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from app.api.app import create_api
from app.settings import Settings
from tests.integration.api.service import HELLO, running

TOKEN = "t0ken"
RUN = "01a204f4-0976-7652-9c29-425ace738bed"
#: What needs no token: what probes ask, and the page's own files, which hold no data.
PROBES = ("/healthz", "/readyz")
PAGE = ("/", "/runs", "/workflows", "/assets/a.js", f"/runs/{RUN}", "/workflows/nightly", "/favicon.svg")


def _routes(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Paths with their methods; a websocket's are empty. Routers may be nested."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner.routes, prefix + route.include_context.prefix)
        else:
            yield prefix + route.path, frozenset(getattr(route, "methods", None) or ())


def _all_routes() -> list[tuple[str, str | None]]:
    app = create_api(Settings(), asynccontextmanager(lambda: iter(())), asyncio.Event())  # type: ignore[arg-type]
    found: list[tuple[str, str | None]] = []
    for path, methods in _routes(app.routes):
        filled = path.replace("{run_id}", RUN).replace("{task}", "a")
        filled = filled.replace("/assets/{name}", "/assets/a.js")
        filled = filled.replace("/runs/{rest:path}", f"/runs/{RUN}").replace("/workflows/{rest:path}", "/workflows/nightly")
        found += [(filled, method) for method in sorted(methods)] or [(filled, None)]
    return found


def test_routes__are_all_found() -> None:
    routes = _all_routes()
    assert ("/api/v1/runs", "POST") in routes
    assert (f"/api/v1/runs/{RUN}/tasks/a/logs", None) in routes
    assert ("/api/v1/openapi.json", "GET") in routes
    assert sum(method is None for _, method in routes) == 4
    assert {path for path, _ in routes if not path.startswith("/api/v1/")} == {*PROBES, *PAGE, "/metrics"}


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic dDBrZW4=", "Bearer", f"bearer {TOKEN}x"])
async def test_token__missing_or_wrong__is_401_everywhere(tmp_path: Path, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    async with running(tmp_path, token=TOKEN) as service, httpx.AsyncClient(base_url=service.url, trust_env=False) as http:
        for path, method in _all_routes():
            if path in (*PROBES, *PAGE):
                continue
            if method is None:
                with pytest.raises(InvalidStatus) as refused:
                    async with service.socket(path.removeprefix("/api/v1"), additional_headers={
                        name: value.decode("latin-1") for name, value in headers.items()
                    }):  # fmt: skip
                        pass
                answer = refused.value.response
                assert answer.status_code == 401, path
                assert "Bearer" in answer.headers["WWW-Authenticate"]
                assert json.loads(answer.body or b"")["status"] == 401
                continue
            response = await http.request(method, path, headers=headers)
            assert response.status_code == 401, (method, path)
            assert response.headers["www-authenticate"].startswith("Bearer")
        assert (await http.get("/nothing/at/all", headers=headers)).status_code == 401
        for path in PROBES:
            assert (await http.get(path)).status_code == 200
        for path in PAGE:
            for method in ("GET", "HEAD"):
                assert (await http.request(method, path, headers=headers)).status_code == 404, path  # it is not built
            for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
                assert (await http.request(method, path, headers=headers)).status_code == 401, (method, path)


#: As bytes of the request line: a client's URL class would put them right.
_ALMOST_OF_THE_PAGE = [
    "//", "//runs", "//api/v1/runs", "/./api/v1/runs", "/runs/../api/v1/runs", "/runs/../metrics", "/runs/..", "/runs/.",
    "/runs//", "/runs//x", "/runs/%2e%2e/api/v1/runs", "/runs/%2e%2e%2fapi%2fv1%2fruns", "/runs/..%2fapi/v1/runs",
    "/runs/%252e%252e/x", "/runs/..;/api/v1/runs", "/runs/x/../../api/v1/runs", "/runs/x%00", "/runs/x%0a", "/runs%0a",
    "/runs%00", "/runs\\..\\api", "/Runs", "/runsx", "/workflows/../api/v1/runs", "/workflows/%2E%2E/metrics",
    "/workflowsx", "/api", "/api/", "/api/v1", "/api/v1/runs", "/api/v1/runs?x=/runs", "/api/v1/runs/counts",
    "/api/v1/openapi.json", "/%61pi/v1/runs", "/metrics", "/metrics/", "/%6detrics", "/assets", "/assets/", "/assets/..",
    "/assets/../index.html", "/assets/%2e%2e/%2e%2e/app.py", "/assets/a/b.js", "/assets/a%2fb.js", "/assets/.env",
    "/assets/a.js%0a", "/favicon.ico", "/favicon.svg/", "/index.html", "/http://localhost/runs", "*",
    "http://localhost/api/v1/runs",
]  # fmt: skip


@pytest.mark.parametrize("target", _ALMOST_OF_THE_PAGE)
async def test_token__a_path_that_is_almost_one_of_the_page__is_needed(tmp_path: Path, target: str) -> None:
    async with running(tmp_path, token=TOKEN) as service, asyncio.timeout(10):
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        status = int((await reader.readline()).split()[1])
        writer.close()
        assert status in (400, 401), status  # 400: the server itself takes it for no request


async def test_token__right__is_taken_and_never_echoed(tmp_path: Path) -> None:
    async with running(tmp_path, token=TOKEN) as service, httpx.AsyncClient(base_url=service.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {TOKEN}".encode()}
        answer = await http.post("/api/v1/runs", json={"workflow": HELLO}, headers=headers)
        assert answer.status_code == 201
        assert (await http.get("/api/v1/openapi.json", headers=headers)).status_code == 200
        encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
        offered: list[Any] = ["podrun.v1", f"base64url.bearer.podrun.dev.{encoded}"]
        async with service.socket(f"/runs/{answer.json()['id']}/events", subprotocols=offered) as socket:
            assert socket.subprotocol == "podrun.v1"
        for wrong in ("base64url.bearer.podrun.dev.!!", "base64url.bearer.podrun.dev.eA", "base64url.bearer.podrun.dev."):
            with pytest.raises(InvalidStatus) as refused:
                async with service.socket("/runs/events", subprotocols=["podrun.v1", wrong]):
                    pass
            assert refused.value.response.status_code == 401


async def test_idempotency_keys__of_another_token__are_others(tmp_path: Path) -> None:
    made = []
    for token in ("one", "two"):
        async with running(tmp_path, token=token) as service:
            service.http.headers["Authorization"] = f"Bearer {token}"
            made.append((await service.submit(**{"Idempotency-Key": "k"}))["id"])
    assert made[0] != made[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "127.0.0.1.nip.io"])
async def test_host__not_ours__is_421_but_for_probes(tmp_path: Path, host: str) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.get("/info", headers={"Host": host})
        assert (answer.status_code, answer.json()["status"]) == (421, 421)
        for path in ("/healthz", "/readyz"):
            assert (await service.http.get(service.url + path, headers={"Host": host})).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            async with service.socket("/runs/events", additional_headers={"Host": host}):
                pass
        assert refused.value.response.status_code in (400, 421)  # the server itself refuses two Hosts


async def test_host__ours__with_any_port_and_case(tmp_path: Path) -> None:
    async with running(tmp_path, allowed_hosts="LocalHost,[::1],podrun.example") as service:
        for host in ("localhost", "LOCALHOST:1", "[::1]", "[::1]:8080", "podrun.example:443"):
            assert (await service.http.get("/info", headers={"Host": host})).status_code == 200, host
        assert (await service.http.get("/info", headers={"Host": "127.0.0.1"})).status_code == 421


async def test_origin__not_that_of_host__is_403(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        own = service.url
        for origin in ("null", "http://evil.example", "http://127.0.0.1:1", own + "/", "file://", own.replace("http", "ftp")):
            answer = await service.http.get("/info", headers={"Origin": origin})
            assert answer.status_code == 403, origin
            with pytest.raises(InvalidStatus) as refused:
                async with service.socket("/runs/events", additional_headers={"Origin": origin}):
                    pass
            assert refused.value.response.status_code == 403
        assert (await service.http.get("/info", headers={"Origin": own})).status_code == 200
        https = {"Origin": "https://localhost", "Host": "localhost:443"}
        assert (await service.http.get("/info", headers=https)).status_code == 200
        async with service.socket("/runs/events", additional_headers={"Origin": own}):
            pass


async def test_origin__foreign_or_null__every_stream_and_page_refuses_it(tmp_path: Path) -> None:
    async with running(tmp_path, token=TOKEN) as service:
        run = await service.submit()
        base = f"/runs/{run['id']}"
        for origin in ("null", "https://evil.example", service.url.replace("127.0.0.1", "localhost")):
            for path in ("/runs/events", f"{base}/events", f"{base}/logs", f"{base}/tasks/a/logs"):
                headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}"}
                with pytest.raises(InvalidStatus) as refused:
                    async with service.socket(path, additional_headers=headers):
                        pass
                assert refused.value.response.status_code == 403, (origin, path)
            for path in PAGE:
                answer = await service.http.get(service.url + path, headers={"Origin": origin})
                assert answer.status_code == 403, (origin, path)
        for path in PAGE:
            assert (await service.http.get(service.url + path, headers={"Host": "evil.example"})).status_code == 421


async def test_answers__have_the_headers_that_keep_browsers_quiet(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        for answer in (await service.http.get("/info"), await service.http.get("/nothing")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
