"""Which of the database's errors pass by themselves, and how they are told."""

from __future__ import annotations

import os
import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

#: PostgreSQL's classes of errors that say nothing of the statement: connection, resources, operator intervention, system; a
#: lock that was not had in time, an idle transaction that was cut, a standby; and those of a connection that was refused: the
#: name and the password, the database that is not there. asyncpg's errors have no other mark.
#: Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = ("08", "53", "57", "58", "55P03", "25P03", "25006", "28", "3D")
_DISK_FULL = "53100"


class DatabaseUnavailable(SQLAlchemyError):
    """The database can't be reached, or does not answer. What was asked of it may have been done all the same."""


def is_outage(error: BaseException) -> bool:
    """Whether the database is out of reach, full or locked: nothing is wrong with what was asked of it."""
    if isinstance(error, DatabaseUnavailable | OperationalError | InterfaceError | PoolTimeoutError | OSError | TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or _sqlstate(error).startswith(_PASSING)


def is_full(error: BaseException) -> bool:
    """Whether the disk that the database is on has no room left."""
    if not isinstance(error, DBAPIError):
        return False
    return _sqlstate(error) == _DISK_FULL or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def describe_outage(error: BaseException) -> str:
    """What is wrong, in the database's own words; without addresses and statements, so that anybody may read it."""
    if isinstance(error, PoolTimeoutError):
        return "no connection to it came free in time"
    if isinstance(error, DBAPIError):
        told = getattr(error.orig, "orig", None) or error.orig  # asyncpg's errors are inside another one
        return str(told).partition("\n")[0]
    if isinstance(error, DatabaseUnavailable):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def is_deadlock(error: BaseException) -> bool:
    """Whether the transaction was ended so that others could go on: it may be tried again."""
    return isinstance(error, DBAPIError) and _sqlstate(error) == "40P01"


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
