"""`python -m benchmarks.api.waiting`: how soon a transition of a run is known to 1,000 waiting requests and 500 websockets.

The transition is the run's end, which the approval of its only task brings about: from the sending of that request until the
last of the requests (`GET /runs/{id}?wait=30`) has its whole answer and the last of the websockets the event of the run's new
phase. Two other events go before it to each websocket, and two commits stand between. The limit is a FastAPI service that sets
an `asyncio.Event` at a POST: it answers 1,000 requests with as many bytes as podrun's answer has, and sends 500 frames of that
event's size.
"""

from __future__ import annotations

import json

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
from benchmarks.comparison import Comparison, at_most

POLLS, SOCKETS = 1000, 500
_DOCUMENT = {"name": "awaited", "tasks": [{"name": "asks", "approval": {"message": "May it go on?"}}]}
_MARKER = '"type":"RunPhase"'


def measure_waiting(*, pairs: int = 5, polls: int = POLLS, sockets: int = SOCKETS) -> list[Comparison]:
    """From the request that makes the transition until the last of those who wait knows of it."""
    comparison = Comparison(
        name=f"a run's end, known to {polls:,} requests and {sockets:,} websockets", unit="ms", goal=at_most(2)
    )
    with temporary_folder() as folder, podrun_service(folder) as podrun, bare_service() as bare:
        body, frame = _sizes(podrun)
        _podrun_pass(podrun, min(polls, 50), min(sockets, 50))
        _bare_pass(bare, min(polls, 50), min(sockets, 50), body, frame)
        for _ in range(pairs):
            limit = _bare_pass(bare, polls, sockets, body, frame)
            comparison.add(limit * 1000, _podrun_pass(podrun, polls, sockets) * 1000)
    return [comparison]


def _approve(run_id: str) -> str:
    return f"{PREFIX}/runs/{run_id}/tasks/asks/approve"


def _waiting_run(podrun: Served) -> str:
    rest = podrun.rest()
    run_id = rest.submit(_DOCUMENT)
    rest.wait_until(run_id, "phase", "Running")
    return run_id


def _sizes(podrun: Served) -> tuple[int, int]:
    """Of the answer to a waiting request, and of the event's frame."""
    rest, run_id = podrun.rest(), _waiting_run(podrun)
    rest.ask("POST", _approve(run_id), {})
    rest.wait_until(run_id, "is_finished", value=True)
    _, _, body = rest.ask_bytes("GET", f"{PREFIX}/runs/{run_id}")
    events = rest.ask("GET", f"{PREFIX}/runs/{run_id}/events")["items"]
    event = next(event for event in reversed(events) if event["type"] == "RunPhase")
    frame = {"type": "event", "cursor": event["cursor"], "event": event}
    return len(body), len(json.dumps(frame, separators=(",", ":")))


def _podrun_pass(podrun: Served, polls: int, sockets: int) -> float:
    run_id = _waiting_run(podrun)
    here = f"{PREFIX}/runs/{run_id}"
    return _pass(
        podrun,
        polls=polls,
        sockets=sockets,
        poll=request_bytes("GET", f"{here}?wait=30"),
        socket=_upgrade(f"{here}/events?tail=0"),
        trigger=request_bytes("POST", _approve(run_id), body=b"{}"),
        marker=_MARKER,
    )


def _bare_pass(bare: Served, polls: int, sockets: int, body: int, frame: int) -> float:
    return _pass(
        bare,
        polls=polls,
        sockets=sockets,
        poll=request_bytes("GET", f"/wait?size={body}"),
        socket=_upgrade(f"/events?size={frame}"),
        trigger=request_bytes("POST", "/trigger", body=b"{}"),
        marker="xxx",
    )


def _pass(service: Served, *, polls: int, sockets: int, poll: bytes, socket: bytes, trigger: bytes, marker: str) -> float:
    said = run_client(
        "watch",
        port=service.port,
        pid=service.pid,
        poll=poll.decode(),
        polls=polls,
        socket=socket.decode(),
        sockets=sockets,
        marker=marker,
        trigger=trigger.decode(),
    )
    return float(said["seconds"])


def _upgrade(path: str) -> bytes:
    """Source: https://www.rfc-editor.org/rfc/rfc6455#section-1.3, whose key it is."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    return request_bytes("GET", path, headers)


if __name__ == "__main__":
    print_comparisons("Waiting", measure_waiting())
