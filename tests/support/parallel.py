"""Tests side by side, as `make test` runs them: which of them share a worker, and in which order they come."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

BROWSER = "tests/browser/"
FAILPOINTS = "tests/faults/test_failpoints.py"
#: They start the service a hundred times, which keeps a core busy: not all of them at once.
LATER_FAILPOINTS = f"{FAILPOINTS} later"
#: Where tests wait for services and pods more than they compute, the longest first.
WAITING = (
    BROWSER,
    "tests/service/",
    "tests/cluster/",
    FAILPOINTS,
    "tests/faults/test_postgres_hangs.py",
    "tests/faults/test_api_server.py",
    "tests/faults/test_postgres_outages.py",
    "tests/faults/test_log_rates.py",
    "tests/faults/test_replicas.py",
    "tests/faults/test_stopped.py",
    "tests/faults/test_log_store_outages.py",
    LATER_FAILPOINTS,
    "tests/faults/test_random_kills.py",
    "tests/faults/test_readers.py",
    "tests/faults/test_log",
    "tests/faults/test_postgres_away.py",
    "tests/faults/test_cluster",
    "tests/faults/",
)


class ByService(LoadScopeScheduling):
    """Gives a worker all tests that share a service.

    Those are the tests of a file; but in one that has a service on the cluster too, the tests on that go apart, as told by
    their names. The tests in the browser share browser and service over all files; those that kill the service at each
    failpoint share nothing, and each of them takes minutes.
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        if path.startswith(BROWSER):
            return BROWSER
        if path == FAILPOINTS:
            return nodeid
        return f"{path} on the cluster" if "kubernetes" in test or "cluster" in test else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByService:
    """Share the tests out by `ByService`."""
    return ByService(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the long ones begin and the short ones fill what is left, in the order that chance has given each kind."""
    if hasattr(config, "workerinput"):
        items.sort(key=_kind)


def _kind(item: pytest.Item) -> int:
    if item.nodeid.startswith(FAILPOINTS) and "local" in item.nodeid:
        return WAITING.index(LATER_FAILPOINTS)
    return next((kind for kind, place in enumerate(WAITING) if item.nodeid.startswith(place)), len(WAITING))
