"""`python -m benchmarks.api.posting`: how long `POST /runs` takes while 200 runs are active and 50 more come each second.

The limit is a FastAPI route that commits one row. Each request is sent when its time has come, whatever became of those before,
and its latency counts from then. The 200 active runs have a pod each, which sleeps. What is posted has three tasks in a row
with images, commands and all that is checked of them, and is executed to its end; but each task's `when` is false, so that no
pod is made of it: 150 processes a second would measure the machine. PostgreSQL is made to wait for the disk, as SQLite does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from app.storage.migrate import upgrade
from benchmarks.api.answers import request_bytes
from benchmarks.api.processes import (
    PREFIX,
    Rest,
    Served,
    bare_service,
    podrun_service,
    print_comparisons,
    run_client,
    temporary_folder,
)
from benchmarks.comparison import Comparison, at_most, percentile
from tests.support.postgres import PostgresServer

_POD: dict[str, Any] = {"image": "registry.example.com/etl:1.4", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}}
_NOT_RUN: dict[str, Any] = {**_POD, "when": False, "trigger_rule": "all_done"}
POSTED = {
    "name": "posted",
    "tasks": [
        {"name": "extract", "command": ["etl", "extract"], **_NOT_RUN},
        {"name": "transform", "command": ["etl", "transform"], "depends_on": ["extract"], **_NOT_RUN},
        {"name": "load", "command": ["etl", "load"], "depends_on": ["transform"], **_NOT_RUN},
    ],
}
ACTIVE = {"name": "active", "tasks": [{"name": "sleeps", "image": "busybox:1", "command": ["sleep", "86400"]}]}
SETTLE_SECONDS = 120.0


def measure_posting(*, pairs: int = 5, seconds: float = 10, active: int = 200, per_second: float = 50) -> list[Comparison]:
    """The medians of each pass's requests, on both databases."""
    found = []
    for title, opened in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        comparison = Comparison(name=f"POST /runs, median, on {title}", unit="ms", goal=at_most(3))
        with opened(active) as (podrun, bare):
            _pass(bare, "/rows", per_second, min(seconds, 2))  # both have been used before it counts
            _pass(podrun, f"{PREFIX}/runs", per_second, min(seconds, 2))
            for _ in range(pairs):
                limit = _pass(bare, "/rows", per_second, seconds)
                reached = _pass(podrun, f"{PREFIX}/runs", per_second, seconds)
                comparison.add(percentile(limit, 50) * 1000, percentile(reached, 50) * 1000)
                _wait_executed(podrun.rest(), active)
        found.append(comparison)
    return found


def _pass(service: Served, path: str, per_second: float, seconds: float) -> list[float]:
    request = request_bytes("POST", path, body=json.dumps({"workflow": POSTED}).encode()).decode()
    said = run_client("post", port=service.port, request=request, per_second=per_second, seconds=seconds)
    took: list[float] = said["seconds"]
    return took


@contextmanager
def _sqlite(active: int) -> Iterator[tuple[Served, Served]]:
    with temporary_folder() as folder, bare_service(f"sqlite:///{folder}/rows.db") as bare, _active(folder, active) as podrun:
        yield podrun, bare


@contextmanager
def _postgres(active: int) -> Iterator[tuple[Served, Served]]:
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder())
        server = stack.enter_context(PostgresServer.started(fsync="on", full_page_writes="on"))
        asyncio.run(_create_databases(server.url("postgres")))
        upgrade(server.url("podrun"))
        bare = stack.enter_context(bare_service(server.url("rows")))
        podrun = stack.enter_context(_active(folder, active, server.url("podrun")))
        yield podrun, bare


async def _create_databases(url: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    for name in ("podrun", "rows"):
        await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


@contextmanager
def _active(folder: Path, count: int, database_url: str | None = None) -> Iterator[Served]:
    """Podrun with so many runs whose pod runs; they are cancelled at the end."""
    with podrun_service(folder, database_url=database_url) as service:
        rest, runs = service.rest(), []
        try:
            runs += [rest.submit(ACTIVE) for _ in range(count)]
            for run_id in runs:
                _wait_running(rest, run_id)
            yield service
        finally:
            rest = service.rest()
            for run_id in runs:
                rest.ask("POST", f"{PREFIX}/runs/{run_id}/cancel", {"reason": "it was measured"})
            for run_id in runs:
                rest.wait_until(run_id, "is_finished", value=True)


def _wait_running(rest: Rest, run_id: str) -> None:
    """Until the run's pod runs, which its one task says."""
    rest.wait_until(run_id, "task_phases", {"Running": 1})
    deadline = time.monotonic() + SETTLE_SECONDS
    while not rest.ask("GET", f"{PREFIX}/runs/{run_id}/tasks/sleeps")["attempts"][0]["started_at"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pod of run {run_id} did not start")
        time.sleep(0.02)


def _wait_executed(rest: Rest, active: int) -> None:
    """Until what was posted is over, and no more runs are active than were before."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (left := rest.count("Pending", "Running")) > active:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{left - active} of the posted runs are not over")
        time.sleep(0.1)


if __name__ == "__main__":
    print_comparisons("Posting", measure_posting())
