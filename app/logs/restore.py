"""Learns from a log's last stored blocks how far it has come: where a collector begins after a restart."""

from __future__ import annotations

from app.domain.logs import LogSummary, StoredBlock
from app.logs.port import LogWriter
from app.logs.resume import LAST_LINES, MAX_BACK_SECONDS, SECOND, StoredEnd
from app.logs.store import LogStore

_LAST_SECONDS_NANOS = (MAX_BACK_SECONDS + 4) * SECOND


async def restore_end(end: StoredEnd, summary: LogSummary, writer: LogWriter, store: LogStore) -> list[StoredBlock]:
    """Learn from the last stored blocks how far a log has come; returns them, newest first."""
    stored: list[StoredBlock] = []
    needed = 0
    for limit in (256, 4096) if summary.bytes else ():
        stored = await writer.list_last_blocks(summary.log_id, limit)
        needed = _count_back(stored)
        if needed < len(stored) or len(stored) < limit:
            break
    for number in reversed(range(needed)):
        row = stored[number]
        if number and not row.lines:  # in the middle of a very long line
            end.add_unfinished(row.end_byte - row.first_byte)
            continue
        block = row.block or await store.get_block(row.object_name or "")
        end.add(block.text, block.times, continues=block.continues)
    if needed:
        end.last_time = stored[0].last_time
    return stored


def _count_back(stored: list[StoredBlock]) -> int:
    """How many blocks hold every line that may come again (see `StoredEnd.since`), and the beginning of the last line.

    A log is opened again from seconds before the first of its last lines, which span long where it says little.
    """
    lines = 0
    first_time: int | None = None  # no later than that of the first of the last lines
    for number, row in enumerate(stored, start=1):
        if first_time is None and lines >= LAST_LINES:
            first_time = row.last_time
        if first_time is not None and row.last_time < first_time - _LAST_SECONDS_NANOS:
            return number
        lines += row.lines
    return len(stored)
