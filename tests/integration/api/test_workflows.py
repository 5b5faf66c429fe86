"""Stored workflows over HTTP, and the pods that a workflow would make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api.service import Service, running

JSON = {"Content-Type": "application/json"}
NIGHTLY = {
    "name": "nightly",
    "description": "each night",
    "params": {"day": {"default": "mon", "enum": ["mon", "tue"], "description": "Which."}, "count": 3},
    "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "forbid"},
    "tasks": [{"name": "a", "image": "python:3"}],
}


async def put(service: Service, document: dict[str, Any] | bytes = NIGHTLY, **headers: str) -> Any:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    name = json.loads(content)["name"]
    return await service.http.put(
        f"/workflows/{name}", content=content, headers={"Content-Type": "application/json", **headers}
    )


async def test_put__new_changed_and_the_same__is_201_then_200_and_a_version_for_each_change(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        first = await put(service)
        assert (first.status_code, first.headers["location"], first.headers["etag"]) == (
            201,
            "/api/v1/workflows/nightly",
            '"1"',
        )
        again = await put(service)
        assert (again.status_code, again.json(), again.headers["etag"]) == (200, first.json(), '"1"')
        changed = await put(service, NIGHTLY | {"description": "each other night"})
        assert (changed.status_code, changed.json()["version"], changed.headers["etag"]) == (200, 2, '"2"')
        assert "location" not in changed.headers


async def test_get__a_stored_workflow__has_what_a_page_needs_and_its_document_as_it_was_put(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        text = json.dumps(NIGHTLY, indent=3).encode()
        await put(service, text)
        answer = await service.http.get("/workflows/nightly")
        assert text in answer.content
        view = answer.json()
        assert list(view) == [
            "name", "version", "description", "paused", "created_at", "updated_at", "schedule", "params", "links", "document",
        ]  # fmt: skip
        assert view["params"]["day"] == {
            "type": "string", "required": False, "default": "mon", "enum": ["mon", "tue"], "description": "Which.",
        }  # fmt: skip
        assert view["params"]["count"]["type"] == "integer"
        schedule = view["schedule"]
        assert schedule.pop("next_at")[11:16] in ("00:30", "01:30", "01:00")
        assert schedule == {
            "every_seconds": None, "cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "forbid", "catchup": False,
            "last_at": None, "last_run_id": None, "last_skipped_at": None, "last_skipped_reason": None,
        }  # fmt: skip
        assert view["links"] == {
            "self": "/api/v1/workflows/nightly", "versions": "/api/v1/workflows/nightly/versions",
            "runs": "/api/v1/runs?workflow=nightly",
        }  # fmt: skip


async def test_get__earlier_and_unknown_versions__are_their_documents_and_404(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await put(service)
        await put(service, NIGHTLY | {"description": "new"})
        old = await service.http.get("/workflows/nightly?version=1")
        assert (old.json()["version"], old.json()["description"], old.headers["etag"]) == (1, "each night", '"1"')
        assert old.json()["document"] == NIGHTLY
        assert old.json()["links"]["self"] == "/api/v1/workflows/nightly?version=1"
        assert (await service.http.get(old.json()["links"]["self"].removeprefix("/api/v1"))).json() == old.json()
        assert (await service.http.get("/workflows/nightly")).json()["links"]["self"] == "/api/v1/workflows/nightly"
        missing = await service.http.get("/workflows/nightly?version=3")
        assert (missing.status_code, missing.json()["detail"]) == (404, "there is no version 'nightly@3'")
        typo = await service.http.get("/workflows/nightlyy")
        assert (typo.status_code, typo.json()["detail"]) == (404, "there is no workflow 'nightlyy', did you mean 'nightly'?")
        for path in ("/workflows/Nope", "/workflows/%00", "/workflows/nope/versions"):
            assert (await service.http.get(path)).status_code == 404
        assert (await service.http.get("/workflows/nightly?version=0")).status_code == 422


async def test_put__if_match__refuses_who_comes_second(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        none = await put(service, **{"If-Match": "*"})
        assert none.status_code == 412
        assert (await put(service, **{"If-None-Match": "*"})).status_code == 201
        assert (await put(service, NIGHTLY | {"description": "x"}, **{"If-None-Match": "*"})).status_code == 412
        mine = await put(service, NIGHTLY | {"description": "mine"}, **{"If-Match": '"1"'})
        assert mine.status_code == 200
        yours = await put(service, NIGHTLY | {"description": "yours"}, **{"If-Match": '"1"'})
        assert (yours.status_code, yours.json()["type"]) == (412, "urn:podrun:problem:precondition-failed")
        assert '"2" now' in yours.json()["detail"]
        # Sent again after a lost answer: it is as it should be.
        assert (await put(service, NIGHTLY | {"description": "mine"}, **{"If-Match": '"1"'})).status_code == 200
        assert (await service.http.delete("/workflows/nightly", headers={"If-Match": '"1"'})).status_code == 412
        assert (await service.http.delete("/workflows/nightly", headers={"If-Match": '"2"'})).status_code == 204


async def test_put__wrong_documents__are_told_with_pointers(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        cases = [
            ("other", NIGHTLY, ["/name"]),
            ("schema", {**NIGHTLY, "name": "schema"}, ["/name"]),
            ("validate", {**NIGHTLY, "name": "validate"}, ["/name"]),
            ("nightly", NIGHTLY | {"params": {"x": {"type": "integer"}}}, ["/schedule"]),
            ("other", NIGHTLY | {"tasks": [{"name": "refused", "image": 3}]}, ["/name", "/tasks/0/name", "/tasks/0/image"]),
        ]
        for name, document, pointers in cases:
            answer = await service.http.put(f"/workflows/{name}", json=document)
            assert answer.status_code == 422
            assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers, answer.text
        assert (
            await service.http.put("/workflows/x", content=b"{", headers={"Content-Type": "application/json"})
        ).status_code == 400
        assert (await service.http.get("/workflows")).json()["items"] == []


async def test_list__by_name__comes_in_pages_without_documents(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        for name in ("c", "a", "b"):
            await put(service, NIGHTLY | {"name": name})
        first = await service.http.get("/workflows?limit=2")
        page = first.json()
        assert [item["name"] for item in page["items"]] == ["a", "b"]
        assert "document" not in page["items"][0]
        assert page["items"][0]["description"] == "each night"
        assert 'rel="next"' in first.headers["link"]
        rest = (await service.http.get(f"/workflows?limit=2&cursor={page['next_cursor']}")).json()
        assert ([item["name"] for item in rest["items"]], rest["next_cursor"]) == (["c"], None)
        for wrong in ("No", "zz", "b", "~", "~~b"):  # names alone are no cursors
            assert (await service.http.get(f"/workflows?cursor={wrong}")).status_code == 422


async def test_versions__newest_first__come_in_pages(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        for number in range(3):
            await put(service, NIGHTLY | {"description": str(number)})
        page = (await service.http.get("/workflows/nightly/versions?limit=2")).json()
        assert [item["version"] for item in page["items"]] == [3, 2]
        assert page["items"][0]["links"] == {"self": "/api/v1/workflows/nightly?version=3"}
        rest = (await service.http.get(f"/workflows/nightly/versions?limit=2&cursor={page['next_cursor']}")).json()
        assert ([item["version"] for item in rest["items"]], rest["next_cursor"]) == ([1], None)


async def test_pause_and_unpause__are_seen_and_may_be_repeated(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await put(service)
        for _ in range(2):
            paused = await service.http.post("/workflows/nightly/pause")
            assert (paused.status_code, paused.json()["paused"], paused.json()["schedule"]["next_at"]) == (200, True, None)
        await put(service, NIGHTLY | {"description": "still paused"})
        assert (await service.http.get("/workflows/nightly")).json()["schedule"]["next_at"] is None
        for _ in range(2):
            unpaused = (await service.http.post("/workflows/nightly/unpause", json={})).json()
            assert (unpaused["paused"], unpaused["schedule"]["next_at"] is None) == (False, False)
        assert (await service.http.post("/workflows/nope/pause")).status_code == 404


async def test_delete__its_runs_stay__and_its_name_goes_on_counting(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await put(service)
        answer = await service.http.post("/runs", json={"workflow": "nightly@1"})
        assert (answer.status_code, answer.json()["workflow_version"]) == (201, 1)
        assert (await service.http.delete("/workflows/nightly")).status_code == 204
        assert (await service.http.delete("/workflows/nightly")).status_code == 404
        assert (await service.http.get(f"/runs/{answer.json()['id']}/workflow")).json() == NIGHTLY
        assert (await service.http.post("/runs", json={"workflow": "nightly"})).status_code == 422
        again = await put(service)
        assert (again.status_code, again.json()["version"]) == (201, 2)


async def test_paths_that_mean_something_else__are_no_stored_workflows(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        assert "$schema" in (await service.http.get("/workflows/schema")).json()
        assert (await service.http.delete("/workflows/schema")).status_code == 404
        answer = await service.http.patch("/workflows/nightly")
        assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, PUT")


@pytest.mark.parametrize("pods", ["true", "false"])
async def test_validate__with_pods__has_their_manifests(tmp_path: Path, pods: str) -> None:
    document = {
        "name": "w",
        "params": {"tag": "3.12"},
        "tasks": [{"name": "none"}, {"name": "a", "image": "python:${{ params.tag }}"}],
    }
    async with running(tmp_path) as service:
        answer = (await service.http.post(f"/workflows/validate?pods={pods}", json=document)).json()
        assert (answer["valid"], answer["name"], answer["tasks"]) == (True, "w", 2)
        if pods == "false":
            assert "pods" not in answer
            return
        (pod,) = answer["pods"]
        assert (pod["spec"]["containers"][0]["image"], answer["pods_left_out"]) == ("python:3.12", 0)
        assert pod["metadata"]["labels"]["podrun.dev/instance"] == "test"
