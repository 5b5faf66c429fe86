"""A log that says one line an hour for a day, in virtual time: each line is there once and soon, and there is no gap.

The follow is quietly dead in between, is cut, closed, can't be opened; the collector is killed and started again, and is away.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from app.domain.errors import LogUnavailable
from app.domain.logs import LogKey
from app.domain.pods import PodRef
from app.logs.collector import QUIET_MOST_SECONDS, LogCollector
from app.logs.signs import ContainerSigns
from app.logs.store import LogStore
from tests.unit.logs.memory_index import MemoryIndex
from tests.unit.logs.test_lines import BASE

pytestmark = pytest.mark.looptime
HOUR, DAY = 3600.0, 24 * 3600.0
SECOND = 1_000_000_000
KEY, REF = LogKey("run", "a", 1, "main"), PodRef("default", "pod", "uid")
#: What befalls a stream some time after it was opened.
FATES = ("lives", "dies quietly", "is cut", "is closed", "can't be opened")


@dataclass
class Talker:
    """A container that says little, and the follows of its log, each with a fate of its own. Implements LogSource."""

    chance: random.Random
    lines: list[tuple[int, bytes]] = field(default_factory=list)
    over: bool = False
    fates: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self._spoke = asyncio.Event()

    def now(self) -> int:
        return BASE + round((self.loop.time() - self.began) * SECOND)

    def say(self, text: bytes) -> None:
        self.lines.append((self.now(), text))
        self.wake()

    def end(self) -> None:
        self.over = True
        self.wake()

    def wake(self) -> None:
        self._spoke.set()
        self._spoke = asyncio.Event()

    @property
    def printed(self) -> bytes:
        return b"".join(text for _, text in self.lines)

    def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        fate = self.chance.choice(FATES)
        self.fates.append(fate)
        return self._serve(since, fate)

    def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        return self._serve(since, "is read")

    async def _serve(self, since: datetime | None, fate: str) -> AsyncIterator[bytes]:
        if fate == "can't be opened":
            raise LogUnavailable("connection refused")
        begins_at = 0 if since is None else int(since.timestamp()) * SECOND
        ends_at = self.loop.time() + self.chance.choice((20.0, HOUR / 2, 2 * HOUR))
        served = 0
        while True:
            spoke = self._spoke
            for time, text in self.lines[served:]:
                if time >= begins_at:
                    yield _stamp(time) + text
            served = len(self.lines)
            if fate == "is read" or self.over:
                return
            try:
                async with asyncio.timeout_at(None if fate == "lives" else ends_at):
                    await spoke.wait()
            except TimeoutError:
                if fate == "dies quietly":
                    await asyncio.Event().wait()
                if fate == "is cut":
                    raise LogUnavailable("connection reset") from None
                return


def _stamp(time: int) -> bytes:
    second = datetime.fromtimestamp(time // SECOND, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{time % SECOND:09d}Z ".encode()


@dataclass
class Service:
    """The collector, as a service that is killed and started again."""

    talker: Talker
    index: MemoryIndex
    store: LogStore

    async def collect(self, signs: ContainerSigns, *, seconds: float | None = None) -> None:
        """Collect to the log's end, or for so long, and then die."""
        collector = LogCollector(self.talker, self.index, self.store, clock=self.talker.now)
        try:
            async with asyncio.timeout(seconds):
                await collector.collect(KEY, 1, REF, signs)
        except TimeoutError:
            assert seconds is not None


async def talk(talker: Talker, signs: ContainerSigns, index: MemoryIndex) -> list[float]:
    """Speak once an hour for a day. In how many seconds each line was stored."""
    took = []
    for number in range(24):
        await asyncio.sleep(HOUR - talker.chance.uniform(0, 60))
        began = talker.loop.time()
        talker.say(b"line %d\n" % number)
        await index.wait_for(len(talker.printed), HOUR / 2)
        took.append(talker.loop.time() - began)
    talker.say(b"the end")
    talker.end()
    signs.ended.set()
    return took


def check(talker: Talker, index: MemoryIndex) -> None:
    assert index.text == talker.printed
    assert [time for stored in index.blocks if stored.block for time in stored.block.times] == [
        time for time, _ in talker.lines
    ]
    assert index.gaps == []
    assert index.sealed


@pytest.mark.parametrize("seed", range(2))
async def test_collect__one_line_an_hour_over_streams_of_every_fate__each_line_once_and_soon(seed: int, tmp_path) -> None:
    talker, index, signs = Talker(random.Random(seed)), MemoryIndex(), ContainerSigns()
    service = Service(talker, index, LogStore(str(tmp_path)))
    async with asyncio.TaskGroup() as group:
        speaking = group.create_task(talk(talker, signs, index))
        await service.collect(signs)
    check(talker, index)
    assert talker.loop.time() - talker.began < DAY + 60
    assert max(speaking.result()) <= QUIET_MOST_SECONDS + 20  # a dead follow is found by its silence
    assert set(talker.fates) == set(FATES)


@pytest.mark.parametrize("seed", range(2))
async def test_collect__killed_and_started_again_and_away_for_hours__each_line_once(seed: int, tmp_path) -> None:
    talker, index, signs = Talker(random.Random(seed)), MemoryIndex(), ContainerSigns()
    service = Service(talker, index, LogStore(str(tmp_path)))
    restarts = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(talk(talker, signs, index))
        while not index.sealed:
            restarts += 1
            await service.collect(signs, seconds=talker.chance.choice((1.0, HOUR / 10, 2 * HOUR)))
            await asyncio.sleep(0 if index.sealed else talker.chance.choice((0.1, HOUR / 3, 3 * HOUR)))
    check(talker, index)
    assert restarts > 5
