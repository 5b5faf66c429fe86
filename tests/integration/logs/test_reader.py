import asyncio
import random
from array import array

import pytest

from app.domain.errors import InvalidCursor
from app.domain.logs import LogBlock, LogGap, LogKey
from app.logs.frames import End, Follow, Gap, Lines, LogLine, LogQuery
from app.logs.reader import FRAME_BYTES, LogReader
from app.storage.broker import logs_topic
from tests.integration.logs.conftest import KEY, RUN, Logs, joined
from tests.integration.logs.kubelet import FakeKubelet

SECOND = 1_000_000_000
START = 1_767_322_980 * SECOND


class Appended:
    """A log that a test appends to by hand."""

    def __init__(self, logs: Logs, key: LogKey = KEY) -> None:
        self.logs, self.key, self.text, self.lines, self.log_id = logs, key, b"", 0, 0

    async def append(self, text: bytes, *, to_object: bool = False) -> None:
        if not self.log_id:
            self.log_id = (await self.logs.rows.open_log(self.key, 1)).log_id
        if not text:
            return
        continues = bool(self.text) and not self.text.endswith(b"\n")
        starts = text.count(b"\n") + (0 if text.endswith(b"\n") else 1) - (1 if continues else 0)
        block = LogBlock(
            first_byte=len(self.text),
            text=text,
            first_line=self.lines,
            times=array("q", [START + (self.lines + n) * SECOND for n in range(starts)]),
            continues=continues,
            continued_time=START + (self.lines - 1) * SECOND if continues else 0,
        )
        name = await self.logs.store.put_block(self.key, block) if to_object else None
        await self.logs.rows.append_block(self.key, self.log_id, 1, block, name)
        self.text += text
        self.lines += starts

    async def gap(self, reason: str = "gap") -> None:
        gap = LogGap(at_byte=len(self.text), from_at=None, to_at=None, reason=reason)
        await self.logs.rows.add_gap(self.key, self.log_id, 1, gap)

    async def seal(self) -> None:
        await self.append(b"")
        await self.logs.rows.seal_log(self.key, self.log_id, 1)


@pytest.fixture
async def log(logs) -> Appended:
    """Rows and objects, blocks that end within lines, gaps, no line feed at the end."""
    log = Appended(logs)
    await log.append(b"zero\none\n", to_object=True)
    await log.append(b"tw")
    await log.append(b"o\nthree\n\nfi", to_object=True)
    await log.gap()
    await log.append(b"ve\n" + b"x" * 150_000)
    await log.append(b"x" * 10 + b"\nseven\n", to_object=True)
    await log.append(b"eight")
    await log.gap("at the end")
    await log.seal()
    return log


def plain(items: list) -> list:
    """Items without their cursors: pieces of lines joined."""
    shown, whole = [], b""
    for item in items:
        if isinstance(item, Gap):
            shown.append(item.reason)
            continue
        whole += item.text
        if not item.partial:
            shown.append((item.line, item.time_ns, whole, item.ends_with_newline))
            whole = b""
    assert not whole
    return shown


async def test_lines__all__numbers_times_and_bytes(logs, log):
    items = await logs.items()
    assert joined(items) == log.text
    texts = log.text.split(b"\n")
    expected = [(n, START + n * SECOND, text, n < len(texts) - 1) for n, text in enumerate(texts)]
    expected.append("at the end")
    shown = plain([item for item in items if not isinstance(item, Gap) or item.reason != "gap"])
    assert shown == expected
    assert [item.reason for item in items if isinstance(item, Gap)] == ["gap", "at the end"]


@pytest.mark.parametrize("task", ["a", None])
@pytest.mark.usefixtures("log")
async def test_lines__resumed_at_every_cursor__nothing_lost_nothing_repeated(logs, task):
    other = Appended(logs, KEY._replace(task="b"))
    await other.append(b"b one\n")
    await other.seal()
    items = await logs.items(task=task)
    for number, item in enumerate(items):
        assert await logs.items(task=task, cursor=item.cursor) == items[number + 1 :]


