"""The part of `AsyncClient` that is about workflows: check them, store them under their names, pause their schedules."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import httpx

from podrun.builder import Workflow
from podrun.link import Link, Params, segment
from podrun.types import StoredWorkflow, WorkflowVersion

JSON = {"Content-Type": "application/json"}
#: A workflow as a client takes it; bytes are JSON, and sent as they are.
Document = Workflow | Mapping[str, Any] | bytes
_PAGE = 500


class StoredWorkflows:
    """What `AsyncClient` can do with workflows. Not for use by itself."""

    _link: Link

    async def validate(self, workflow: Document, *, pods: bool = False) -> dict[str, Any]:
        """Check a workflow without running it; `ProblemError.errors` has all that is wrong, at pointers into the document.

        With `pods` the answer holds the pods that it would make, as far as they are known before a run.
        """
        params = {"pods": "true"} if pods else {}
        response = await self._link.request(
            "POST", "/workflows/validate", params=params, headers=JSON, content=encoded(workflow)
        )
        return self._link.document(response)

    async def put_workflow(self, workflow: Document, *, name: str | None = None) -> StoredWorkflow:
        """Store a workflow under its name, as a new version where it differs from the last.

        Args:
            workflow: A `Workflow`, a document, or its JSON as bytes.
            name: Its name, if it is not to be taken from the document.
        """
        content = encoded(workflow)
        path = _path(_name_in(content) if name is None else name)
        return self._stored(await self._link.request("PUT", path, headers=JSON, content=content))

    async def get_workflow(self, name: str, *, version: int | None = None) -> StoredWorkflow:
        """Get a stored workflow with its newest document, or an earlier one."""
        return self._stored(await self._link.request("GET", _path(name), params=query(version=version)))

    def list_workflows(self, *, limit: int | None = None) -> AsyncGenerator[StoredWorkflow, None]:
        """Yield the stored workflows by name, without their documents; `limit` is how many in all."""
        return cast("AsyncGenerator[StoredWorkflow, None]", self._items("/workflows", {}, limit))

    def list_versions(self, name: str, *, limit: int | None = None) -> AsyncGenerator[WorkflowVersion, None]:
        """Yield the versions of a stored workflow, newest first; `limit` is how many in all."""
        return cast("AsyncGenerator[WorkflowVersion, None]", self._items(_path(name, "/versions"), {}, limit))

    async def delete_workflow(self, name: str) -> None:
        """Delete a stored workflow with its schedule. Its runs stay."""
        # 404 after a lost answer: the first try did it.
        await self._link.request("DELETE", _path(name), lost_statuses=frozenset({HTTPStatus.NOT_FOUND}))

    async def pause_workflow(self, name: str) -> StoredWorkflow:
        """Let a stored workflow's schedule make no runs until `unpause_workflow`. It can be submitted by name all the same."""
        return self._stored(await self._link.request("POST", _path(name, "/pause"), headers=JSON, content=b"{}"))

    async def unpause_workflow(self, name: str) -> StoredWorkflow:
        """Let a stored workflow's schedule go on with its next time; what came in between is not made up for."""
        return self._stored(await self._link.request("POST", _path(name, "/unpause"), headers=JSON, content=b"{}"))

    def _stored(self, response: httpx.Response) -> StoredWorkflow:
        return cast("StoredWorkflow", self._link.document(response))

    async def _items(self, path: str, params: Params, limit: int | None) -> AsyncGenerator[dict[str, Any], None]:
        left = limit if limit is not None else -1
        asked = dict(params)
        while left != 0:
            asked["limit"] = _PAGE if left < 0 else min(_PAGE, left)
            document = self._link.document(await self._link.request("GET", path, params=asked))
            # A page may hold more than was asked for, or nothing: only the cursor says whether there is more.
            for item in document.get("items") or ():
                if left == 0:
                    return
                left -= 1
                yield item
            cursor = document.get("next_cursor")
            if cursor is None:
                return
            asked.pop("tail", None)  # where to begin: the cursor says it from now on
            asked["cursor"] = cursor


def query(**params: str | int | Sequence[str] | None) -> dict[str, str | int | Sequence[str]]:
    """The parameters that are given."""
    return {key: value for key, value in params.items() if value is not None and value != []}


def encoded(workflow: Document) -> bytes:
    """A workflow's JSON."""
    if isinstance(workflow, bytes):
        return workflow
    document = workflow.to_dict() if isinstance(workflow, Workflow) else workflow
    return json.dumps(document, allow_nan=False).encode()


def _path(name: str, below: str = "") -> str:
    return f"/workflows/{segment(name)}{below}"


def _name_in(content: bytes) -> str:
    """The name in a document; where there is none, one that the service refuses with all else that is wrong."""
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    name = document.get("name") if isinstance(document, dict) else None
    return name if isinstance(name, str) and name else "-"
