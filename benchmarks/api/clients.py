"""Clients in a process of their own, light enough not to be what is measured.

`python -m benchmarks.api.clients repeat|post|watch`: what to do comes as JSON on standard input, and what they saw
goes as JSON to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from app.limits import raise_open_files_limit
from benchmarks.api.answers import HOST, OneAnswer, connected, whole_length
from benchmarks.api.watchers import Watchers

Said = dict[str, Any]


def _fail_loudly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A protocol's exception ends the process: figures with failures in them are none."""
    loop.default_exception_handler(context)
    sys.stderr.flush()
    loop.stop()


class Repeating(asyncio.Protocol):
    """Sends the same request again as soon as the whole answer has come; all answers must be of one length."""

    def __init__(self, request: bytes, status: int) -> None:
        self._request, self._status = request, f"HTTP/1.1 {status} ".encode()
        self._length, self._received = 0, b""
        self._transport: asyncio.Transport | None = None
        self.answers = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # what it is
        """See asyncio.Protocol."""
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        received = self._received = self._received + data
        if not self._length:
            self._length = whole_length(received) or 0
        if not self._length or len(received) < self._length:
            return
        if len(received) != self._length or not received.startswith(self._status):
            raise ValueError(f"not the answer that was to come: {received[:600]!r}")
        self.answers += 1
        self._received = b""
        assert self._transport is not None
        self._transport.write(self._request)

    def close(self) -> None:
        """Ask nothing more."""
        assert self._transport is not None
        self._transport.abort()


async def repeat(port: int, request: str, status: int, connections: int, seconds: float) -> Said:
    """How many answers came in so many seconds."""
    loop = asyncio.get_running_loop()
    asking = []
    for _ in range(connections):
        _, protocol = await loop.create_connection(lambda: Repeating(request.encode(), status), HOST, port)
        asking.append(protocol)
    began, before = time.perf_counter(), sum(protocol.answers for protocol in asking)
    await asyncio.sleep(seconds)
    took, answers = time.perf_counter() - began, sum(protocol.answers for protocol in asking)
    for protocol in asking:
        protocol.close()
    return {"rate": (answers - before) / took, "answers": answers}


async def post(port: int, request: str, per_second: float, seconds: float, idle: int = 8) -> Said:
    """Send the request at its times, whatever became of those before, and say how long each took from its due time on."""
    count, free, took = int(per_second * seconds), list[OneAnswer](), list[float]()
    all_came, opened = asyncio.Event(), 0

    def came(connection: OneAnswer) -> None:
        took.append(time.perf_counter() - connection.due)
        free.append(connection)
        if len(took) == count:
            all_came.set()

    async def send(due: float) -> None:
        nonlocal opened
        if not free:
            opened += 1
        connection = free.pop() if free else await connected(port, 201, came)
        connection.due = due
        connection.send(request.encode())

    for _ in range(idle):
        free.append(await connected(port, 201, came))
    began = time.perf_counter() + 0.1
    async with asyncio.timeout(seconds + 60), asyncio.TaskGroup() as group:
        for number in range(count):
            due = began + number / per_second
            await _sleep_until(due)
            group.create_task(send(due))
        await all_came.wait()
    return {"seconds": took, "connections": idle + opened}


async def _sleep_until(due: float) -> None:
    """Until that time to a part of a millisecond, which is finer than the loop's timers and clock."""
    await asyncio.sleep(due - time.perf_counter() - 0.002)
    while time.perf_counter() < due:  # noqa: ASYNC110 - there is no event: it is the clock that is looked at
        await asyncio.sleep(0)


async def watch(**given: Any) -> Said:
    """See Watchers."""
    return {"seconds": await Watchers(**given).measure()}


KINDS: dict[str, Callable[..., Coroutine[Any, Any, Said]]] = {"repeat": repeat, "post": post, "watch": watch}


async def _run(kind: str, given: Said) -> Said:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_fail_loudly)
    return await KINDS[kind](**given)


def main() -> None:
    """Do what is asked on standard input."""
    raise_open_files_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        said = runner.run(_run(sys.argv[1], json.load(sys.stdin)))
    print(json.dumps(said))


if __name__ == "__main__":
    main()
