import asyncio
import random
import time
from array import array

import pytest

from app.domain.errors import OwnershipLost
from app.domain.logs import LogBlock, LogGap
from app.logs.collector import SILENT_SECONDS
from app.logs.errors import LogStoreUnavailable
from app.logs.frames import LogLine
from app.logs.lines import Stretch
from app.logs.resume import LAST_LINES
from app.logs.tail import MAX_BLOCK_BYTES, TAIL_ROWS, LogTail
from tests.integration.logs.conftest import KEY, Logs, joined
from tests.integration.logs.kubelet import SECOND, FakeKubelet


async def check(logs: Logs, kubelet: FakeKubelet) -> None:
    """What is stored is what was printed, as bytes and as lines, and nothing is said to be missing."""
    assert await logs.text() == kubelet.printed
    items = await logs.items()
    assert joined(items) == kubelet.printed
    assert not await logs.gaps()
    assert [summary.sealed for summary in await logs.rows.find_logs(KEY.run_id)] == [True]


@pytest.mark.parametrize(
    "printed",
    [
        b"hello world\n",
        b"",
        b"\n\n",
        b"no line feed at the end",
        b"a\r\nb\r\n",
        b"\x00\xff\xfe\xc3\n\x1b[31m\n",
        b"a\nends within a character: \xf0\x9f\x98",
        b"x" * 1_000_000 + b"\nthen\n",
        b"y" * 1_000_000,
        b"".join(b"line %d\n" % number for number in range(60_000)),
    ],
    ids=[
        "plain",
        "empty",
        "line feeds",
        "unfinished",
        "crlf",
        "binary",
        "cut character",
        "long line",
        "long unfinished",
        "many lines",
    ],
)
async def test_collect__ended_before__every_byte_in_two_reads(logs, printed):
    kubelet = FakeKubelet()
    kubelet.write(printed)
    summary = await logs.collect(kubelet)
    await check(logs, kubelet)
    assert kubelet.opened == (["read", "read"] if printed else ["read"])
    assert summary.bytes == len(printed)
    assert summary.lines == printed.count(b"\n") + (1 if printed and not printed.endswith(b"\n") else 0)


async def test_collect__nothing_but_a_part_of_a_character__is_stored(logs):
    kubelet = FakeKubelet()
    kubelet.write(b"\xc3")
    assert (await logs.collect(kubelet)).lines == 1
    await check(logs, kubelet)


