"""What one service answers about everything: each run with its tasks, histories, logs. Read as users read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.service import ServiceProcess

Json = dict[str, Any]
LogKey = tuple[str, str, int, str]  #: run, task, attempt, container
#: Pages this small make a walk of many steps.
PAGE = 61
_SECONDS = 120.0


@dataclass(kw_only=True)
class Answers:
    """One service's."""

    listed: list[str] = field(default_factory=list)  #: ids of runs in the list's order
    runs: dict[str, Json] = field(default_factory=dict)  #: with `tasks`, and the entity tag as `etag`
    documents: dict[str, Any] = field(default_factory=dict)  #: workflows
    events: dict[str, list[Json]] = field(default_factory=dict)  #: each run's history
    all_events: list[Json] = field(default_factory=list)
    logs: dict[LogKey, bytes] = field(default_factory=dict)  #: text/plain; those that were asked for
    run_logs: dict[str, bytes] = field(default_factory=dict)  #: of whole runs
    troubles: list[str] = field(default_factory=list)  #: logs that it could not give


def ask(service: ServiceProcess, logs: Iterable[LogKey], run_logs: Iterable[str]) -> Answers:
    """Ask the service for all its runs, and for these logs."""
    with httpx.Client(
        base_url=f"{service.url}/api/v1", headers=service.headers, timeout=_SECONDS, trust_env=False, verify=False
    ) as client:
        said = Answers()
        said.listed = [run["id"] for run in _pages(client, "/runs")]
        for run_id in said.listed:
            answer = _get(client, f"/runs/{run_id}", include="tasks")
            said.runs[run_id] = {**answer.json(), "etag": answer.headers["ETag"]}
            said.documents[run_id] = _get(client, f"/runs/{run_id}/workflow").json()
            said.events[run_id] = list(_pages(client, f"/runs/{run_id}/events"))
        said.all_events = list(_pages(client, "/runs/events"))
        for run_id, task, attempt, container in logs:
            path = f"/runs/{run_id}/tasks/{task}/logs"
            if (text := _text(client, said, path, attempt=attempt, container=container)) is not None:
                said.logs[run_id, task, attempt, container] = text
        for run_id in run_logs:
            if (text := _text(client, said, f"/runs/{run_id}/logs", attempt="all")) is not None:
                said.run_logs[run_id] = text
        return said


def _text(client: httpx.Client, said: Answers, path: str, **params: Any) -> bytes | None:
    """A log; None: it is damaged, which is told, and cuts the answer."""
    try:
        return _get(client, path, **params).content
    except (AssertionError, httpx.HTTPError) as error:
        said.troubles.append(f"{path} {params}: {error!r}")
        return None


def _get(client: httpx.Client, path: str, **params: Any) -> httpx.Response:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, f"{path} {params}: {answer.status_code} {answer.text[:500]}"
    return answer


def _pages(client: httpx.Client, path: str) -> Iterator[Json]:
    """The items of a list, by its cursor."""
    cursor: dict[str, str] = {}
    while True:
        page = _get(client, path, limit=PAGE, **cursor).json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        assert {"cursor": page["next_cursor"]} != cursor, f"{path}: the cursor does not move on"
        cursor = {"cursor": page["next_cursor"]}
