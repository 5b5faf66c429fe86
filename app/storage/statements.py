"""Statements that are executed all the time, compiled once: SQLAlchemy would look each of them up, and set up much for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

Parameters = Mapping[str, Any]
Processor = Callable[[Any], Any]

#: So many rows go to the database at a time: PostgreSQL's are made ready in the event loop, which others need too.
ROWS_LIMIT = 500
#: By dialect, since its settings are in what is compiled (an engine has one); by statement and the columns that are given.
_COMPILED: WeakKeyDictionary[Dialect, dict[tuple[int, tuple[str, ...]], _Compiled]] = WeakKeyDictionary()


def execute_rows(connection: Connection, statement: Executable, rows: Sequence[Parameters]) -> None:
    """Execute an insert, update or delete for each of the rows, which all give the same names.

    The statement must be a constant: what is compiled of it is kept. Its rows give all columns that have no default of the
    database's.
    """
    compiled = _compiled(connection, statement, rows[0])
    for start in range(0, len(rows), ROWS_LIMIT):
        connection.exec_driver_sql(compiled.sql, [compiled.bind(row) for row in rows[start : start + ROWS_LIMIT]])


def query(connection: Connection, statement: Executable, parameters: Parameters) -> CursorResult[Any]:
    """Execute a constant statement once, and give its rows with their values as the driver has them: texts and numbers."""
    compiled = _compiled(connection, statement, parameters)
    return connection.exec_driver_sql(compiled.sql, compiled.bind(parameters))


def _compiled(connection: Connection, statement: Executable, parameters: Parameters) -> _Compiled:
    kept = _COMPILED.setdefault(connection.dialect, {})
    key = id(statement), tuple(parameters)
    compiled = kept.get(key)
    if compiled is None:
        compiled = kept[key] = _Compiled(statement, connection.dialect, key[1])
    return compiled


class _Compiled:
    """SQL for a dialect whose parameters are given by position."""

    def __init__(self, statement: Executable, dialect: Dialect, names: Sequence[str]) -> None:
        self.statement = statement  # as long as it is here, nothing else has its id
        compiled = statement.compile(dialect=dialect, column_keys=list(names), for_executemany=True)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - statements that are no DDL are
        assert compiled.positiontup is not None, "parameters by position"  # noqa: S101 - all drivers in use
        self.sql = compiled.string
        self._constants = dict(compiled.params)  # such as the 1 by which a version grows
        self._places: list[tuple[str, Processor | None]] = [
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)) for name in compiled.positiontup
        ]

    def bind(self, row: Parameters) -> tuple[Any, ...]:
        """What the driver gets for a row."""
        constants = self._constants
        return tuple(
            [
                value if process is None else process(value)
                for name, process in self._places
                for value in (row[name] if name in row else constants[name],)
            ]
        )