@pytest.mark.usefixtures("log")
async def test_lines__read_in_pages__same_as_at_once(logs):
    items, cursor, expected = [], None, await logs.items()
    while True:
        page = await logs.items(cursor=cursor, limit=2)
        if not page:
            break
        assert len([item for item in page if isinstance(item, LogLine) and not item.partial]) <= 2
        items += page
        cursor = page[-1].cursor
    assert items == expected


async def test_lines__blocks_put_together_meanwhile__cursors_stay(logs):
    log = Appended(logs)
    for number in range(10):
        await log.append(b"line %d\n" % number)
    before = await logs.items()
    whole = await logs.items(task=None)
    rows = await logs.rows.list_blocks(log.log_id)
    merged = LogBlock(first_byte=0, text=log.text, first_line=0, times=array("q", [i.time_ns for i in before]))
    name = await logs.store.put_block(KEY, merged)
    await logs.rows.replace_blocks(KEY, log.log_id, 1, rows, merged, name)
    for number, item in enumerate(before):
        assert await logs.items(cursor=item.cursor) == before[number + 1 :]
    for number, item in enumerate(whole):
        assert await logs.items(task=None, cursor=item.cursor) == whole[number + 1 :]


@pytest.mark.parametrize("task", ["a", None])
@pytest.mark.parametrize("tail", [0, 1, 2, 3, 5, 8, 9, 50])
async def test_lines__tail__the_last_lines(logs, log, tail, task):
    items = [item for item in await logs.items(tail=tail, task=task) if isinstance(item, LogLine)]
    numbers = sorted({item.line for item in items})
    assert numbers == list(range(9))[9 - min(tail, 9) :]
    whole = log.text.split(b"\n")
    assert joined(items) == b"\n".join(whole[9 - min(tail, 9) :])


@pytest.mark.usefixtures("log")
async def test_lines__from_line__begins_there(logs):
    for line in range(9):
        items = [item for item in await logs.items(from_line=line) if isinstance(item, LogLine)]
        assert items[0].line == line
        assert await logs.text(from_line=line) == joined(items)
    assert [item for item in await logs.items(from_line=9) if isinstance(item, LogLine)] == []


@pytest.mark.usefixtures("log")
async def test_lines__grep__literal_and_with_cursors(logs):
    items = [item for item in await logs.items(grep="e") if isinstance(item, LogLine)]
    assert [(item.line, item.text) for item in items] == [
        (0, b"zero"), (1, b"one"), (3, b"three"), (5, b"ve"), (7, b"seven"), (8, b"eight"),
    ]  # fmt: skip
    assert await logs.items(grep="e.") == [item for item in await logs.items() if isinstance(item, Gap)]
    assert (await logs.items(grep="e", cursor=items[2].cursor))[-2].text == b"eight"


async def test_lines__long_line__bounded_frames(logs):
    log = Appended(logs)
    await log.append(b"x" * 1_000_000 + b"\n" + b"short\n" * 20_000, to_object=True)
    await log.seal()
    frames = [frame async for frame in logs.reader.lines(LogQuery(run_id=RUN, task="a"))]
    assert isinstance(frames[-1], End)
    lines = [frame.lines for frame in frames if isinstance(frame, Lines)]
    assert max(sum(len(line.text) for line in frame) for frame in lines) <= FRAME_BYTES + 65_536
    assert joined([line for frame in lines for line in frame]) == log.text


async def test_lines__unfinished_line__held_back_until_sealed(logs):
    log = Appended(logs)
    await log.append(b"a\nunfin")
    assert [item.text for item in await logs.items()] == [b"a"]
    assert await logs.text() == b"a\nunfin"
    await log.append(b"ished")
    assert [item.text for item in await logs.items()] == [b"a", b"unfin"] or (await logs.items())[-1].partial
    await log.seal()
    items = await logs.items()
    assert (items[-1].partial, items[-1].ends_with_newline) == (False, False)
    assert joined(items) == b"a\nunfinished"


@pytest.mark.parametrize("cursor", ["x", "l1", "l1.2.3.4", "l1.-1", "l999.0", "l1.999999999", "r0.1.1", "l1.9" + "9" * 40])
@pytest.mark.usefixtures("log")
async def test_lines__foreign_cursor_of_a_task__invalid(logs, cursor):
    with pytest.raises(InvalidCursor):
        await logs.items(cursor=cursor)


