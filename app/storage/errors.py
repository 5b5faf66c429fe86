"""Which of the database's errors pass by themselves."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


def is_outage(error: BaseException) -> bool:
    """Whether the database is out of reach, full or locked: nothing is wrong with what was asked of it."""
    return isinstance(error, OperationalError | InterfaceError | PoolTimeoutError | OSError | TimeoutError)
