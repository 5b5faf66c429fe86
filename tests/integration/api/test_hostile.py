"""Requests of clients that mean harm, or are broken: refused, and no fault of ours."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
import structlog

from app.api.requests import MAX_ACTION_BYTES
from tests.integration.api.service import HELLO, Service, running

JSON = {"Content-Type": "application/json"}
POST = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def sent(service: Service, *parts: bytes) -> bytes:
    """What came back for these bytes, on a connection that the client then closes."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        async with asyncio.timeout(10):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
        return reader._buffer[:] if reader._buffer else b""  # type: ignore[attr-defined]  # what is there, without waiting
    finally:
        writer.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip", "x"])
async def test_bodies__in_a_content_coding__are_415(tmp_path: Path, coding: str) -> None:
    async with running(tmp_path) as service:
        body = gzip.compress(json.dumps({"workflow": HELLO}).encode())
        answer = await service.http.post("/runs", content=body, headers={**JSON, "Content-Encoding": coding})
        assert answer.status_code == 415
        assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "parts",
    [
        (POST + b"Content-Length: 100\r\n\r\n", b"{"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nab"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\n{}\r\n", b"ZZ\r\n"),
    ],
    ids=["length", "chunk", "no chunk"],
)
async def test_bodies__that_are_cut_off__are_no_fault_of_ours(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    async with running(tmp_path) as service:
        with structlog.testing.capture_logs() as entries:
            await sent(service, *parts)
            await service.http.get("/info")
        assert not entries
        assert (await service.http.get("/runs")).json()["items"] == []


@pytest.mark.parametrize("path", ["cancel", "retry", "suspend", "tasks/a/approve"])
async def test_actions__with_a_body_of_megabytes__are_413(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        body = b'{"tasks": ["' + b"a" * MAX_ACTION_BYTES + b'"]}'
        answer = await service.http.post(f"/runs/{run['id']}/{path}", content=body, headers=JSON)
        assert answer.status_code == 413
        assert answer.json()["detail"] == f"the body may have {MAX_ACTION_BYTES} bytes at most"