@pytest.mark.parametrize("cursor", ["x", "r1.2", "l1.0", "r0.77.0", "r0.1.999999", "r0.2.3"])
@pytest.mark.usefixtures("log")
async def test_lines__foreign_cursor_of_a_run__invalid(logs, cursor):
    with pytest.raises(InvalidCursor):
        await logs.items(task=None, cursor=cursor)


async def test_lines__nothing_said_yet__empty(logs):
    assert await logs.items() == []
    assert await logs.items(task=None, tail=5) == []
    assert await logs.text() == b""


async def test_lines__attempts__last_or_all_or_one(logs):
    for attempt in (1, 2, 3):
        log = Appended(logs, KEY._replace(attempt=attempt))
        await log.append(b"attempt %d\n" % attempt)
        await log.seal()
    assert await logs.text() == b"attempt 3\n"
    assert await logs.text(attempt=2) == b"attempt 2\n"
    assert await logs.text(attempt="all") == b"attempt 1\nattempt 2\nattempt 3\n"
    assert await logs.text(attempt="all", tail=2) == b"attempt 2\nattempt 3\n"
    assert await logs.text(task=None) == b"[a] attempt 3\n"
    assert await logs.text(task=None, attempt="all", tail=2) == b"[a] attempt 2\n[a] attempt 3\n"
    assert await logs.text(task=None, attempt=1) == b"[a] attempt 1\n"
    first = (await logs.items(attempt="all"))[0]
    assert [item.text for item in await logs.items(cursor=first.cursor)] == [b"attempt 2", b"attempt 3"]


async def test_plain__of_a_run__each_line_behind_its_task(logs):
    main, other = Appended(logs), Appended(logs, KEY._replace(task="b"))
    side = Appended(logs, KEY._replace(container="proxy"))
    await main.append(b"one\ntwo\nthr")
    await other.append(b"b\n")
    await main.append(b"ee\n")
    await side.append(b"side\n")
    for log in (main, other, side):
        await log.seal()
    assert await logs.text(task=None) == b"[a] one\n[a] two\n[a] thr\n[b] b\n[a] ee\n"
    assert await logs.text(task=None, container="*") == b"[a] one\n[a] two\n[a] thr\n[b] b\n[a] ee\n[a/proxy] side\n"
    assert await logs.text(task="a", container="proxy") == b"side\n"
    assert await logs.text(task=None, limit=2) == b"[a] one\n[a] two\n"


async def test_plain__timestamps__before_each_line(logs):
    log = Appended(logs)
    await log.append(b"a\nb")
    await log.seal()
    query = LogQuery(run_id=RUN, task="a")
    text = b"".join([chunk async for chunk in logs.reader.plain(query, timestamps=True)])
    assert text == b"2026-01-02T03:03:00.000000000Z a\n2026-01-02T03:03:01.000000000Z b"


async def follow(logs: Logs, query: LogQuery, over: asyncio.Event, reader: LogReader | None = None) -> list:
    found = []
    with logs.broker.subscribe(logs_topic(RUN)) as wake:

        async def is_over() -> bool:
            return over.is_set()

        async with asyncio.timeout(20):
            async for frame in (reader or logs.reader).lines(query, Follow(wake=wake, is_over=is_over)):
                if isinstance(frame, Lines):
                    found += frame.lines
                elif isinstance(frame, Gap):
                    found.append(frame)
    return found


async def test_follow__into_the_next_attempt__until_the_task_is_over(logs):
    over = asyncio.Event()
    first, second = Appended(logs), Appended(logs, KEY._replace(attempt=2))
    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow(logs, LogQuery(run_id=RUN, task="a"), over))
        one = group.create_task(follow(logs, LogQuery(run_id=RUN, task="a", attempt=1), asyncio.Event()))
        run = group.create_task(follow(logs, LogQuery(run_id=RUN), over))
        await first.append(b"a")
        await asyncio.sleep(0.1)
        await first.append(b"b\n")
        await first.seal()
        await second.append(b"c\n")
        await asyncio.sleep(0.1)
        await second.gap()
        await second.append(b"d")
        await second.seal()
        over.set()
        logs.broker.publish([logs_topic(RUN)])
    assert joined(following.result()) == b"ab\nc\nd"
    assert joined(one.result()) == b"ab\n"
    assert joined(run.result()) == b"ab\nc\nd"
    assert [item.reason for item in run.result() if isinstance(item, Gap)] == ["gap"]
    after = following.result()[0].cursor
    assert (await logs.items(cursor=after)) == following.result()[1:]


