"""What all tests share: which components are there, PostgreSQL, a namespace per test, and no asyncio task left behind.

A test says by a mark which component it needs (`cluster`, `fake_nodes`, `postgres`, `browser`, `deploy`). Where that is
missing the test is skipped and says so; with `PODRUN_TEST_REQUIRE_ALL` set, every skip is a failure.
"""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import secrets
import shlex
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import hypothesis
import pytest
import pytest_asyncio
import structlog

from tests.support.chromium import missing_browser
from tests.support.postgres import PostgresServer, postgres_programs

pytest_plugins = ["tests.support.parallel"]
#: What a mark needs, as environment variables and the words for it. `postgres` and `browser` are looked for on the machine.
NEEDED_VARIABLES = {
    "cluster": {"KUBECONFIG": "a real Kubernetes"},
    "fake_nodes": {"KUBECONFIG": "a real Kubernetes", "FAKE_NODES": "the command that adds fake nodes to it"},
    "deploy": {"KUBECONFIG": "a real Kubernetes", "IMAGE_BUILDER": "the command that builds an image into it"},
}
# Plain tracebacks, as the service writes them: to draw every local of a large run takes seconds.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=["level", "event"]),
    ]
)
# A busy machine is no fault of an example's.
hypothesis.settings.register_profile("podrun", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("podrun")
#: How long a task may take to end after its test.
LEFTOVER_SECONDS = 1.0


def require_all() -> bool:
    """Whether a component that is missing is a failure."""
    return bool(os.environ.get("PODRUN_TEST_REQUIRE_ALL"))


def missing_component(mark: str) -> str | None:
    """Why tests with this mark can't run here, or None."""
    if mark == "postgres":
        return None if postgres_programs() else "PostgreSQL's programs (initdb, postgres) are not on this machine"
    if mark == "browser":
        return missing_browser()
    for variable, words in NEEDED_VARIABLES.get(mark, {}).items():
        if not os.environ.get(variable):
            return f"{variable} is not set ({words})"
    return None


def pytest_sessionstart() -> None:
    """Say that no event loop is set, before pytest-asyncio asks for it: it would make one that nobody closes."""
    asyncio.set_event_loop(None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give asynchronous tests the check for tasks left behind, and marked ones what they stand on."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "_no_tasks_left_behind")
        if item.get_closest_marker("fake_nodes") and not missing_component("fake_nodes"):
            item.fixturenames.insert(0, "fake_nodes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, a test whose component is missing."""
    for mark in item.iter_markers():
        reason = missing_component(mark.name)
        if reason:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make each skip a failure where everything must run."""
    report = yield
    if require_all() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but PODRUN_TEST_REQUIRE_ALL is set: {call.excinfo and call.excinfo.value}"
    return report


@pytest_asyncio.fixture
async def _no_tasks_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks running."""
    async with no_tasks_left_behind():
        yield


@asynccontextmanager
async def no_tasks_left_behind() -> AsyncIterator[None]:
    """Fail where the block leaves asyncio tasks running in this loop."""
    before = asyncio.all_tasks()
    yield
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while left := {one for one in asyncio.all_tasks() - before if not one.done()} - {asyncio.current_task()}:
        if time.monotonic() > deadline:
            names = sorted(f"{one.get_name()}: {one.get_coro()}" for one in left)
            for one in left:
                one.cancel()
            pytest.fail("asyncio tasks left behind:\n  " + "\n  ".join(names), pytrace=False)
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of the tests' own, on a free port of 127.0.0.1."""
    if reason := missing_component("postgres"):
        pytest.skip(reason)
    with PostgresServer.started() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database of the test's own (`postgresql+asyncpg://…`)."""
    with fresh_database(postgres_server) as url:
        yield url


@contextmanager
def fresh_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, which is gone after the block."""
    name = f"podrun_{secrets.token_hex(6)}"
    _in_thread(lambda: asyncio.run(_execute(postgres_server, f'CREATE DATABASE "{name}"')))
    yield postgres_server.url(name)
    _in_thread(lambda: asyncio.run(_execute(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)')))


async def _execute(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""), timeout=10)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close()


def _in_thread(work: Callable[[], None]) -> None:
    """Run it in a thread of its own: an event loop may be set in this one."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="fixture")
    thread.start()
    thread.join(90)
    if failures:
        raise failures[0]


def kubectl(*arguments: str, check: bool = True, input_text: str | None = None) -> str:
    """What kubectl printed. Raises CalledProcessError when it fails and `check` is on."""
    return subprocess.run(
        ["kubectl", *arguments], check=check, input=input_text, capture_output=True, text=True, timeout=90
    ).stdout


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the cluster that tests may use."""
    if reason := missing_component("cluster"):
        pytest.skip(reason)
    return Path(os.environ["KUBECONFIG"])


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:  # noqa: ARG001 - asked for its skip
    """A namespace of the test's own on the real cluster, deleted after it (nobody waits for that)."""
    name = f"podrun-test-{secrets.token_hex(5)}"
    kubectl("create", "namespace", name)
    deadline = time.monotonic() + 30
    # Without it the API server refuses every pod.
    while not kubectl("get", "serviceaccount", "default", "-n", name, "-o", "name", check=False):
        assert time.monotonic() < deadline, "the namespace got no service account within 30 s"
        time.sleep(0.05)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def fake_nodes(kubeconfig: Path) -> None:
    """Nodes whose pods need no container: `nodeSelector: {type: fake}` with a toleration for the taint `fake`."""
    if reason := missing_component("fake_nodes"):
        pytest.skip(reason)
    with kubeconfig.open() as cluster:
        fcntl.flock(cluster, fcntl.LOCK_EX)  # tests that run beside this one ask for them too
        if not kubectl("get", "nodes", "-l", "type=fake", "-o", "name"):
            subprocess.run([*shlex.split(os.environ["FAKE_NODES"]), "10"], check=True, timeout=300)
