"""The index of logs: which bytes of which log are where. Implements `logs.port` (LogWriter and LogIndex)."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Table, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from app.domain.logs import LogBlock, LogCommit, LogGap, LogKey, LogSummary, StoredBlock
from app.failpoints import Action
from app.storage.broker import logs_topic, run_topic
from app.storage.database import Database
from app.storage.models import LogBlockRow, LogCommitRow, LogGapRow, LogRow, TaskRow, table_of
from app.storage.runs import TOUCH_RUN
from app.storage.statements import Parameters
from app.storage.writer import Change, Writer

_LOGS, _BLOCKS, _COMMITS, _GAPS = table_of(LogRow), table_of(LogBlockRow), table_of(LogCommitRow), table_of(LogGapRow)
_INSERT_BLOCK = _BLOCKS.insert()
_INSERT_GAP = _GAPS.insert()
#: The sequence is counted in the transaction: one writer at a time writes a run, so it is visible in its order.
_INSERT_COMMIT = _COMMITS.insert().from_select(
    ["run_id", "seq", "log_id", "first_byte", "end_byte"],
    select(
        bindparam("run_id", type_=_COMMITS.c.run_id.type),
        func.coalesce(func.max(_COMMITS.c.seq), 0) + 1,
        bindparam("log_id", type_=_COMMITS.c.log_id.type),
        bindparam("first_byte", type_=_COMMITS.c.first_byte.type),
        bindparam("end_byte", type_=_COMMITS.c.end_byte.type),
    ).where(_COMMITS.c.run_id == bindparam("run_id", type_=_COMMITS.c.run_id.type)),
)
_GROW = _LOGS.update().where(_LOGS.c.id == bindparam("b_id")).values(bytes=bindparam("b_bytes"), lines=bindparam("b_lines"))
_COUNT_GAP = _LOGS.update().where(_LOGS.c.id == bindparam("b_id")).values(gaps=_LOGS.c.gaps + 1)
_EMPTY = {"bytes": 0, "lines": 0, "gaps": 0, "sealed": False}
_SEAL = _LOGS.update().where(_LOGS.c.id == bindparam("b_id")).values(sealed=True).returning(_LOGS)


def _opening(insert: Callable[[Table], Any]) -> Any:
    """Makes the log's row, or finds it: an update that changes nothing gives the row that is there."""
    made = insert(_LOGS)
    columns = [_LOGS.c[name] for name in LogKey._fields]
    found = made.on_conflict_do_update(index_elements=columns, set_={"container": made.excluded.container})
    return found.returning(_LOGS)


_OPEN = {"sqlite": _opening(sqlite.insert), "postgresql": _opening(postgresql.insert)}


