"""How long the service's event loop is held by large runs: submitted, run through, read, cancelled, retried, taken up again.

The service is a process of its own, so that the client's work is not measured. Tasks have no pods, but where
they wait for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from benchmarks.documents import (
    POD,
    Document,
    chain,
    distinct_expressions,
    fan_out,
    fan_out_by_expression,
    fan_out_with_condition,
    layers,
    roots,
)
from benchmarks.measuring import TIMES, print_table

_GATE: Mapping[str, Any] = {"name": "gate", "approval": {}}
_WAIT_SECONDS = 120
Seen = dict[str, float]


class _Session:
    """A service, its client, and what was seen by step."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.seen: dict[str, Seen] = {}
        self._connect()

    def _connect(self) -> None:
        self.client = httpx.Client(base_url=f"{self._answer()['url']}/api/v1", timeout=_WAIT_SECONDS)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def take(self) -> Seen:
        """What the service saw since this was last called."""
        self._ask("")
        return self._answer()

    def restart(self) -> None:
        """Close the service and open another one on the same database, in the same process."""
        self._ask("restart")
        self._connect()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See what the service does while the block runs."""
        time.sleep(0.3)  # what came before ends
        self.take()
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        time.sleep(0.1)  # what it began in the background ends
        self.seen[name] = {"seconds": took, **self.take()}

    def submit(self, document: Document) -> str:
        """The id of a new run."""
        answer = self.client.post("/runs", content=json.dumps({"workflow": document}).encode(), headers=_JSON)
        answer.raise_for_status()
        return str(answer.json()["id"])

    def post(self, path: str) -> None:
        """Ask something of a run."""
        self.client.post(path).raise_for_status()

    def get(self, path: str) -> httpx.Response:
        """Read something."""
        return self.client.get(path).raise_for_status()

    def finish(self, run: str) -> None:
        """Wait until the run is finished."""
        while not self.get(f"/runs/{run}?wait=30").json()["is_finished"]:
            pass

    def wait_for(self, run: str, reached: Callable[[dict[str, Any]], bool], *, task: str = "gate") -> None:
        """Poll a task until it is as wanted."""
        while not reached(self.get(f"/runs/{run}/tasks/{task}").json()):
            time.sleep(0.02)  # the service is what is measured, not this poll


_JSON = {"content-type": "application/json"}


@contextmanager
def _session() -> Iterator[_Session]:
    with tempfile.TemporaryDirectory(prefix="podrun-benchmark-") as folder:
        command = [sys.executable, "-m", "benchmarks.watched_service", folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            session = _Session(process)
            yield session
            session.client.close()


def _gated(document: Document) -> Document:
    """The document, with an approval before all of its tasks."""
    first = [task for task in document["tasks"] if not task["depends_on"]]
    for task in first:
        task["depends_on"] = ["gate"]
    document["tasks"].append(dict(_GATE))
    return document


def _run_through(session: _Session, count: int) -> None:
    shapes: dict[str, Document] = {
        "fan-out over a list": fan_out(count, {}),
        "fan-out by an expression": fan_out_by_expression(count, {}),
        "fan-out by an expression, `when` for each item": fan_out_with_condition(count, {}),
        "chain": chain(count, {}),
        "layers of 100": layers(count, {}),
        "roots": roots(count, {}),
    }
    for name, document in shapes.items():
        with session.step(f"submit and run: {name}"):
            session.finish(session.submit(document))
    with session.step("refuse: an unknown key and upstream in each task"):
        broken = layers(count, {"imagee": 1})
        session.client.post("/runs", content=json.dumps({"workflow": broken}).encode(), headers=_JSON)
    with session.step("validate: one expression each"):
        body = json.dumps(distinct_expressions(count)).encode()
        session.client.post("/workflows/validate", content=body, headers=_JSON).raise_for_status()


def _read(session: _Session, run: str) -> None:
    with session.step("read: the run with all tasks"):
        session.get(f"/runs/{run}?include=tasks")
    with session.step("read: the same, by 8 at once"):
        _at_once(session, f"/runs/{run}?include=tasks", 8)
    with session.step("read: all tasks in pages of 1,000"):
        _walk(session, f"/runs/{run}/tasks")
    with session.step("read: the history in pages of 1,000"):
        _walk(session, f"/runs/{run}/events")
    with (
        session.step("read: the history as server-sent events"),
        session.client.stream("GET", f"/runs/{run}/events", headers={"accept": "text/event-stream"}) as stream,
    ):
        for _ in stream.iter_bytes():
            pass
    with session.step("read: the document, and the list of runs"):
        session.get(f"/runs/{run}/workflow")
        session.get("/runs?limit=1000")


def _at_once(session: _Session, path: str, clients: int) -> None:
    code = "import sys, httpx; httpx.get(sys.argv[1], timeout=120).raise_for_status()"
    url = f"{session.client.base_url}".rstrip("/") + path
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(clients)]
    for process in processes:
        process.wait()


def _walk(session: _Session, path: str) -> None:
    cursor = None
    while True:
        page = session.get(f"{path}?limit=1000{f'&cursor={cursor}' if cursor else ''}").json()
        cursor = page["next_cursor"]
        if cursor is None:
            return


def _is_waiting(task: dict[str, Any]) -> bool:
    return bool(task["reason"] == "WaitingForApproval")


def _ask(session: _Session, count: int) -> None:
    run = session.submit(_gated(layers(count - 1, POD)))
    session.wait_for(run, _is_waiting)
    with session.step("cancel: tasks that wait for others"):
        session.post(f"/runs/{run}/cancel")
        session.finish(run)
    run = session.submit(_gated(fan_out(count - 1, {})))
    session.wait_for(run, _is_waiting)
    with session.step("reject, so that all others are Omitted"):
        session.post(f"/runs/{run}/tasks/gate/reject")
        session.finish(run)
    with session.step("retry: all tasks, up to the approval"):
        session.post(f"/runs/{run}/retry")
        session.wait_for(run, _is_waiting)
    with session.step("suspend and resume"):
        session.post(f"/runs/{run}/suspend")
        session.post(f"/runs/{run}/resume")
    with session.step("restart, and take that run up again"):
        session.restart()
        session.wait_for(run, _is_waiting)
    with session.step("approve, and run to the end"):
        session.post(f"/runs/{run}/tasks/gate/approve")
        session.finish(run)
    with session.step("delete"):
        session.client.delete(f"/runs/{run}").raise_for_status()


def _wait_for_slots(session: _Session, count: int) -> None:
    document = fan_out(count, {"image": "busybox:1", "command": ["sleep", "600"]})
    document["tasks"][1]["depends_on"] = []
    with session.step("submit: tasks that wait for a pod's slot"):
        run = session.submit(document)
        last = f"t1.{count - 2}"
        session.wait_for(run, lambda task: bool(task["reason"] == "WaitingForSlot"), task=last)
    with session.step("cancel: tasks that wait for a pod's slot"):
        session.post(f"/runs/{run}/cancel?")
        session.finish(run)


def _measure(count: int) -> dict[str, Seen]:
    with _session() as session:
        _do_all(session, 10)  # what is loaded and made at the first request of a kind
        session.seen = {}
        _do_all(session, count)
        return session.seen


def _do_all(session: _Session, count: int) -> None:
    _run_through(session, count)
    run = session.submit(roots(count, {}))
    session.finish(run)
    _read(session, run)
    _ask(session, count)
    _wait_for_slots(session, count)


def _least(count: int) -> dict[str, Seen]:
    """The least of each number over some times."""
    times = [_measure(count) for _ in range(TIMES)]
    return {step: {key: min(one[step][key] for one in times) for key in seen} for step, seen in times[0].items()}


def measure_holds() -> None:
    """Print how long the loop was held at each step."""
    large, small = _least(10_000), _least(1_000)
    rows = []
    for step, seen in large.items():
        ratio = seen["cpu_seconds"] / max(small[step]["cpu_seconds"], 0.001)
        holds = (f"{seen[key] * 1e3:.0f}" for key in ("hold_seconds", "busy_seconds", "collection_seconds"))
        rows.append((step, f"{seen['seconds']:.2f}", f"{seen['cpu_seconds']:.2f}", *holds, f"{ratio:.1f}"))
    head = (
        "step, of 10,000 tasks", "wall s", "CPU s", "longest hold ms", "of it busy ms", "longest collection ms",
        "CPU, times 1,000 tasks",
    )  # fmt: skip
    print_table("The event loop of the service, on SQLite", head, rows)
