"""What a collector can't bring into the store stands in a gap; what it can, it brings, and then there is no gap."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from tests.integration.logs.conftest import KEY, Logs
from tests.integration.logs.kubelet import SECOND, FakeKubelet
from tests.support.numbered_log import Gap, TextLines, find_violations

#: Of one line in a stream of the kubelet, with its stamp.
LINE_BYTES = 38


def line(number: int) -> bytes:
    return b"line %d\n" % number


async def violations(logs: Logs, lines: int) -> list[str]:
    """What is wrong with the log of so many lines as it is stored."""
    [summary] = await logs.rows.find_logs(KEY.run_id)
    assert summary.sealed
    gaps = [Gap(gap.at_byte, gap.from_at, gap.to_at) for gap in await logs.rows.list_gaps(summary.log_id)]
    assert len(gaps) == summary.gaps
    return find_violations(TextLines([f"line {number}" for number in range(lines)]), await logs.text(), gaps)


async def collect_while(logs: Logs, kubelet: FakeKubelet, ended: asyncio.Event, **signs: object) -> None:
    """Collect; the container's first line is stored before `kubelet.on_open` has anything else to do."""
    kubelet.write(line(0))
    await logs.collect(kubelet, ended, **signs)


async def test_collect__closed_while_the_container_speaks_and_rotated_before_the_next__gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.cuts = [(LINE_BYTES, False)]  # an API server that shuts down ends a follow as cleanly as the kubelet does

    def rotate(count: int) -> None:
        if count == 2:
            kubelet.write(line(1))
            kubelet.rotate()
            kubelet.write(line(2))
            kubelet.end()
            ended.set()

    kubelet.on_open = rotate
    await collect_while(logs, kubelet, ended)
    assert await violations(logs, 3) == []
    assert len(await logs.gaps()) == 1


async def test_collect__closed_while_the_container_speaks_and_the_pod_is_gone_then__gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.cuts = [(LINE_BYTES, False)]

    def go(count: int) -> None:
        if count == 2:
            kubelet.write(line(1))
            kubelet.gone = True

    kubelet.on_open = go
    await collect_while(logs, kubelet, ended)
    assert await violations(logs, 2) == []
    assert len(await logs.gaps()) == 1


async def test_collect__cut_off_then_rotated_and_silent_to_the_end__gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.cuts = [(LINE_BYTES, True)]

    def rotate(count: int) -> None:
        if count == 2:
            kubelet.write(line(1))
            kubelet.rotate()
            asyncio.get_running_loop().call_later(0.3, end)

    def end() -> None:
        kubelet.end()
        ended.set()

    kubelet.on_open = rotate
    await collect_while(logs, kubelet, ended)
    assert await violations(logs, 2) == []
    assert len(await logs.gaps()) == 1


async def test_collect__silent_follow_and_the_pod_gone_before_it_was_read__gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        kubelet.write(line(0))
        await logs.until_stored(len(kubelet.printed))
        kubelet.mute = 1
        kubelet.write(line(1))
        kubelet.on_open = lambda _: setattr(kubelet, "gone", True)
        kubelet.end()
        ended.set()
    assert await violations(logs, 2) == []
    assert len(await logs.gaps()) == 1


async def test_collect__pod_gone_and_its_container_speaks_on__heard_to_its_end_and_no_gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended, pod_leaves=True, is_orphan=True))
        for number in range(6):
            kubelet.write(line(number))
            await logs.until_stored(len(kubelet.printed))
            if number == 1:
                kubelet.on_open = lambda _: setattr(kubelet, "gone", True)
                ended.set()
            await asyncio.sleep(0.4)
        kubelet.end()
    assert await violations(logs, 6) == []
    assert kubelet.opened == ["follow", "follow"] or kubelet.opened == ["follow", "read"]
    assert await logs.gaps() == []


async def test_collect__pod_gone_and_its_container_silent_for_long__gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended, pod_leaves=True, is_orphan=True))
        kubelet.write(line(0))
        await logs.until_stored(len(kubelet.printed))
        kubelet.mute = 1
        kubelet.on_open = lambda _: setattr(kubelet, "gone", True)
        ended.set()
        kubelet.write(line(1))
    assert await violations(logs, 2) == []
    assert len(await logs.gaps()) == 1


async def test_collect__pod_deleted_and_its_last_words_late__kept_without_gap(logs: Logs) -> None:
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended, pod_leaves=True))
        kubelet.write(line(0))
        await logs.until_stored(len(kubelet.printed))
        kubelet.on_open = lambda _: setattr(kubelet, "gone", True)
        ended.set()
        await asyncio.sleep(0.8)  # the kubelet closes a second after the container's end
        kubelet.write(line(1))
        kubelet.end()
    assert await violations(logs, 2) == []
    assert await logs.gaps() == []


async def test_collect__first_opened_when_a_file_was_rotated_away__gap_at_the_start(logs: Logs) -> None:
    kubelet, now = FakeKubelet(), time.time_ns()
    began = now - 30 * SECOND
    lines = [b"line %d %s\n" % (number, b"x" * 1000) for number in range(3000)]
    for number, text in enumerate(lines):
        kubelet.write(text, began + number * SECOND // 100)
        if number == 2000:
            kubelet.rotate()
    await logs.collect(kubelet, started_at=datetime.fromtimestamp(began // SECOND, UTC))
    [summary] = await logs.rows.find_logs(KEY.run_id)
    gaps = [Gap(gap.at_byte, gap.from_at, gap.to_at) for gap in await logs.rows.list_gaps(summary.log_id)]
    printed = TextLines([text.decode().removesuffix("\n") for text in lines])
    assert find_violations(printed, await logs.text(), gaps) == []
    [gap] = await logs.gaps()
    assert (gap.from_at, gap.to_at.timestamp()) == (None, (began + 2001 * SECOND // 100) // 1000 / 1e6)


async def test_collect__first_opened_late_and_nothing_was_rotated__no_gap(logs: Logs) -> None:
    kubelet, began = FakeKubelet(), time.time_ns() - 30 * SECOND
    for number in range(3000):
        kubelet.write(b"line %d\n" % number, began + number * SECOND // 100)
    await logs.collect(kubelet, started_at=datetime.fromtimestamp(began // SECOND, UTC))
    assert await violations(logs, 3000) == []
