"""Several processes of `podrun serve` that share everything, as the replicas of one installation do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.service import ServiceProcess


@contextmanager
def replicas(folder: Path, database_url: str, count: int = 2) -> Iterator[Sequence[ServiceProcess]]:
    """So many services on one PostgreSQL, with one log store and one folder of local pods. All of them run."""
    upgrade(database_url)
    shared = {"LOGS_URL": str(folder / "logs"), "LOCAL_PODS_DIR": str(folder / "pods")}
    with ExitStack() as stack:
        made = [
            ServiceProcess(folder / f"replica-{number}", "local", database_url=database_url, settings=shared)
            for number in range(count)
        ]
        for one in made:
            stack.callback(one.close)
            one.start(wait=False)
        for one in made:
            one.wait_ready()
        yield made
    for one in made:
        assert not one.faults(), f"a replica wrote of faults:\n{one.text()}"


def upgrade(database_url: str) -> None:
    """Give a PostgreSQL database its tables."""
    environment = os.environ | {"PODRUN_DATABASE_URL": database_url}
    subprocess.run([sys.executable, "-m", "podrun.cli", "db", "upgrade"], check=True, env=environment, timeout=60)
