"""What stories stand on: one Chromium for all of them, private windows for each, and services that run.

Browser and tests live in one event loop of the session: to start Playwright for each test would cost more than most tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.conftest import no_tasks_left_behind
from tests.support.api import Api, api_of
from tests.support.browser import Browsing, launched
from tests.support.service import ServiceProcess, started
from tests.support.workflows import approval, put_out, shell, workflow

MakeService = Callable[..., ServiceProcess]
#: As much of what a service wrote as a failure shows.
SHOWN_CHARACTERS = 10_000
LOOP = "session"
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of this folder its mark and its loop."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope=LOOP), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the services wrote beside each failure."""
    report = yield
    if report.failed:
        for service in getattr(item, "funcargs", {}).values():
            if isinstance(service, ServiceProcess):
                report.sections.append(("the service's standard error", service.text()[-SHOWN_CHARACTERS:]))
    return report


@pytest_asyncio.fixture(scope="session", loop_scope=LOOP)
async def chromium() -> AsyncIterator[Browser]:
    """The browser that all stories share."""
    async with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def local_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service on local pods that stories share which don't mind others' runs."""
    with ExitStack() as stack:
        yield started(stack, tmp_path_factory.mktemp("browsed"), "local")


@pytest.fixture(scope="module")
def make_shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeService]:
    """Makes services that the stories of a module share."""
    with ExitStack() as stack:
        yield lambda pods, **options: started(stack, tmp_path_factory.mktemp("shared"), pods, **options)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services of the story's own, with `pods` and the options of ServiceProcess; all of them end with the test."""
    with ExitStack() as stack:
        yield lambda pods, **options: started(stack, tmp_path / "service", pods, **options)


@dataclass(frozen=True)
class Gallery:
    """What is on show: ids of runs of the shared service, and the name of a stored workflow."""

    failed: str  #: `build` succeeds with colours in its log, `flaky` on its second attempt, `broken` fails, `after` is Omitted
    waiting: str  #: `gate` waits for an approval
    stored: str = "gallery-report"


@pytest_asyncio.fixture(scope="session", loop_scope=LOOP)
async def gallery(local_service: ServiceProcess) -> Gallery:
    """A run of each kind, and a stored workflow with a schedule and params; nobody changes them."""
    async with api_of(local_service.url) as api:
        await api.put_workflow(_stored())
        await api.put_workflow(_stored() | {"description": "Another version."})
        waiting = await api.submit(workflow(approval("gate"), shell("go", "true", depends_on=["gate"]), name="gallery-gate"))
        failed = await api.submit(_failing(), labels={"team": "gallery"})
        await api.finished(failed)
    return Gallery(failed, waiting)


def _failing() -> dict[str, Any]:
    retries = {"limit": 1, "delay_seconds": 0.1, "jitter": False}
    colours = "for n in 0 1 2 3 4 5 6 7; do printf '\\033[3%dmcolour %d\\033[0m \\033[9%dmbright\\033[0m\\n' $n $n $n; done"
    return workflow(
        shell("build", f"{colours}; {put_out(modules=3)}"),
        shell("flaky", 'echo "attempt $PODRUN_ATTEMPT"; test "$PODRUN_ATTEMPT" = 2', depends_on=["build"], retries=retries),
        shell("broken", "echo 'cannot open the file' >&2; exit 3", depends_on=["build"]),
        shell("after", "true", depends_on=["broken", "flaky"]),
        shell("shard", "true", depends_on=["build"], foreach=[1, 2, 3]),
        name="gallery", description="What goes wrong, and what does not.", params={"colour": "red"},
    )  # fmt: skip


def _stored() -> dict[str, Any]:
    params = {
        "customer": {"default": "Ada", "description": "Whose report it is."}, "copies": 2, "draft": True,
        "format": {"default": "pdf", "enum": ["pdf", "html"]}, "tags": {"type": "array", "default": ["monthly"]},
    }  # fmt: skip
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "forbid"}
    say = "echo ${{ params.customer }} ${{ params.copies }} ${{ params.format }}"
    return workflow(shell("render", say), name="gallery-report", params=params, schedule=schedule)


@pytest_asyncio.fixture(loop_scope=LOOP)
async def api(local_service: ServiceProcess) -> AsyncIterator[Api]:
    """The API of the service that stories share."""
    async with api_of(local_service.url) as made:
        yield made


@pytest_asyncio.fixture(loop_scope=LOOP)
async def browsing(chromium: Browser, local_service: ServiceProcess) -> AsyncIterator[Browsing]:
    """Windows on the shared service; the story fails where a page complains, or leaves a task behind in the loop."""
    async with no_tasks_left_behind():
        made = Browsing(chromium, local_service.url)
        yield made
        await made.close()
    made.check()
