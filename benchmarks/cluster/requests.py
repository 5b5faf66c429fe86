"""How often the API server is asked for a run of one pod, counted by user agent in the API server's audit log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from benchmarks.cluster.trials import Shape, podrun_trial
from benchmarks.cluster.workloads import Bench
from benchmarks.comparison import Comparison, value_at_most
from tests.support.audit import WRITES, AuditEntry, audit_folder, read_audit

_AGENT = "podrun/"
_VERBS = WRITES | {"get", "list", "watch"}
_WRITES, _LOG_READS = 2, 2
#: The server writes an entry when it has answered.
_SETTLE_SECONDS = 3.0


async def measure_requests(bench: Bench, runs: int = 5) -> list[Comparison]:
    """Runs of one pod each, one after the other, on the real node."""
    before = len(_entries(bench))
    for _ in range(runs):
        await podrun_trial(bench.service, Shape(chains=1, length=1, on_fake_node=False))
    await asyncio.sleep(_SETTLE_SECONDS)
    entries = [entry for entry in _entries(bench)[before:] if entry.user_agent.startswith(_AGENT)]
    writes = [entry for entry in entries if entry.verb in WRITES]
    logs = [entry for entry in entries if entry.verb == "get" and entry.subresource == "log"]
    others = [entry for entry in entries if entry not in writes and entry not in logs and not _is_watch(entry)]
    named = {"writes": (writes, _WRITES), "log reads": (logs, _LOG_READS), "others but the watches": (others, 0)}
    return [
        Comparison(
            name=f"{name} at the API server for a run of one pod, {bench.database}",
            unit="requests",
            goal=value_at_most(goal),
            podrun=[len(found) / runs],
        )
        for name, (found, goal) in named.items()
    ]


def _entries(bench: Bench) -> list[AuditEntry]:
    return read_audit(audit_folder(Path(os.environ["KUBECONFIG"])), bench.service.namespaces, _VERBS)


def _is_watch(entry: AuditEntry) -> bool:
    return entry.verb == "watch" or "watch=" in entry.uri
