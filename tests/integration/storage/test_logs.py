from array import array
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.errors import OwnershipLost
from app.domain.logs import LogBlock, LogCommit, LogGap, LogKey
from app.storage.broker import logs_topic
from app.storage.logs import LogRows
from tests.integration.storage.rows import new_run, run_row

RUN = run_row(1)["id"]
KEY = LogKey(RUN, "a", 1, "main")


def block(first_byte: int, text: bytes, first_line: int, *times: int, **values) -> LogBlock:
    return LogBlock(first_byte=first_byte, text=text, first_line=first_line, times=array("q", times), **values)


@pytest.fixture
async def rows(database, writer) -> LogRows:
    await writer.commit(new_run(1, ("b", "a"), epoch=3))
    return LogRows(database, writer)


async def appended(rows: LogRows, key: LogKey = KEY) -> tuple[int, list[LogBlock]]:
    log = await rows.open_log(key, 3)
    blocks = [
        block(0, b"\x00\xff\na\n", 0, 10, 20),
        block(5, b"unfin", 2, 2**62),
        block(10, b"ished\n", 3, continues=True, continued_time=2**62),
        block(16, b"b\n", 3, 40),
    ]
    for number, one in enumerate(blocks):
        await rows.append_block(key, log.log_id, 3, one, "object" if number == 3 else None)
    return log.log_id, blocks


async def test_open_log__again__same_log(rows):
    first = await rows.open_log(KEY, 3)
    assert await rows.open_log(KEY, 3) == first
    assert (first.key, first.bytes, first.lines, first.sealed, first.gaps) == (KEY, 0, 0, False, 0)


async def test_append_block__rows_and_objects__come_back(rows):
    log_id, blocks = await appended(rows)
    stored = await rows.list_blocks(log_id)
    assert [one.block for one in stored] == [*blocks[:3], None]
    assert [one.object_name for one in stored] == [None, None, None, "object"]
    assert [(one.first_byte, one.end_byte, one.lines, one.last_time) for one in stored] == [
        (0, 5, 2, 20), (5, 10, 1, 2**62), (10, 16, 0, 2**62), (16, 18, 1, 40),
    ]  # fmt: skip
    [summary] = await rows.find_logs(RUN)
    assert (summary.bytes, summary.lines) == (18, 4)


@pytest.mark.parametrize(("byte", "first"), [(0, 0), (4, 0), (5, 5), (12, 10), (17, 16)])
async def test_list_blocks__from_a_byte__begins_with_its_block(rows, byte, first):
    log_id, _ = await appended(rows)
    assert (await rows.list_blocks(log_id, byte, 1))[0].first_byte == first
    assert await rows.list_blocks(log_id, 18) == []


@pytest.mark.parametrize(("line", "first"), [(0, 0), (1, 0), (2, 5), (3, 16), (4, None)])
async def test_find_block_of_line__where_it_starts(rows, line, first):
    log_id, _ = await appended(rows)
    found = await rows.find_block_of_line(log_id, line)
    assert (found.first_byte if found else None) == first


async def test_list_last_blocks__newest_first(rows):
    log_id, _ = await appended(rows)
    assert [one.first_byte for one in await rows.list_last_blocks(log_id, 2)] == [16, 10]


async def test_replace_blocks__neighbours__one_in_their_place(rows):
    log_id, _ = await appended(rows)
    stored = await rows.list_blocks(log_id)
    merged = block(0, b"\x00\xff\na\nunfinished\n", 0, 10, 20, 2**62)
    await rows.replace_blocks(KEY, log_id, 3, stored[:3], merged, None)
    after = await rows.list_blocks(log_id)
    assert [(one.first_byte, one.end_byte, one.block) for one in after] == [(0, 16, merged), (16, 18, None)]
    assert len(await rows.list_commits(RUN, 0)) == 4


async def test_list_commits__two_logs__in_the_order_of_appends(rows):
    first, _ = await appended(rows)
    second, _ = await appended(rows, KEY._replace(task="b"))
    commits = await rows.list_commits(RUN, 0)
    assert [(one.seq, one.log_id) for one in commits] == [(n, first if n <= 4 else second) for n in range(1, 9)]
    assert commits[1] == LogCommit(seq=2, log_id=first, first_byte=5, end_byte=10)
    assert await rows.list_commits(RUN, 6, 1) == [commits[6]]
    assert await rows.list_last_commits(RUN, None, 2) == [commits[7], commits[6]]
    assert await rows.list_last_commits(RUN, 3, 5) == [commits[1], commits[0]]


async def test_find_logs__several__by_task_in_document_order(rows):
    for key in (KEY, KEY._replace(attempt=2), KEY._replace(task="b"), KEY._replace(container="side")):
        await rows.open_log(key, 3)
    assert [tuple(log.key[1:]) for log in await rows.find_logs(RUN)] == [
        ("b", 1, "main"), ("a", 1, "main"), ("a", 1, "side"), ("a", 2, "main"),
    ]  # fmt: skip
    assert [log.key.attempt for log in await rows.find_logs(RUN, "a", container="main")] == [1, 2]
    assert len(await rows.find_logs(RUN, "a", 1)) == 2


async def test_gaps_and_seal__counted_and_told(rows, broker):
    log_id, _ = await appended(rows)
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    gaps = [
        LogGap(at_byte=5, from_at=None, to_at=at, reason="one"),
        LogGap(at_byte=18, from_at=at, to_at=None, reason="two"),
    ]
    with broker.subscribe(logs_topic(RUN)) as wake:
        for gap in gaps:
            await rows.add_gap(KEY, log_id, 3, gap)
        assert await wake.wait(1)
        wake.clear()
        summary = await rows.seal_log(KEY, log_id, 3)
        assert await wake.wait(1)
    assert (summary.sealed, summary.gaps, summary.bytes) == (True, 2, 18)
    assert await rows.list_gaps(log_id) == gaps


async def test_gap__recorded_again_by_a_collector_that_had_died__is_told_once(rows):
    log_id, _ = await appended(rows)
    gap = LogGap(at_byte=18, from_at=None, to_at=None, reason="the pod was gone")
    for one in (gap, gap, replace(gap, reason="another"), replace(gap, at_byte=5)):
        await rows.add_gap(KEY, log_id, 3, one)
    assert len(await rows.list_gaps(log_id)) == 3
    assert (await rows.seal_log(KEY, log_id, 3)).gaps == 3


async def test_writes__older_epoch__ownership_lost_and_nothing_written(rows):
    log_id, blocks = await appended(rows)
    after = block(18, b"late\n", 4, 50)
    for write in (
        rows.open_log(KEY._replace(attempt=9), 2),
        rows.append_block(KEY, log_id, 2, after, None),
        rows.replace_blocks(KEY, log_id, 2, (await rows.list_blocks(log_id))[:2], blocks[0], None),
        rows.add_gap(KEY, log_id, 2, LogGap(at_byte=0, from_at=None, to_at=None, reason="")),
        rows.seal_log(KEY, log_id, 2),
    ):
        with pytest.raises(OwnershipLost):
            await write
    [summary] = await rows.find_logs(RUN)
    assert (summary.bytes, summary.gaps, summary.sealed) == (18, 0, False)
    assert len(await rows.list_blocks(log_id)) == 4
