"""How answers are made: JSON encoded once, pages with their links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from app.api.problems import declare
from app.runs.views import View, encode


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON; bytes are JSON already."""
    return Response(value if isinstance(value, bytes) else encode(value), status, headers, "application/json")


def page_answer(request: Request, items: Sequence[View], next_cursor: str | None) -> Response:
    """A page of a list, with a link to the next one. Source: https://www.rfc-editor.org/rfc/rfc8288 ."""
    headers = {}
    if next_cursor is not None:
        # `tail` says where to begin, as the cursor does from here on.
        following = request.url.remove_query_params("tail").include_query_params(cursor=next_cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return json_answer({"items": items, "next_cursor": next_cursor}, headers=headers)


def documented(
    model: type[BaseModel] | None,
    *problems: int,
    status: int = 200,
    description: str = "",
    headers: Mapping[str, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """A route's answers for its OpenAPI description: the good one, and its problems."""
    good: dict[str, Any] = {"description": description or (model.__doc__ or "").split("\n", 1)[0]}
    if model is not None:
        good["model"] = model
    if headers:
        good["headers"] = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    return {status: good, **declare(*problems)}


def json_body(reference: str, description: str, *, required: bool = True) -> dict[str, Any]:
    """A route's body for its OpenAPI description: routes read the bytes themselves."""
    schema = {"$ref": f"#/components/schemas/{reference}"}
    body = {"description": description, "required": required, "content": {"application/json": {"schema": schema}}}
    return {"requestBody": body}
