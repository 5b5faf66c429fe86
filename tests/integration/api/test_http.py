"""The API as a whole: problems for whatever goes wrong, health, info, the OpenAPI document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.logs.frames import Follow, LogFrame, LogQuery
from tests.integration.api.service import HELLO, running


class BrokenReader:
    """A reader that fails in a way that nobody foresaw."""

    async def lines(self, _query: LogQuery, _follow: Follow | None = None) -> AsyncIterator[LogFrame]:
        raise ZeroDivisionError("a secret of the inside")
        yield

    async def plain(
        self,
        _query: LogQuery,
        _follow: Follow | None = None,
        *,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]:
        raise ZeroDivisionError("a secret of the inside")
        yield


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None), ("GET", "/runs/", 404, None), ("PUT", "/runs", 405, "GET, POST"),
        ("PATCH", "/runs/x", 405, "DELETE, GET"), ("GET", "/workflows/validate", 404, None), ("GET", "/runs/x", 404, None),
        ("DELETE", "/runs/01a204f4-0976-7652-9c29-425ace738bed", 404, None), ("GET", "/runs/%00", 404, None),
    ],
)  # fmt: skip
async def test_routes__unknown_or_wrong_method__is_a_problem(
    tmp_path: Path, method: str, path: str, status: int, allow: str | None
) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.headers.get("allow") == allow


@pytest.mark.parametrize("path", ["/runs", "/workflows/validate", "/runs/01a204f4-0976-7652-9c29-425ace738bed/cancel"])
async def test_bodies__of_another_type__are_415(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.post(path, content=b"name: hello", headers={"Content-Type": "application/yaml"})
        assert answer.status_code == 415
        form = await service.http.post(path, data={"a": "b"})
        assert form.status_code == 415


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_bodies__over_16_mib__are_413_before_they_are_parsed(tmp_path: Path, is_chunked: bool) -> None:
    async with running(tmp_path) as service:

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(17):
                yield b"[" * 1024 * 1024

        content: Any = chunks() if is_chunked else b"[" * (17 * 1024 * 1024)
        answer = await service.http.post("/runs", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["type"] == "urn:podrun:problem:body-too-large"
        assert (await service.http.get("/info")).status_code == 200


async def test_faults__of_ours__are_500_and_say_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, reader=BrokenReader()) as service:
        run = await service.submit()
        with structlog.testing.capture_logs() as entries:
            answer = await service.http.get(f"/runs/{run['id']}/logs?cursor=x")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "ZeroDivisionError" not in answer.text
        assert answer.json()["instance"].startswith("urn:podrun:error:")
        assert [entry["instance"] for entry in entries] == [answer.json()["instance"]]


async def test_readyz__something_is_wrong__is_named(tmp_path: Path) -> None:
    async def fine() -> str | None:
        return None

    async def wrong() -> str | None:
        return "no node is there"

    async def broken() -> str | None:
        raise OSError("/secret/path")

    async with running(tmp_path, checks={"logs": fine, "pods": wrong, "executor": broken}) as service:
        answer = await service.http.get(f"{service.url}/readyz")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "pods: no node is there; executor: the check failed (OSError)"
        assert answer.headers["retry-after"]
        assert (await service.http.get(f"{service.url}/healthz")).json() == {"status": "ok"}
    async with running(tmp_path, checks={"logs": fine}) as service:
        assert (await service.http.get(f"{service.url}/readyz")).status_code == 200
        for path in ("healthz", "readyz"):  # as load balancers ask
            answer = await service.http.head(f"{service.url}/{path}")
            assert (answer.status_code, answer.content) == (200, b"")


async def test_info__says_what_the_service_is(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        info = (await service.http.get("/info")).json()
        assert (info["pods"], info["namespaces"], info["database"]) == ("local", ["default", "other"], "sqlite")
        assert info["limits"] == {"max_body_bytes": 16 * 1024 * 1024, "max_parallel_pods": 500, "max_tasks": 10_000}


async def test_openapi__describes_every_route_with_its_problems(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        document = (await service.http.get("/openapi.json")).json()
        assert {"Run", "TaskRun", "Attempt", "Problem", "Submission", "Workflow"} <= set(document["components"]["schemas"])
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                assert operation["summary"], (method, path)
                if path.startswith("/api/"):
                    assert {"401", "403", "421", "500"} <= set(operation["responses"]), (method, path)
                for status, answer in operation["responses"].items():
                    if status >= "400":
                        assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
        submit = document["paths"]["/api/v1/runs"]["post"]
        assert submit["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Submission")
        assert {"201", "400", "409", "410", "413", "415", "422"} <= set(submit["responses"])
        text = str(document)
        references = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
        assert references <= set(document["components"]["schemas"])


async def test_requests__a_hundred_at_once__are_all_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(service.http.post("/runs", json={"workflow": HELLO})) for _ in range(100)]
        ids = [one.result().json()["id"] for one in sent]
        listed = [item["id"] for item in (await service.http.get("/runs?limit=1000")).json()["items"]]
        assert sorted(ids, reverse=True) == listed