async def test_collect__cut_within_a_character_and_the_pod_gone_then__its_bytes_stand_before_the_gap(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.cuts = [(37, True)]
    kubelet.write("line \u20ac".encode())
    kubelet.on_open = lambda count: setattr(kubelet, "gone", count == 2)
    assert (await logs.collect(kubelet, ended)).gaps == 1
    assert await logs.text() == b"line \xe2"
    [gap] = await logs.rows.list_gaps(1)
    assert gap.at_byte == 6


async def test_collect__followed_to_the_end__one_follow_and_one_read(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        followed = group.create_task(logs.text(follow=True))
        for number in range(20):
            kubelet.write(b"line %d\n" % number)
            await asyncio.sleep(0.01)
        await logs.until_stored(len(kubelet.printed))
        kubelet.write(b"the end")
        ended.set()
        kubelet.end()
    assert kubelet.opened == ["follow", "read"]
    assert followed.result() == kubelet.printed
    await check(logs, kubelet)


async def test_collect__follow_that_never_ends__cut_when_silent(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.hangs = True
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        kubelet.write(b"a\n")
        await logs.until_stored(2)
        kubelet.write(b"b\n")
        kubelet.end()
        ended.set()
    assert kubelet.opened == ["follow", "read"]
    await check(logs, kubelet)


async def test_collect__last_words_after_a_long_silence_and_then_the_pod_is_gone__kept(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        kubelet.write(b"stopping\n")
        await logs.until_stored(9)
        await asyncio.sleep(2 * SILENT_SECONDS)
        ended.set()  # told before the last bytes have come
        await asyncio.sleep(SILENT_SECONDS / 5)
        kubelet.write(b"stopped\n")
        kubelet.end()
        kubelet.on_open = lambda _: setattr(kubelet, "gone", True)
    await check(logs, kubelet)


@pytest.mark.parametrize("seed", range(4))
async def test_collect__cut_anywhere_with_errors_and_rotation__every_byte_once(logs, seed):
    chance = random.Random(seed)
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.chunk_bytes = 700
    # Cut only while everything was read before: what a rotated file takes along is another test.
    kubelet.cuts = [(chance.randrange(1, 6000), chance.random() < 0.5) for _ in range(6)]
    lines = [chance.randbytes(chance.randrange(60)).replace(b"\n", b"") + b"\n" for _ in range(400)]
    kubelet.on_open = lambda _: ended.set() if kubelet.over else None
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        for number, line in enumerate(lines):
            kubelet.write(line)
            if number % 40 == 0:
                await asyncio.sleep(0.02)
        kubelet.end()
        await asyncio.sleep(0.2)
        ended.set()
    await check(logs, kubelet)


@pytest.mark.parametrize("size", [2600, 2800, 3000])
async def test_collect__read_cut_off_twice_at_the_same_byte_as_if_at_its_end__every_byte_once(logs, size):
    kubelet = FakeKubelet()
    kubelet.cuts = [(4100, False), *[(size, False)] * 4]
    for number in range(160):
        kubelet.write(b"line %d\n" % number, (1_700_000_000 + number // 40) * SECOND + number)
    await logs.collect(kubelet)
    await check(logs, kubelet)


async def test_collect__restarted_in_the_middle__goes_on_with_the_unfinished_line(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.write(b"one\ntwo\n" + b"z" * 300_000)
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(logs.collect(kubelet, ended))
            await logs.until_stored(200_000)
            collecting.cancel()
        kubelet.write(b"zz")
    kubelet.write(b"z\nend\n")
    await logs.collect(kubelet)
    await check(logs, kubelet)


async def test_collect__restarted_after_every_line__every_byte_once(logs):
    kubelet = FakeKubelet()
    for number in range(6):
        kubelet.write(b"line %d\n" % number)
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(logs.collect(kubelet, asyncio.Event()))
            await logs.until_stored(len(kubelet.printed))
            collecting.cancel()
    await logs.collect(kubelet)
    await check(logs, kubelet)
    [summary] = await logs.rows.find_logs(KEY.run_id)
    assert len(await logs.rows.list_blocks(summary.log_id)) == 1  # the rows of all of them


async def test_collect__restarted_where_the_last_lines_span_long__every_byte_once(logs):
    kubelet, began = FakeKubelet(), time.time_ns() - 60 * SECOND
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(logs.collect(kubelet, asyncio.Event()))
        for number in range(2 * LAST_LINES - 8):  # each in a row of its own
            kubelet.write(b"line %d\n" % number, began + number * SECOND)
            await logs.until_stored(len(kubelet.printed))
        collecting.cancel()
    await logs.collect(kubelet)
    await check(logs, kubelet)


async def test_collect__collected_twice__second_returns_the_sealed_one(logs):
    kubelet = FakeKubelet()
    kubelet.write(b"a\n")
    first = await logs.collect(kubelet)
    assert await logs.collect(kubelet) == first
    assert kubelet.opened == ["read", "read"]


async def test_collect__rotated_while_followed_live__no_gap(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        for _ in range(3):
            kubelet.write(b"before\n")
            await logs.until_stored(len(kubelet.printed))
            kubelet.rotate()
        kubelet.write(b"after\n")
        await logs.until_stored(len(kubelet.printed))
        kubelet.end()
        ended.set()
    await check(logs, kubelet)


async def test_collect__ended_with_a_rotated_file__rest_is_read_without_gap(logs):
    kubelet, ended, printed_at = FakeKubelet(), asyncio.Event(), time.time_ns()
    kubelet.write(b"a\n", printed_at)
    kubelet.cuts = [(33, False)]  # the follow ends with the first file, as the container is over

    def rotate(count: int) -> None:
        if count == 2:
            kubelet.rotate()
            kubelet.write(b"b\n", printed_at + 1)
            kubelet.end()
            ended.set()

    kubelet.on_open = rotate
    await logs.collect(kubelet, ended)
    await check(logs, kubelet)


async def test_collect__file_lost_between_two_streams__gap_is_recorded(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    now = time.time_ns()
    kubelet.write(b"a\n", now - 30 * SECOND)
    kubelet.cuts = [(10_000, True)]

    def lose(count: int) -> None:
        if count == 2:
            kubelet.rotate()
            kubelet.write(b"later\n", now)
            kubelet.end()
            ended.set()

    kubelet.on_open = lose
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        await logs.until_stored(2)
        kubelet.write(b"x" * 20_000 + b"\n", now - 29 * SECOND)
    assert (await logs.text()).startswith(b"a\nx")
    assert (await logs.text()).endswith(b"xlater\n")
    [gap] = await logs.gaps()
    assert gap.to_at.timestamp() == pytest.approx(now / SECOND, abs=0.01)
    assert gap.from_at.timestamp() == pytest.approx(now / SECOND - 29, abs=0.01)
    assert "rotated" in gap.reason


async def test_collect__pod_gone_before_it_was_read__sealed_with_a_gap(logs):
    kubelet = FakeKubelet()
    kubelet.gone = True
    summary = await logs.collect(kubelet)
    assert (summary.sealed, summary.bytes, summary.gaps) == (True, 0, 1)
    assert len(await logs.gaps()) == 1


async def test_collect__pod_gone_after_a_follow_to_the_end__no_gap(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        kubelet.write(b"a\n")
        await logs.until_stored(2)
        kubelet.gone = True
        kubelet.end()
        ended.set()
    await check(logs, kubelet)


async def test_collect__read_to_its_end_and_then_only_excuses_until_the_pod_is_gone__no_gap(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    kubelet.cuts = [(1 << 60, False), (0, True)]

    def take_away(stream: int) -> None:
        kubelet.gone = stream == 3

    kubelet.on_open = take_away
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        kubelet.write(b"a\n")
        await logs.until_stored(2)
        kubelet.write(b"told\n")
        kubelet.end()
        ended.set()
    assert kubelet.opened == ["follow", "read", "read"]
    await check(logs, kubelet)


async def test_collect__abandoned__sealed_with_a_gap(logs):
    kubelet, ended, abandoned = FakeKubelet(), asyncio.Event(), asyncio.Event()
    kubelet.write(b"a\n")
    kubelet.cuts = [(100, True), *[(0, True)] * 50]
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(logs.collect(kubelet, ended, abandoned=abandoned))
        await logs.until_stored(2)
        abandoned.set()
        ended.set()
    assert (collecting.result().sealed, collecting.result().gaps) == (True, 1)
    assert await logs.text() == b"a\n"


async def test_collect__run_taken_over__ownership_lost(logs):
    kubelet = FakeKubelet()
    kubelet.write(b"a\n")
    with pytest.raises(OwnershipLost):
        await logs.collect(kubelet, epoch=0)


class BrokenStore:
    """A log store that can't be reached at first."""

    def __init__(self, store, failures: int) -> None:
        self.store, self.failures, self.asked = store, failures, 0

    async def put_block(self, key, block: LogBlock) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise LogStoreUnavailable("no space left")
        return await self.store.put_block(key, block)

    async def get_block(self, name: str) -> LogBlock:
        return await self.store.get_block(name)


async def test_collect__store_out_of_reach__kept_in_rows_then_in_objects(logs):
    kubelet = FakeKubelet()
    kubelet.write(b"".join(b"%0999d\n" % number for number in range(4_000)))
    logs.store = BrokenStore(logs.store, 2)
    await logs.collect(kubelet)
    await check(logs, kubelet)
    assert logs.store.asked > 2
    [summary] = await logs.rows.find_logs(KEY.run_id)
    assert all(block.object_name for block in await logs.rows.list_blocks(summary.log_id))


async def test_collect__large_log__objects_and_no_rows(logs):
    kubelet = FakeKubelet()
    kubelet.write(b"".join(b"%099d\n" % number for number in range(50_000)))
    summary = await logs.collect(kubelet)
    await check(logs, kubelet)
    blocks = await logs.rows.list_blocks(summary.log_id)
    assert all(block.object_name for block in blocks)
    assert len(blocks) <= 6


async def test_collect__many_small_appends__rows_are_put_together(logs):
    kubelet, ended = FakeKubelet(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(logs.collect(kubelet, ended))
        for number in range(40):
            kubelet.write(b"line %d\n" % number)
            await asyncio.sleep(0.06)
        kubelet.end()
        ended.set()
    await check(logs, kubelet)
    [summary] = await logs.rows.find_logs(KEY.run_id)
    assert len(await logs.rows.list_blocks(summary.log_id)) == 1


async def test_log_tail__more_rows_than_allowed__put_together(logs):
    summary = await logs.rows.open_log(KEY, 1)
    tail = LogTail(logs.rows, logs.store, summary, 1, within_line=False, last_time=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(tail.run())
        for number in range(TAIL_ROWS + 5):
            await tail.add(Stretch(b"line\n", array("q", [number])))
            await tail.drain()
        tail.close()
    assert len(await logs.rows.list_blocks(summary.log_id)) < 10
    assert await logs.text() == b"line\n" * (TAIL_ROWS + 5)
    assert [item.time_ns for item in await logs.items()] == list(range(TAIL_ROWS + 5))


async def test_log_tail__gap_within_a_line_and_rows_put_together__the_line_behind_it_keeps_its_time(logs):
    summary = await logs.rows.open_log(KEY, 1)
    tail = LogTail(logs.rows, logs.store, summary, 1, within_line=False, last_time=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(tail.run())
        await tail.add(Stretch(b"first\ncut o", array("q", [SECOND, 2 * SECOND])))
        await tail.add_gap(LogGap(at_byte=11, from_at=None, to_at=None, reason="its file was rotated away"))
        await tail.add(Stretch(b"next\n", array("q", [7 * SECOND])))
        await tail.drain()
        await tail.add(Stretch(b"last\n", array("q", [8 * SECOND])))
        await tail.drain()
        tail.close()
    await tail.seal()
    lines = [(item.text, item.time_ns // SECOND) for item in await logs.items() if isinstance(item, LogLine)]
    assert lines == [(b"first", 1), (b"cut o", 2), (b"next", 7), (b"last", 8)]
    assert len(await logs.rows.list_blocks(summary.log_id)) == 2


async def test_log_tail__full_buffer__add_waits(logs):
    summary = await logs.rows.open_log(KEY, 1)
    tail = LogTail(logs.rows, logs.store, summary, 1, within_line=False, last_time=0)
    piece = Stretch(b"x" * (1024 * 1024 - 1) + b"\n", array("q", [1]))

    async def add_too_much() -> None:
        for _ in range(9):
            await tail.add(piece)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(add_too_much(), 0.2)
    assert tail.end_byte == MAX_BLOCK_BYTES
