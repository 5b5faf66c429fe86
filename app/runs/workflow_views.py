"""Stored workflows as users see them: plain dicts of JSON values, as `runs.views` makes those of runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec
import orjson

from app.domain.workflow.params import parse_params
from app.runs.views import API_PREFIX, View, time_text


class WorkflowColumns(Protocol):
    """A row of `workflows`, by whatever it was read."""

    name: str
    version: int
    description: str
    paused: bool
    created_at: datetime
    updated_at: datetime
    schedule: dict[str, Any] | None
    next_fire_at: datetime | None
    last_fire_at: datetime | None
    last_run_id: str | None
    last_skipped_at: datetime | None
    last_skipped_reason: str | None


def workflow_etag(version: int) -> str:
    """The entity tag of a stored workflow: of its document alone, not of what its schedule does, nor of `paused`."""
    return f'"{version}"'


def workflow_view(row: WorkflowColumns) -> View:
    """A stored workflow in a list."""
    here = f"{API_PREFIX}/workflows/{row.name}"
    return {
        "name": row.name,
        "version": row.version,
        "description": row.description or None,
        "paused": row.paused,
        "created_at": time_text(row.created_at),
        "updated_at": time_text(row.updated_at),
        "schedule": None if row.schedule is None else _schedule_view(row, row.schedule),
        "links": {"self": here, "versions": f"{here}/versions", "runs": f"{API_PREFIX}/runs?workflow={row.name}"},
    }


def document_view(row: WorkflowColumns, version: int, body: bytes, *, is_pinned: bool = False) -> View:
    """A stored workflow with one of its documents, which stands in the answer byte for byte.

    `is_pinned`: it was asked for by its version, whatever the newest is, and so is the link to itself.
    """
    written = _written(body)
    view = workflow_view(row) | {"version": version, "description": written.get("description")}
    links = view.pop("links")
    if is_pinned:
        links = links | {"self": f"{links['self']}?version={version}"}
    return view | {"params": _params_view(written.get("params")), "links": links, "document": orjson.Fragment(body)}


def version_view(name: str, version: int, created_at: datetime) -> View:
    """A version in a list."""
    here = f"{API_PREFIX}/workflows/{name}?version={version}"
    return {"version": version, "created_at": time_text(created_at), "links": {"self": here}}


def _schedule_view(row: WorkflowColumns, schedule: Mapping[str, Any]) -> View:
    return {
        "every_seconds": schedule.get("every_seconds"),
        "cron": schedule.get("cron"),
        "timezone": schedule.get("timezone"),
        "overlap": schedule.get("overlap"),
        "catchup": schedule.get("catchup"),
        "next_at": time_text(row.next_fire_at),
        "last_at": time_text(row.last_fire_at),
        "last_run_id": row.last_run_id,
        "last_skipped_at": time_text(row.last_skipped_at),
        "last_skipped_reason": row.last_skipped_reason,
    }


class _Head(msgspec.Struct):
    """What a view shows of a document: the rest is skipped over."""

    description: str | None = None
    params: Any = None


_decode_head = msgspec.json.Decoder(_Head).decode  # made once: see pods.local.records of first uses by several threads


def _written(body: bytes) -> dict[str, Any]:
    """The description and the params of a document; nothing where another podrun stored what this one can't read."""
    try:
        return msgspec.structs.asdict(_decode_head(body))
    except msgspec.MsgspecError:
        return {}


def _params_view(written: object) -> dict[str, View]:
    """Params as a form needs them."""
    params, _ = parse_params(written)
    return {
        name: {
            "type": param.type.value,
            "required": param.is_required,
            "default": param.default,
            "enum": None if param.enum is None else list(param.enum),
            "description": param.description or None,
        }
        for name, param in params.items()
    }