class LogRows:
    """Rows of logs, blocks, commits and gaps; writes go through the group-committing writer, under the run's epoch."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database, self._writer = database, writer

    async def open_log(self, key: LogKey, epoch: int) -> LogSummary:
        """See LogWriter."""

        def find_or_make(connection: Connection) -> LogSummary:
            statement = _OPEN[connection.dialect.name]
            return _summary(connection.execute(statement, key._asdict() | _EMPTY).one())

        topics = (logs_topic(key.run_id),)
        change = Change(call=find_or_make, fence=(key.run_id, epoch), topics=topics, actions=(Action.OPEN_LOG,))
        summary: LogSummary = await self._writer.commit(change, urgent=False)
        return summary

    async def append_block(self, key: LogKey, log_id: int, epoch: int, block: LogBlock, object_name: str | None) -> None:
        """See LogWriter."""
        change = Change(
            rows=_appended(key, log_id, block, object_name),
            fence=(key.run_id, epoch),
            topics=(logs_topic(key.run_id),),
            actions=(Action.APPEND_LOG,),
        )
        await self._writer.commit(change, urgent=False)

    async def replace_blocks(
        self, key: LogKey, log_id: int, epoch: int, blocks: Sequence[StoredBlock], merged: LogBlock, object_name: str | None
    ) -> None:
        """See LogWriter."""

        def replace(connection: Connection) -> None:
            first, last = blocks[0].first_byte, blocks[-1].first_byte
            connection.execute(delete(_BLOCKS).where(_BLOCKS.c.log_id == log_id, _BLOCKS.c.first_byte.between(first, last)))
            connection.execute(_INSERT_BLOCK, _block_row(log_id, merged, object_name))

        change = Change(call=replace, fence=(key.run_id, epoch), actions=(Action.MERGE_LOG,))
        await self._writer.commit(change, urgent=False)

    async def add_gap(self, key: LogKey, log_id: int, epoch: int, gap: LogGap) -> None:
        """See LogWriter."""
        row = {"log_id": log_id, "at_byte": gap.at_byte, "from_at": gap.from_at, "to_at": gap.to_at, "reason": gap.reason}
        same = [_GAPS.c.log_id == log_id, _GAPS.c.at_byte == gap.at_byte, _GAPS.c.reason == gap.reason]

        def insert(connection: Connection) -> None:
            # A collector that died before it went on finds the same gap again.
            if connection.execute(select(_GAPS.c.id).where(*same).limit(1)).first() is None:
                connection.execute(_INSERT_GAP, row)
                connection.execute(_COUNT_GAP, {"b_id": log_id})
                connection.execute(TOUCH_RUN, {"b_run_id": key.run_id})

        change = Change(
            call=insert,
            fence=(key.run_id, epoch),
            topics=(logs_topic(key.run_id), run_topic(key.run_id)),
            actions=(Action.ADD_GAP,),
        )
        await self._writer.commit(change, urgent=False)

    async def seal_log(self, key: LogKey, log_id: int, epoch: int, last: LogBlock | None = None) -> LogSummary:
        """See LogWriter."""

        def seal(connection: Connection) -> LogSummary:
            return _summary(connection.execute(_SEAL, {"b_id": log_id}).one())

        appended = [] if last is None else _appended(key, log_id, last, None)
        change = Change(
            rows=[*appended, (TOUCH_RUN, {"b_run_id": key.run_id})],
            call=seal,
            fence=(key.run_id, epoch),
            topics=(logs_topic(key.run_id), run_topic(key.run_id)),
            actions=(Action.SEAL_LOG,) if last is None else (Action.APPEND_LOG, Action.SEAL_LOG),
        )
        summary: LogSummary = await self._writer.commit(change, urgent=False)
        return summary

    async def list_blocks(self, log_id: int, from_byte: int = 0, limit: int = 1000) -> list[StoredBlock]:
        """See LogWriter and LogIndex."""
        statement = (
            select(LogBlockRow)
            .where(col(LogBlockRow.log_id) == log_id, col(LogBlockRow.end_byte) > from_byte)
            .where(col(LogBlockRow.first_byte) >= _start_of_block(log_id, from_byte))
            .order_by(col(LogBlockRow.first_byte))
            .limit(limit)
        )
        return await self._database.read(lambda session: [_stored(row) for row in session.scalars(statement)])

    async def list_rows(self, log_id: int, from_byte: int, limit: int) -> list[StoredBlock]:
        """See LogIndex."""
        statement = (
            select(*(column for column in _BLOCKS.c if column.name not in ("text", "times")))
            .where(_BLOCKS.c.log_id == log_id, _BLOCKS.c.end_byte > from_byte)
            .where(_BLOCKS.c.first_byte >= _start_of_block(log_id, from_byte))
            .order_by(_BLOCKS.c.first_byte)
            .limit(limit)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [StoredBlock(**row._mapping, block=None) for row in rows]

    async def find_block(self, stored: StoredBlock) -> LogBlock | None:
        """See LogIndex."""
        statement = select(LogBlockRow).where(
            col(LogBlockRow.log_id) == stored.log_id,
            col(LogBlockRow.first_byte) == stored.first_byte,
            col(LogBlockRow.end_byte) == stored.end_byte,
        )

        def read(session: Session) -> LogBlock | None:
            row = session.scalars(statement).first()
            return _stored(row).block if row is not None else None

        return await self._database.read(read)

    async def list_last_blocks(self, log_id: int, limit: int) -> list[StoredBlock]:
        """See LogWriter."""
        statement = select(LogBlockRow).where(col(LogBlockRow.log_id) == log_id)
        statement = statement.order_by(col(LogBlockRow.first_byte).desc()).limit(limit)
        return await self._database.read(lambda session: [_stored(row) for row in session.scalars(statement)])

    async def find_logs(
        self, run_id: str, task: str | None = None, attempt: int | None = None, container: str | None = None
    ) -> list[LogSummary]:
        """See LogIndex."""
        statement = select(_LOGS).where(_LOGS.c.run_id == run_id)
        for column, value in ((_LOGS.c.task, task), (_LOGS.c.attempt, attempt), (_LOGS.c.container, container)):
            if value is not None:
                statement = statement.where(column == value)
        tasks = table_of(TaskRow)
        statement = statement.outerjoin(tasks, (tasks.c.run_id == _LOGS.c.run_id) & (tasks.c.name == _LOGS.c.task)).order_by(
            tasks.c.position, func.coalesce(tasks.c.foreach_index, -1), _LOGS.c.attempt, _LOGS.c.id
        )
        return await self._database.read(lambda session: [_summary(row) for row in session.execute(statement)])

    async def list_logs(self, log_ids: Collection[int]) -> list[LogSummary]:
        """See LogIndex."""
        statement = select(_LOGS).where(_LOGS.c.id.in_(log_ids))
        return await self._database.read(lambda session: [_summary(row) for row in session.execute(statement)])

    async def find_block_of_line(self, log_id: int, line: int) -> StoredBlock | None:
        """See LogIndex."""
        statement = (
            select(LogBlockRow)
            .where(col(LogBlockRow.log_id) == log_id, col(LogBlockRow.first_line) <= line, col(LogBlockRow.lines) > 0)
            .order_by(col(LogBlockRow.first_byte).desc())
            .limit(1)
        )

        def read(session: Session) -> StoredBlock | None:
            row = session.scalars(statement).first()
            return _stored(row) if row and row.first_line + row.lines > line else None

        return await self._database.read(read)

    async def list_commits(self, run_id: str, after_seq: int, limit: int = 1000) -> list[LogCommit]:
        """See LogIndex."""
        statement = select(_COMMITS.c.seq, _COMMITS.c.log_id, _COMMITS.c.first_byte, _COMMITS.c.end_byte)
        statement = statement.where(_COMMITS.c.run_id == run_id, _COMMITS.c.seq > after_seq)
        statement = statement.order_by(_COMMITS.c.seq).limit(limit)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [LogCommit(seq=r.seq, log_id=r.log_id, first_byte=r.first_byte, end_byte=r.end_byte) for r in rows]

    async def list_last_commits(self, run_id: str, before_seq: int | None, limit: int) -> list[LogCommit]:
        """See LogIndex."""
        statement = select(_COMMITS.c.seq, _COMMITS.c.log_id, _COMMITS.c.first_byte, _COMMITS.c.end_byte)
        statement = statement.where(_COMMITS.c.run_id == run_id).order_by(_COMMITS.c.seq.desc()).limit(limit)
        if before_seq is not None:
            statement = statement.where(_COMMITS.c.seq < before_seq)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [LogCommit(seq=r.seq, log_id=r.log_id, first_byte=r.first_byte, end_byte=r.end_byte) for r in rows]

    async def list_gaps(self, log_id: int) -> list[LogGap]:
        """See LogIndex."""
        statement = select(_GAPS).where(_GAPS.c.log_id == log_id).order_by(_GAPS.c.id)
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return [LogGap(at_byte=r.at_byte, from_at=r.from_at, to_at=r.to_at, reason=r.reason) for r in rows]


def _start_of_block(log_id: int, byte: int) -> Any:
    """Where the block that holds the byte starts: without it, the scan would begin at the log's first block."""
    start = select(func.max(_BLOCKS.c.first_byte)).where(_BLOCKS.c.log_id == log_id, _BLOCKS.c.first_byte <= byte)
    return func.coalesce(start.scalar_subquery(), 0)


