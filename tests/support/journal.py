"""What was written to a PostgreSQL, by which replica, and who owned the run then: triggers write it down in that transaction.

The replicas call the same server by addresses of their own (127.0.0.11, 127.0.0.12, ...), which is how they are told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import asyncpg

from tests.support.waiting import run_apart

ADDRESSES = tuple(f"127.0.0.{number}" for number in range(11, 21))
#: With these a server listens on all of the addresses.
SETTINGS = {"listen_addresses": ",".join(("127.0.0.1", *ADDRESSES))}
#: What any replica may write for its users, whoever owns the run.
_ASKED = frozenset({"CancelRequested", "RetryRequested", "SuspendRequested", "ResumeRequested", "Approved", "Rejected"})

_TABLES = """
CREATE TABLE journal (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), address text NOT NULL, what text NOT NULL,
    run_id text NOT NULL, owner text, epoch bigint NOT NULL, phase text, told text
);
CREATE TABLE journal_executors (id text PRIMARY KEY, address text NOT NULL);
CREATE FUNCTION write_executor() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO journal_executors VALUES (NEW.id, host(inet_server_addr())) ON CONFLICT (id) DO NOTHING; RETURN NULL;
END $$;
CREATE TRIGGER journal AFTER INSERT ON executors FOR EACH ROW EXECUTE FUNCTION write_executor();
CREATE FUNCTION write_owner() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO journal (address, what, run_id, owner, epoch, phase)
    VALUES (host(inet_server_addr()), 'owner', NEW.id, NEW.owner, NEW.epoch, NEW.phase); RETURN NULL;
END $$;
CREATE TRIGGER journal AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION write_owner();
CREATE TRIGGER journal_update AFTER UPDATE ON runs FOR EACH ROW
    WHEN (OLD.owner IS DISTINCT FROM NEW.owner OR OLD.epoch <> NEW.epoch) EXECUTE FUNCTION write_owner();
CREATE FUNCTION write_journal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO journal (address, what, run_id, owner, epoch, phase, told)
    SELECT host(inet_server_addr()), TG_TABLE_NAME, runs.id, owner, epoch, runs.phase, to_jsonb(NEW) ->> 'type'
    FROM runs WHERE runs.id = NEW.run_id; RETURN NULL;
END $$;
"""
#: Rows that a run's owner alone writes, but for a history's first entry and what users ask.
_WATCHED = ("run_events", "attempts", "task_runs", "log_commits")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row that was written. The owner and the epoch are the run's at that moment."""

    at: datetime
    address: str
    what: str  #: the table, or "owner": the run has this owner and epoch from now on
    run_id: str
    owner: str | None
    epoch: int
    phase: str
    told: str | None  #: the type of a history's entry


class Journal:
    """Of one database, whose tables are there."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url.replace("+asyncpg", "")
        statements = _TABLES + "".join(
            f"CREATE TRIGGER journal AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION write_journal();"
            for table in _WATCHED
        )
        run_apart(self._execute(statements))

    def entries(self) -> list[Entry]:
        """All of it, in the order in which it was written."""
        rows = run_apart(self._fetch("SELECT at, address, what, run_id, owner, epoch, phase, told FROM journal ORDER BY id"))
        return [Entry(**row) for row in rows]

    def executors(self) -> dict[str, str]:
        """The address of each executor that ever was."""
        return {row["id"]: row["address"] for row in run_apart(self._fetch("SELECT id, address FROM journal_executors"))}

    def owned_by(self, address: str) -> list[str]:
        """The unfinished runs that the replica at this address owns now."""
        rows = run_apart(
            self._fetch(
                "SELECT runs.id FROM runs JOIN journal_executors ON owner = journal_executors.id"
                " WHERE NOT is_finished AND address = $1 ORDER BY runs.id", address
            )
        )  # fmt: skip
        return [row["id"] for row in rows]

    async def _execute(self, statements: str) -> None:
        connection = await asyncpg.connect(self._url, timeout=20)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._url, timeout=20)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows
        finally:
            await connection.close()


def find_violations(entries: Sequence[Entry], executors: dict[str, str]) -> Iterator[str]:
    """What was written by another replica than the one that had claimed the run's epoch, and claims out of order.

    A replica that lets go of a run may have its last step in that same transaction: the epoch is still its own.
    """
    owners: defaultdict[str, list[Entry]] = defaultdict(list)
    claimed: dict[tuple[str, int], str] = {}
    for entry in entries:
        if entry.what == "owner":
            owners[entry.run_id].append(entry)
            if entry.owner is not None:
                claimed[entry.run_id, entry.epoch] = executors[entry.owner]
        elif entry.told not in _ASKED and not _is_new(entry) and claimed.get((entry.run_id, entry.epoch)) != entry.address:
            told = f"{entry.what} ({entry.told}) at {entry.at}"
            yield f"run {entry.run_id}: {entry.address} wrote {told}, in epoch {entry.epoch} of {entry.owner}"
    for run_id, its in owners.items():
        for before, after in pairwise(its):
            if after.epoch != before.epoch + (after.owner is not None):
                yield f"run {run_id}: epoch {before.epoch} of {before.owner} was followed by {after.epoch} of {after.owner}"


def _is_new(entry: Entry) -> bool:
    """Whether the run waits to be claimed for the first time: it is just being posted."""
    return entry.owner is None and entry.phase == "Pending" and entry.epoch == 0


def taken_over_at(entries: Sequence[Entry], run_id: str, since: datetime) -> datetime | None:
    """When the run first had a new owner after that moment; None: not yet."""
    found = (entry.at for entry in entries if entry.what == "owner" and entry.run_id == run_id and entry.at > since)
    return next(found, None)
