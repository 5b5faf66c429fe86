"""`python -m benchmarks.api.polling`: how often `GET /runs/{id}` says per second that nothing has changed.

The limit is a FastAPI route that compares the same header and answers 304. Eight connections ask again as soon as they are
answered, from a process of their own.
"""

from __future__ import annotations

from benchmarks.api.answers import request_bytes
from benchmarks.api.processes import (
    PREFIX,
    Served,
    bare_service,
    podrun_service,
    print_comparisons,
    run_client,
    temporary_folder,
)
from benchmarks.comparison import Comparison, at_least, at_most
from tests.support.process_cost import cpu_seconds

CONNECTIONS = 8
_DOCUMENT = {"name": "polled", "tasks": [{"name": "asks", "approval": {"message": "May it go on?"}}]}


def measure_polling(*, pairs: int = 5, seconds: float = 5) -> list[Comparison]:
    """Requests per second, and what one costs the server's process."""
    rate = Comparison(name="GET /runs/{id}, unchanged", unit="requests/s", goal=at_least(0.5))
    cpu = Comparison(name="GET /runs/{id}, unchanged: the server's CPU", unit="µs/request", goal=at_most(2))
    with temporary_folder() as folder, podrun_service(folder) as podrun, bare_service() as bare:
        rest = podrun.rest()
        run_id = rest.submit(_DOCUMENT)
        rest.wait_until(run_id, "phase", "Running")
        paths = [(bare, f"/runs/{run_id}"), (podrun, f"{PREFIX}/runs/{run_id}")]
        asked = [(service, _conditional(service, path)) for service, path in paths]
        for service, request in asked:
            _pass(service, request, min(seconds, 1))
        for _ in range(pairs):
            (limit, limit_cpu), (reached, reached_cpu) = (_pass(service, request, seconds) for service, request in asked)
            rate.add(limit, reached)
            cpu.add(limit_cpu, reached_cpu)
    return [rate, cpu]


def _conditional(service: Served, path: str) -> str:
    """The request that is answered 304 as long as nothing changes."""
    _, headers, _ = service.rest().ask_bytes("GET", path)
    return request_bytes("GET", path, {"If-None-Match": headers["etag"]}).decode()


def _pass(service: Served, request: str, seconds: float) -> tuple[float, float]:
    before = cpu_seconds(service.pid)
    said = run_client("repeat", port=service.port, request=request, status=304, connections=CONNECTIONS, seconds=seconds)
    return said["rate"], (cpu_seconds(service.pid) - before) / said["answers"] * 1e6


if __name__ == "__main__":
    print_comparisons("Polling", measure_polling())
