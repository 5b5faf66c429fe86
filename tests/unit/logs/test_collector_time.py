"""Logs that say little, streams that die without a word: what takes hours, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from app.domain.errors import LogUnavailable
from app.domain.logs import LogBlock, LogGap, LogKey, LogSummary, StoredBlock
from app.domain.pods import PodRef
from app.logs.collector import GIVE_UP_SECONDS, QUIET_MOST_SECONDS, QUIET_SECONDS, LogCollector
from app.logs.resume import SECOND
from app.logs.signs import ContainerSigns
from app.logs.store import LogStore
from tests.integration.logs.kubelet import FakeKubelet
from tests.support.numbered_log import Gap, TextLines, find_violations

pytestmark = pytest.mark.looptime
BEGAN = 1_767_322_980 * SECOND
KEY, REF = LogKey("run", "a", 1, "main"), PodRef("default", "pod", "uid")
HOUR = 3600


def clock() -> int:
    """The time of the loop, as if it had begun in 2026."""
    return BEGAN + int(asyncio.get_running_loop().time() * SECOND)


class MemoryRows:
    """The index of one log. See `logs.port.LogWriter`."""

    def __init__(self) -> None:
        self.blocks: list[LogBlock] = []
        self.gaps: list[LogGap] = []
        self.sealed = False
        self._names: dict[int, str | None] = {}  # of the objects of blocks, by their first bytes

    @property
    def text(self) -> bytes:
        return b"".join(block.text for block in self.blocks)

    def _summary(self) -> LogSummary:
        lines = sum(len(block.times) for block in self.blocks)
        return LogSummary(
            log_id=1, key=KEY, bytes=len(self.text), lines=lines, sealed=self.sealed, gaps=len(self.gaps)
        )  # fmt: skip

    async def open_log(self, key: LogKey, epoch: int) -> LogSummary:
        return self._summary()

    async def append_block(self, key: LogKey, log_id: int, epoch: int, block: LogBlock, object_name: str | None) -> None:
        self.blocks.append(block)
        self._names[block.first_byte] = object_name

    async def replace_blocks(
        self, key: LogKey, log_id: int, epoch: int, blocks: Sequence[StoredBlock], merged: LogBlock, object_name: str | None
    ) -> None:  # fmt: skip
        self._names[merged.first_byte] = object_name
        first = next(number for number, one in enumerate(self.blocks) if one.first_byte == merged.first_byte)
        self.blocks[first : first + len(blocks)] = [merged]

    async def add_gap(self, key: LogKey, log_id: int, epoch: int, gap: LogGap) -> None:
        self.gaps.append(gap)

    async def seal_log(self, key: LogKey, log_id: int, epoch: int, last: LogBlock | None = None) -> LogSummary:
        if last is not None:
            await self.append_block(key, log_id, epoch, last, None)
        self.sealed = True
        return self._summary()

    async def list_blocks(self, log_id: int, from_byte: int = 0, limit: int = 1000) -> list[StoredBlock]:
        return [self._stored(block) for block in self.blocks if block.end_byte > from_byte][:limit]

    def _stored(self, block: LogBlock) -> StoredBlock:
        return StoredBlock(
            log_id=1, first_byte=block.first_byte, end_byte=block.end_byte, first_line=block.first_line,
            lines=len(block.times), continues=block.continues, continued_time=block.continued_time,
            last_time=block.times[-1] if block.times else block.continued_time,
            object_name=self._names[block.first_byte], block=block,
        )  # fmt: skip

    async def list_last_blocks(self, log_id: int, limit: int) -> list[StoredBlock]:
        return [self._stored(block) for block in reversed(self.blocks)][:limit]


class Bench:
    """A kubelet, a collector that can be stopped and started, and what is stored."""

    def __init__(self, folder: Path) -> None:
        self.kubelet, self.rows, self.signs = FakeKubelet(clock), MemoryRows(), ContainerSigns()
        self._collector = LogCollector(self.kubelet, self.rows, LogStore(str(folder)), clock=clock)
        self._lines = 0
        self.line_bytes = 0

    def speak(self) -> None:
        self.kubelet.write(self._line(self._lines).encode() + b"\n")
        self._lines += 1

    def _line(self, number: int) -> str:
        return f"line {number} {'x' * self.line_bytes}"

    def end(self) -> None:
        self.kubelet.end()
        self.signs.ended.set()

    async def while_collecting(self, doing: Callable[[], object], *, to_the_end: bool = False) -> None:
        """Collect while something is done, then stop in the midst of it, or go on to the log's end."""
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(self._collector.collect(KEY, 1, REF, self.signs))
            await doing()  # type: ignore[misc]  # each is a coroutine function
            if not to_the_end:
                collecting.cancel()

    def violations(self) -> list[str]:
        assert self.rows.sealed
        gaps = [Gap(gap.at_byte, gap.from_at, gap.to_at) for gap in self.rows.gaps]
        return find_violations(TextLines([self._line(number) for number in range(self._lines)]), self.rows.text, gaps)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_collect__one_line_an_hour_and_restarts__whole_without_gap_and_rarely_opened(bench: Bench) -> None:
    async def hours() -> None:
        for _ in range(7):
            await asyncio.sleep(HOUR - 1)
            bench.speak()
            await asyncio.sleep(1)

    for _ in range(3):
        await bench.while_collecting(hours)

    async def last() -> None:
        await hours()
        bench.end()

    await bench.while_collecting(last, to_the_end=True)
    assert bench.violations() == []
    assert bench.rows.gaps == []
    assert len(bench.kubelet.opened) < 2 * 28 * (HOUR / QUIET_MOST_SECONDS + 4)


