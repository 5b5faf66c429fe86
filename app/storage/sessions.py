"""Ends sessions of PostgreSQL whose process was stopped in the middle of a statement: what they hold locked, nobody else gets.

A session that is idle in a transaction is ended by PostgreSQL itself (`idle_in_transaction_session_timeout`). One that waits
for the rest of a statement is not idle to it: many rows are sent in pieces, a process stopped between two of them answers to
TCP as if it lived, and its runs, and the order of the history, would stay locked until it wakes. So each replica looks.
"""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app.storage.database import APPLICATION_NAME, PostgresDatabase

#: With the look before it less than `lock_timeout`, so that who waits for the lock gets it.
STUCK_SECONDS = 4.0
LOOK_SECONDS = 1.0

#: `backend_xid`: it has written or locked something. Sessions of other roles show nothing of all this, and can't be ended.
_END_STUCK = text(
    "SELECT pid FROM (SELECT pid, pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND application_name = :application_name"
    " AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL AND state = 'active' AND wait_event_type = 'Client'"
    " AND greatest(query_start, state_change) < clock_timestamp() - make_interval(secs => :seconds)) AS stuck WHERE ended"
)
log = structlog.get_logger(__name__)


async def end_stuck_sessions(database: PostgresDatabase) -> None:
    """Look again and again, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            for pid in await database.write(lambda connection: end_stuck(connection, STUCK_SECONDS)):
                log.warning("a session was ended whose process stopped in the middle of a statement", pid=pid)
        except (SQLAlchemyError, OSError) as error:
            log.debug("sessions could not be looked at", error=type(error).__name__)  # whoever needs the database says so


def end_stuck(connection: Connection, seconds: float) -> list[int]:
    """End this installation's sessions that hold something and have waited so long for their process; which those were."""
    return list(connection.scalars(_END_STUCK, {"application_name": APPLICATION_NAME, "seconds": seconds}))
