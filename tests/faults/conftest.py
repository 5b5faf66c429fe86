"""What tests of faults share: their chance, out of the seed that is printed, and services of their own.

`make test-faults SEED=N` gives the seed again. Each test has its own chance, whatever runs beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.checker_story import cluster_story, local_story
from tests.faults.postgres_stand import own_database
from tests.service.conftest import MakeService, api, cluster_service, pytest_runtest_makereport
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Template
from tests.support.service import ServiceProcess, started

__all__ = ["api", "cluster_service", "cluster_story", "local_story", "pytest_runtest_makereport"]


@pytest.fixture(scope="session", autouse=True)
def template() -> Iterator[None]:
    """Services are started by the hundred here: without it, half of the time went into imports."""
    ServiceProcess.template = Template()
    yield
    ServiceProcess.template.close()
    ServiceProcess.template = None


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """What the test does by chance."""
    return random.Random(f"{request.config.getoption('randomly_seed')}/{request.node.nodeid}")


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services of the test's own, with `pods` and the options of ServiceProcess; all of them end with the test."""
    with ExitStack() as stack:
        yield lambda pods, **options: started(stack, tmp_path / "service", pods, **options)


@pytest.fixture
def url(server: PostgresServer) -> Iterator[str]:
    """A database of the PostgreSQL that the test's module breaks, its fixture `server`."""
    with own_database(server) as made:
        yield made