async def test_collect__stream_dies_while_the_container_speaks__opened_again_before_a_minute_is_over(bench: Bench) -> None:
    async def speak() -> None:
        for number in range(120):
            bench.speak()
            await asyncio.sleep(1)
            if number == 20:
                bench.kubelet.mute = 1
        assert bench.rows.text.count(b"\n") > 120 - 2
        bench.end()

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert bench.rows.gaps == []


async def test_collect__container_that_is_silent_for_long__its_log_is_opened_ever_more_rarely(bench: Bench) -> None:
    times: list[float] = []

    async def be_silent() -> None:
        bench.kubelet.on_open = lambda _: times.append(asyncio.get_running_loop().time())  # follows and, between them, reads
        await asyncio.sleep(HOUR)
        bench.end()

    await bench.while_collecting(be_silent, to_the_end=True)
    pauses = [after - before for before, after in pairwise(times[::2])][:-1]
    assert pauses[0] == pytest.approx(QUIET_SECONDS, abs=1)
    assert max(pauses) == pytest.approx(QUIET_MOST_SECONDS, abs=1)
    assert len(times) < 40


async def test_collect__rotated_then_silent_for_an_hour_then_a_last_word__no_gap(bench: Bench) -> None:
    async def speak() -> None:
        for _ in range(5):
            bench.speak()
            await asyncio.sleep(1)
        bench.kubelet.rotate()
        await asyncio.sleep(HOUR)
        bench.speak()
        await asyncio.sleep(HOUR)
        bench.end()

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert bench.rows.gaps == []


async def test_collect__rotated_then_silent_to_the_end__no_gap(bench: Bench) -> None:
    async def speak() -> None:
        for _ in range(5):
            bench.speak()
            await asyncio.sleep(1)
        bench.kubelet.rotate()
        await asyncio.sleep(HOUR)
        bench.end()

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert bench.rows.gaps == []


async def test_collect__stream_dies_and_a_file_is_rotated_while_the_container_speaks__gap(bench: Bench) -> None:
    async def speak() -> None:
        for number in range(60):
            bench.speak()
            await asyncio.sleep(0.5)
            if number == 10:
                bench.kubelet.mute = 1
            if number == 20:
                bench.kubelet.rotate()
        await asyncio.sleep(60)
        bench.end()

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert len(bench.rows.gaps) == 1


@pytest.mark.parametrize("pause", [0.1, 0.03, 0.01])
@pytest.mark.parametrize("rotations", [2, 3])
async def test_collect__two_rotations_behind_within_one_follow__gap_and_no_line_twice(
    bench: Bench, rotations: int, pause: float
) -> None:
    """However short the time is in which the file was filled that is missing: 10 s, 3 s, 1 s."""
    bench.line_bytes = 4000

    async def speak() -> None:
        for number in range(450):
            bench.speak()
            await asyncio.sleep(pause)
            if number == 20:
                bench.kubelet.still.clear()
            if number > 20 and number % 100 == 99 and number < 100 * rotations:
                bench.kubelet.rotate()
            if number == 100 * rotations + 50:
                bench.kubelet.still.set()
        bench.end()

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert len(bench.rows.gaps) == 1


async def test_collect__log_that_can_not_be_read_any_more__given_up_in_the_end_with_a_gap(bench: Bench) -> None:
    def refuse(count: int) -> None:
        if count > 1:
            raise LogUnavailable("unable to retrieve container logs")

    async def speak() -> None:
        bench.speak()
        await asyncio.sleep(1)
        bench.kubelet.mute = 1
        bench.kubelet.on_open = refuse
        bench.speak()
        bench.end()
        await asyncio.sleep(GIVE_UP_SECONDS - 60)
        assert not bench.rows.sealed

    await bench.while_collecting(speak, to_the_end=True)
    assert bench.violations() == []
    assert len(bench.rows.gaps) == 1
