"""Which of the database's errors pass by themselves."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

#: PostgreSQL's classes of errors that say nothing of the statement: connection, resources, operator intervention, system; a
#: lock that was not had in time, an idle transaction that was cut, a standby. asyncpg's errors have no other mark.
#: Source: https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING = ("08", "53", "57", "58", "55P03", "25P03", "25006")


def is_outage(error: BaseException) -> bool:
    """Whether the database is out of reach, full or locked: nothing is wrong with what was asked of it."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError | OSError | TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or str(getattr(error.orig, "sqlstate", None) or "").startswith(_PASSING)


def is_deadlock(error: BaseException) -> bool:
    """Whether the transaction was ended so that others could go on: it may be tried again."""
    return isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", None) or "") == "40P01"
