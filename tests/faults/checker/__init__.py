"""Proves the bold rules of an installation that is quiet, from what it left behind: nothing lost, nothing twice.

    check(service)                       at the end of a test; several replicas: check(first, second)
    check(service, foreign=True, ...)    with what the test did itself: see `allowed.Allowed`

evidence ◀─ rows (database), answers (API), objects, pods, audit log
   └▶ pods, transitions, outcomes, runs, logs: pure functions of it, each gives sentences; none: all is well
"""

from __future__ import annotations

from typing import Any

from tests.faults.checker.allowed import Allowed, Silence
from tests.faults.checker.evidence import Evidence, gather
from tests.faults.checker.logs import check_logs
from tests.faults.checker.outcomes import check_outcomes
from tests.faults.checker.pods import check_pods
from tests.faults.checker.runs import check_runs
from tests.faults.checker.transitions import check_histories
from tests.support.service import ServiceProcess

__all__ = ["Allowed", "Evidence", "Silence", "check", "find_violations", "gather"]
#: As many as a failure shows.
_SHOWN = 40


def check(*services: ServiceProcess, **allowed: Any) -> None:
    """Fail with everything that is wrong with the installation. Its services run, and every run is finished.

    Args:
        services: all that run of one installation; any of them is asked, and must answer alike.
        allowed: see Allowed.
    """
    exceptions = Allowed(**allowed)
    violations = find_violations(gather(services), exceptions)
    shown = "\n  ".join(violations[:_SHOWN])
    assert not violations, f"{len(violations)} rules do not hold:\n  {shown}"


def find_violations(evidence: Evidence, allowed: Allowed | None = None) -> list[str]:
    """Sentences, one for each thing that is wrong."""
    exceptions = allowed or Allowed()
    return [
        *check_pods(evidence, exceptions),
        *check_histories(evidence, exceptions),
        *check_outcomes(evidence),
        *check_runs(evidence, exceptions),
        *check_logs(evidence, exceptions),
    ]
