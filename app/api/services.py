"""What the routers work with: filled when the app starts, reached through a request's own `state`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from app.runs.logs import RunLogs
from app.runs.ports import Pods
from app.runs.service import Runs
from app.runs.workflows import StoredWorkflows

#: None when all is well, else a sentence that says what is wrong.
Check = Callable[[], Awaitable[str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The rooms behind the API, opened and closed by whoever makes the app."""

    runs: Runs
    logs: RunLogs
    workflows: StoredWorkflows
    pods: Pods
    instance: str  #: this installation's name
    database_kind: str  #: sqlite or postgresql
    checks: Mapping[str, Check] = field(default_factory=dict)  #: by name, for /readyz, beside the database's own
    metrics: CollectorRegistry | None = None  #: None: /metrics is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The services, and what belongs to the app itself."""

    services: Services
    stopping: asyncio.Event  #: set when the service stops: streams and long-polls end
    caller: str  #: whose idempotency keys these are


async def _context(connection: HTTPConnection) -> Context:
    return cast("Context", connection.state.context)


ContextDep = Annotated[Context, Depends(_context)]
