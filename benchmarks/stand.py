"""What is measured on: services of podrun's own, on a namespace of a real cluster, with what their database needs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.cluster import fresh_namespace
from tests.support.postgres import PostgresServer, postgres_programs
from tests.support.replicas import upgrade
from tests.support.service import ServiceProcess

#: What the service is measured with: nothing of its own holds pods back.
UNLIMITED: Mapping[str, str] = {"MAX_PARALLEL_PODS": "5000", "POD_CREATE_QPS": "5000", "POD_CREATE_BURST": "5000"}
SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


def missing() -> str | None:
    """What is not there that the benchmarks need; None: nothing."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set: they need a real cluster"
    if postgres_programs() is None:
        return "PostgreSQL's programs are not installed"
    return None


def is_complete(command: str) -> bool:
    """Whether all is there that the benchmarks need; if not, it is said, and ends the process where nothing may be left out."""
    reason = missing()
    if reason and os.environ.get("PODRUN_TEST_REQUIRE_ALL"):
        sys.exit(f"{command}: {reason}")
    if reason:
        print(f"{command}: {reason}: skipped")
    return reason is None


@contextmanager
def service_on(database: str, *, program: Sequence[str] = ()) -> Iterator[ServiceProcess]:
    """A service that runs on the cluster, with a database of this kind made for it; all of it is gone afterwards.

    `program`: what Python runs in place of podrun's command line.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podrun-benchmark-")))
        url = None
        if database == POSTGRESQL:
            url = stack.enter_context(PostgresServer.started(fsync="on", synchronous_commit="on")).url("postgres")
            upgrade(url)
        namespace = stack.enter_context(fresh_namespace())
        settings = dict(UNLIMITED)
        service = ServiceProcess(folder / "service", "kubernetes", namespaces=[namespace], database_url=url, settings=settings)
        service.program = list(program) or service.program
        stack.callback(service.close)
        service.start()
        yield service
