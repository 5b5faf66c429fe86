"""Three replicas on one PostgreSQL, whose every write is written down with who made it; and what must hold in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import fresh_database
from tests.faults.checker import check
from tests.support.audit import AuditEntry, audit_folder, read_audit
from tests.support.journal import ADDRESSES, SETTINGS, Journal, find_violations, taken_over_at
from tests.support.postgres import PostgresServer
from tests.support.replicas import Replica, made_replicas

COUNT = 3
#: What is promised: so long after its owner died or was stopped, a run has a new one.
TAKEN_OVER_SECONDS = 15.0


@pytest.fixture(scope="module")
def listening_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that each replica calls by an address of its own."""
    with PostgresServer.started(**SETTINGS) as server:
        yield server


@dataclass
class Group:
    """The replicas, and the journal of their database."""

    replicas: Sequence[Replica]
    journal: Journal

    def address(self, replica: Replica) -> str:
        """By which the replica calls the database, and is known in the journal."""
        return ADDRESSES[list(self.replicas).index(replica)]

    def owned_by(self, replica: Replica) -> list[str]:
        """The unfinished runs that it owns now."""
        return self.journal.owned_by(self.address(replica))

    async def taken_over(self, run_ids: Sequence[str], since: datetime) -> float:
        """Wait until all these runs have new owners; how many seconds after that moment the last one had."""
        async with asyncio.timeout(4 * TAKEN_OVER_SECONDS):
            while True:
                entries = await asyncio.to_thread(self.journal.entries)
                times = [taken_over_at(entries, run_id, since) for run_id in run_ids]
                if None not in times:
                    return max((at - since).total_seconds() for at in times if at is not None)
                await asyncio.sleep(0.5)

    def check(self, **allowed: Any) -> None:
        """Fail with everything that is wrong with what they left behind."""
        violations = list(find_violations(self.journal.entries(), self.journal.executors()))
        assert not violations, f"{len(violations)} writes of others than the owner:\n  " + "\n  ".join(violations[:20])
        check(*self.replicas, **allowed)
        for replica in self.replicas:
            assert not replica.faults(), f"a replica wrote of faults:\n{replica.text()[-20_000:]}"

    def check_left_alone(self, replica: Replica, run_ids: Sequence[str], since: datetime) -> None:
        """Fail where the replica has written anything about these runs after that moment."""
        its = self.address(replica)
        written = [one for one in self.journal.entries() if one.address == its and one.run_id in run_ids and one.at > since]
        assert not written, f"after it lost the runs it wrote {written[:10]}"

    def audit(self, kubeconfig: Path, replica: Replica, since: datetime) -> list[AuditEntry]:
        """What the replica has asked the cluster to change after that moment."""
        entries = read_audit(audit_folder(kubeconfig), self.replicas[0].namespaces)
        return [entry for entry in entries if entry.user == replica.user and entry.time > since]


@contextmanager
def group_of(
    folder: Path, server: PostgresServer, count: int = COUNT, *, pods: str = "local", **options: Any
) -> Iterator[Group]:
    """Replicas in a database of their own. None of them runs yet: the caller starts them."""
    with fresh_database(server) as url:
        urls = [url.replace("127.0.0.1", address) for address in ADDRESSES[:count]]
        with made_replicas(folder, urls, pods=pods, **options) as replicas:
            yield Group(replicas, Journal(url))


def start(replicas: Sequence[Replica]) -> None:
    """Start them all, until each takes runs."""
    for one in replicas:
        one.start(wait=False)
    for one in replicas:
        one.wait_ready()
