"""The engine of streams, in virtual time: what is gathered, when it goes, and what ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
import structlog

from app.api.frames import MAX_FRAME_BYTES, PING, EncodedLine, Frame, LineGatherer, Piece, encode_line, end_frame
from app.api.streams import Ending, run_chunks, run_frames
from app.domain.errors import NotFound
from app.logs.frames import LogLine

pytestmark = pytest.mark.looptime


class FakeTransport:
    """Notes what it was given, and when."""

    def __init__(self, *, takes_seconds: float = 0.0) -> None:
        self.sent: list[tuple[float, Frame]] = []
        self.gone = asyncio.Event()
        self._takes_seconds = takes_seconds
        self._clock = asyncio.get_running_loop().time
        self._begun = self._clock()

    async def send(self, frame: Frame) -> None:
        await asyncio.sleep(self._takes_seconds)
        self.sent.append((round(self._clock() - self._begun, 3), frame))

    async def wait_gone(self) -> None:
        await self.gone.wait()

    @property
    def lines(self) -> list[tuple[float, int]]:
        return [(when, len(json.loads(frame.data)["lines"])) for when, frame in self.sent if frame.type == "lines"]


def _line(number: int, size: int = 10) -> EncodedLine:
    return EncodedLine(f"l1.{number}", json.dumps({"cursor": f"l1.{number}", "text": "x" * size}).encode())


async def _script(*steps: float | Piece) -> AsyncGenerator[Piece, None]:
    """Pieces, and seconds between them."""
    for step in steps:
        if isinstance(step, int | float):
            await asyncio.sleep(step)
        else:
            yield step


END = end_frame("Succeeded", "l1.9")


async def test_run_frames__lines__first_at_once_then_gathered() -> None:
    transport = FakeTransport()
    source = _script([_line(0)], 0.01, [_line(1)], 0.01, [_line(2)], 1, [_line(3)], END)
    assert await run_frames(source, transport, asyncio.Event()) is Ending.COMPLETE
    assert transport.lines == [(0.0, 1), (0.05, 2), (1.02, 1)]
    assert transport.sent[-1][1] is END


async def test_run_frames__a_reader_that_is_behind__gets_full_frames_without_waiting() -> None:
    transport = FakeTransport()
    pieces = [[_line(n, 1000) for n in range(first, first + 100)] for first in range(0, 2000, 100)]
    assert await run_frames(_script(*pieces, END), transport, asyncio.Event()) is Ending.COMPLETE
    assert sum(count for _, count in transport.lines) == 2000
    assert transport.sent[-1][0] == 0.0
    assert all(len(frame.data) <= MAX_FRAME_BYTES for _, frame in transport.sent)
    assert len(transport.sent) < 15


async def test_run_frames__silence__is_broken_by_pings() -> None:
    transport = FakeTransport()
    assert await run_frames(_script(40, END), transport, asyncio.Event()) is Ending.COMPLETE
    assert [when for when, frame in transport.sent if frame is PING] == [15.0, 30.0]


async def test_run_frames__lines_all_the_time__does_not_keep_pings_away() -> None:
    transport = FakeTransport()
    steps: list[float | Piece] = [step for n in range(200) for step in ([_line(n)], 0.1)]
    assert await run_frames(_script(*steps, END), transport, asyncio.Event()) is Ending.COMPLETE
    assert len([frame for _, frame in transport.sent if frame is PING]) == 1


async def test_run_frames__the_client_leaves__ends_and_closes_the_source() -> None:
    transport, is_closed = FakeTransport(), False

    async def source() -> AsyncGenerator[Piece, None]:
        nonlocal is_closed
        try:
            yield [_line(0)]
            await asyncio.Event().wait()
        finally:
            is_closed = True

    async with asyncio.TaskGroup() as group:
        stream = group.create_task(run_frames(source(), transport, asyncio.Event()))
        await asyncio.sleep(1)
        assert not stream.done()
        transport.gone.set()
    assert stream.result() is Ending.GONE
    assert is_closed


async def test_run_frames__the_service_stops__ends() -> None:
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        stream = group.create_task(run_frames(_script(1000, END), FakeTransport(), stopping))
        await asyncio.sleep(1)
        stopping.set()
    assert stream.result() is Ending.STOPPING


async def test_run_frames__the_client_takes_nothing__is_cut_after_30_seconds() -> None:
    begun = asyncio.get_running_loop().time()
    transport = FakeTransport(takes_seconds=1000)
    assert await run_frames(_script([_line(0)], END), transport, asyncio.Event()) is Ending.STALLED
    assert asyncio.get_running_loop().time() - begun == pytest.approx(30, abs=0.1)


async def test_run_frames__a_slow_client__is_not_cut_and_holds_the_source_back() -> None:
    transport, made = FakeTransport(takes_seconds=10), 0

    async def source() -> AsyncGenerator[Piece, None]:
        nonlocal made
        for made in range(10):
            yield [_line(made, 200_000)]
        yield END

    async with asyncio.TaskGroup() as group:
        stream = group.create_task(run_frames(source(), transport, asyncio.Event()))
        await asyncio.sleep(25)
        assert made < 8
    assert stream.result() is Ending.COMPLETE


async def test_run_frames__the_source_fails__says_whose_fault_it_is() -> None:
    async def missing() -> AsyncGenerator[Piece, None]:
        raise NotFound("run", "x")
        yield

    async def broken() -> AsyncGenerator[Piece, None]:
        yield [_line(0)]
        raise TimeoutError

    assert await run_frames(missing(), FakeTransport(), asyncio.Event()) is Ending.NO_LONGER
    with structlog.testing.capture_logs():
        assert await run_frames(broken(), FakeTransport(), asyncio.Event()) is Ending.FAULT
    assert await run_frames(_script([_line(0)]), FakeTransport(), asyncio.Event()) is Ending.FAULT


async def test_run_chunks__a_socket_that_breaks__is_a_client_that_left() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x"

    async def send(_data: bytes) -> None:
        raise ConnectionResetError

    assert await run_chunks(chunks(), send, FakeTransport().wait_gone, asyncio.Event()) is Ending.GONE


def test_line_gatherer__any_sizes__keeps_order_and_limit() -> None:
    gatherer, sizes, taken = LineGatherer(), [1, 100_000, 150_000, 200_000, 5, 240_000, 30_000], []
    for number, size in enumerate(sizes):
        gatherer.add([_line(number, size)])
        while gatherer.is_full:
            taken.append(gatherer.take())
    while not gatherer.is_empty:
        taken.append(gatherer.take())
    assert all(len(frame.data) <= MAX_FRAME_BYTES for frame in taken)
    texts = [line["text"] for frame in taken for line in json.loads(frame.data)["lines"]]
    assert [len(text) for text in texts] == sizes
    assert taken[-1].cursor == "l1.6"


def test_encode_line__bytes_that_are_not_utf_8__are_replaced() -> None:
    line = LogLine("l1.5", 3, 1_700_000_000_123_456_789, "a", 2, "main", b"\xffa\x00\x1b", True, False)
    assert json.loads(encode_line(line).data) == {
        "cursor": "l1.5", "line": 3, "time": "2023-11-14T22:13:20.123456789Z", "task": "a", "attempt": 2,
        "container": "main", "text": "\ufffda\x00\x1b", "partial": True,
    }  # fmt: skip