async def test_follow__while_collected__every_reader_gets_every_byte_from_any_cursor(logs):
    chance = random.Random(1)
    kubelet, ended, over = FakeKubelet(), asyncio.Event(), asyncio.Event()
    readers = []
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(logs.collect(kubelet, ended))
        collecting.add_done_callback(lambda _: (over.set(), logs.broker.publish([logs_topic(RUN)])))
        for number in range(15):
            kubelet.write(chance.randbytes(chance.randrange(1, 200_000)).replace(b"\r", b"") + b"\n")
            await asyncio.sleep(0.03)
            if number % 5 == 0:
                readers += [group.create_task(follow(logs, LogQuery(run_id=RUN, task=task), over)) for task in ("a", None)]
        kubelet.end()
        ended.set()
    for reader in readers:
        assert joined(reader.result()) == kubelet.printed


async def test_follow__a_run_of_many_logs__all_of_them_are_read_at_its_start_and_end_alone(logs):
    class Counting:
        def __init__(self) -> None:
            self.whole_reads = 0

        def __getattr__(self, name: str):
            return getattr(logs.rows, name)

        async def find_logs(self, *arguments):
            self.whole_reads += 1
            return await logs.rows.find_logs(*arguments)

    one, two, over = Appended(logs), Appended(logs, KEY._replace(task="b")), asyncio.Event()
    late, side = Appended(logs, KEY._replace(attempt=2)), Appended(logs, KEY._replace(task="b", container="proxy"))
    index = Counting()
    async with asyncio.TaskGroup() as group:
        run = group.create_task(follow(logs, LogQuery(run_id=RUN), over, LogReader(index, logs.store)))
        task = group.create_task(follow(logs, LogQuery(run_id=RUN, task="b", container="*"), over))
        for number in range(8):
            await one.append(f"a{number}\n".encode())
            await two.append(f"b{number}\n".encode())
            await side.append(f"p{number}\n".encode())
            await asyncio.sleep(0.06)  # longer than the reader's pace: a pass for each
        await one.gap()
        await one.append(b"a8\n")
        await late.append(b"again")
        for log in (one, two, side, late):
            await log.gap("end")
            await log.seal()
        over.set()
        logs.broker.publish([logs_topic(RUN)])
    assert index.whole_reads == 2
    said = [item.reason if isinstance(item, Gap) else item.text.decode() for item in run.result()]
    assert sorted(said) == sorted(
        [f"a{number}" for number in range(9)] + [f"b{number}" for number in range(8)] + ["again", "gap", "end", "end", "end"]
    )
    assert said.index("gap") == said.index("a8") - 1
    assert joined(task.result()) == b"".join(f"b{number}\np{number}\n".encode() for number in range(8))


async def test_reader__many_readers__an_object_is_read_once(logs):
    log = Appended(logs)
    await log.append(b"x\n" * 1000, to_object=True)
    read: list[str] = []

    class Counting:
        async def get_block(self, name: str) -> LogBlock:
            read.append(name)
            return await logs.store.get_block(name)

    logs.reader = LogReader(logs.rows, Counting())
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(logs.text())
    assert len(read) == 1


async def test_follow__gap_before_a_line_that_is_unfinished__given_once(logs):
    log = Appended(logs)
    await log.append(b"one\n")
    await log.gap()
    await log.append(b"unfinished")
    looked = 0
    with logs.broker.subscribe(logs_topic(RUN)) as wake:

        async def is_over() -> bool:
            nonlocal looked
            looked += 1
            if looked == 3:
                await log.seal()
            wake.wake()
            return looked > 3

        reader = LogReader(logs.rows, logs.store)
        frames = [frame async for frame in reader.lines(LogQuery(run_id=RUN, task="a"), Follow(wake=wake, is_over=is_over))]
    said = [frame.reason if isinstance(frame, Gap) else [line.text for line in frame.lines] for frame in frames[:-1]]
    assert said == [[b"one"], "gap", [b"unfinished"]]
