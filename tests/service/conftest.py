"""What tests of the whole service stand on: processes of `podrun serve`, on local pods and on the real cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import missing_component
from tests.support.api import Api, api_of
from tests.support.service import ServiceProcess, started

LOCAL = pytest.param("local", id="local")
KUBERNETES = pytest.param("kubernetes", id="kubernetes", marks=pytest.mark.cluster)
#: As much of what a service wrote as a failure shows.
SHOWN_CHARACTERS = 20_000

MakeService = Callable[..., ServiceProcess]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the services wrote beside each failure."""
    report = yield
    if report.failed:
        for service in getattr(item, "funcargs", {}).values():
            if isinstance(service, ServiceProcess):
                report.sections.append(("the service's standard error", service.text()[-SHOWN_CHARACTERS:]))
    return report


@pytest.fixture(scope="module", params=[LOCAL, KUBERNETES])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that the tests of a module share."""
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("service"), request.param)


@pytest.fixture(scope="module")
def local_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on local pods that the tests of a module share."""
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("service"), "local")


@pytest.fixture(scope="module")
def cluster_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on the real cluster that the tests of a module share. Ask for it in tests marked `cluster`."""
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("service"), "kubernetes")


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services of the test's own, with `pods` and the options of ServiceProcess; all of them end with the test."""
    with ExitStack() as stack:
        yield lambda pods, **options: started(stack, tmp_path / "service", pods, **options)


@pytest.fixture
def kubeconfig_or_none(request: pytest.FixtureRequest) -> Path | None:
    """The kubeconfig, None without a cluster: for tests that run on both."""
    return None if missing_component("cluster") else request.getfixturevalue("kubeconfig")


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """The API of the service that the test's module shares."""
    names = ("service", "local_service", "cluster_service")
    shared: ServiceProcess = request.getfixturevalue(next(name for name in names if name in request.fixturenames))
    async with api_of(shared.url) as made:
        yield made
