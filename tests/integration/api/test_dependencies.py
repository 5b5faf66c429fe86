"""What every request costs before its route runs."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute

from app.api.app import create_api
from app.settings import Settings


def _routes(routes: Iterable[Any]) -> Iterator[APIRoute | APIWebSocketRoute]:
    """Routers may be nested."""
    for route in routes:
        if isinstance(route, APIRoute | APIWebSocketRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from _routes(inner.routes)


def _called(dependant: Dependant) -> Iterator[object]:
    if dependant.call is not None:
        yield dependant.call
    for further in dependant.dependencies:
        yield from _called(further)


def test_dependencies__of_all_routes__need_no_thread() -> None:
    """FastAPI calls a plain function in a thread, which costs more than all that these do."""
    api = create_api(Settings(), asynccontextmanager(lambda: iter(())), asyncio.Event())  # type: ignore[arg-type]
    routes = list(_routes(api.routes))
    called = [call for route in routes for call in _called(route.dependant)]
    assert len(called) > len(routes), "routes have dependencies"
    in_threads = {call for call in called if inspect.isfunction(call) and not inspect.iscoroutinefunction(call)}
    assert not in_threads