def _summary(row: Any) -> LogSummary:
    key = LogKey(row.run_id, row.task, row.attempt, row.container)
    return LogSummary(log_id=row.id, key=key, bytes=row.bytes, lines=row.lines, sealed=row.sealed, gaps=row.gaps)


def _appended(key: LogKey, log_id: int, block: LogBlock, object_name: str | None) -> list[tuple[Executable, Parameters]]:
    """Rows of a change by which the log has one more block."""
    span = {"log_id": log_id, "first_byte": block.first_byte, "end_byte": block.end_byte}
    lines = block.first_line + len(block.times)
    return [
        (_INSERT_BLOCK, _block_row(log_id, block, object_name)),
        (_INSERT_COMMIT, {"run_id": key.run_id, **span}),
        (_GROW, {"b_id": log_id, "b_bytes": block.end_byte, "b_lines": lines}),
    ]


def _block_row(log_id: int, block: LogBlock, object_name: str | None) -> dict[str, Any]:
    return {
        "log_id": log_id,
        "first_byte": block.first_byte,
        "end_byte": block.end_byte,
        "first_line": block.first_line,
        "lines": len(block.times),
        "continues": block.continues,
        "continued_time": block.continued_time,
        "last_time": block.times[-1] if block.times else block.continued_time,
        "object_name": object_name,
        "text": None if object_name else block.text,
        "times": None if object_name else _little_endian(block.times).tobytes(),
    }


def _little_endian(times: array[int]) -> array[int]:
    if sys.byteorder == "big":
        times = array("q", times)
        times.byteswap()
    return times


def _stored(row: LogBlockRow) -> StoredBlock:
    block = None
    if row.text is not None:
        times = array("q", row.times or b"")
        block = LogBlock(
            first_byte=row.first_byte,
            text=row.text,
            first_line=row.first_line,
            times=_little_endian(times),
            continues=row.continues,
            continued_time=row.continued_time,
        )
    return StoredBlock(
        log_id=row.log_id,
        first_byte=row.first_byte,
        end_byte=row.end_byte,
        first_line=row.first_line,
        lines=row.lines,
        continues=row.continues,
        continued_time=row.continued_time,
        last_time=row.last_time,
        object_name=row.object_name,
        block=block,
    )
