"""Whole services behind a proxy that breaks the API server for them, many scenarios side by side.

A scenario is a coroutine that is given a `Stand` of its own: a namespace, a proxy, a service. The scenarios of a module begin
together when its first test does, in a thread of their own; each test waits for its own one.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.faults import checker
from tests.support.api import Api, api_of
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import fresh_namespace
from tests.support.service import ServiceProcess, started
from tests.support.workflows import Json, chain, fake, shell, workflow

#: How many scenarios may be busy at a time; those that wait for most of their time don't count.
BUSY = 4
SCENARIO_SECONDS = 280.0
FINISH_SECONDS = 170.0
#: How often a second a list may be asked for, or a watch: tries that fail come after 0.1, 0.2, 0.4 s, and so on.
WATCHES = 8
#: As much of what a service wrote, and of what the proxy saw, as a failure shows.
SHOWN_CHARACTERS, SHOWN_CALLS = 12_000, 60
FAKE_LOG = {"bytes": 25, "lines": 1, "sealed": True, "gaps": 0}
LINES = 100
#: A task whose name begins so fails, and is tried twice.
FAILS = "fails"


def talker(name: str, lines: int = LINES, **keys: Any) -> Json:
    """A task with a real container that says so many lines, one each 50 ms."""
    return shell(name, f"i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); sleep 0.05; done", **keys)


def said(lines: int = LINES) -> bytes:
    """What a talker says."""
    return b"".join(b"line %d\n" % number for number in range(lines))


class Stand:
    """A scenario's own service, behind a proxy of its own."""

    def __init__(self, proxy: ApiProxy, service: ServiceProcess, api: Api, chance: random.Random) -> None:
        self.proxy, self.service, self.api, self.chance = proxy, service, api, chance
        self.namespace = service.namespaces[0]
        self.run_ids: list[str] = []  #: of what `check` looks at
        self.lines: dict[str, int] = {}  #: task → how many lines it says, where these are not LINES

    async def submit(self, document: Json) -> str:
        """Post a workflow whose end `check` looks at."""
        self.run_ids.append(await self.api.submit(document))
        return self.run_ids[-1]

    async def load(self, fakes: int, talkers: int = 0, *, seconds: float = 3.0) -> None:
        """Post so many tasks in runs of several shapes, whose pods live up to so many seconds."""
        names = [f"t{number}" for number in range(fakes - 8)]
        fan = [fake(name, round(self.chance.random() * seconds, 1)) for name in names]
        for task in fan[::2]:
            task["depends_on"] = ["first"]
        await self.submit(workflow(fake("first"), *fan, fake("last", depends_on=names), name="fan"))
        await self.submit(chain(4, lambda name: fake(name, 0.3), name="chain"))
        retries = {"limit": 1, "delay_seconds": 0.5, "jitter": False}
        fails = fake(FAILS, 0.5, 3, retries=retries)
        await self.submit(workflow(fails, fake("never", depends_on=[FAILS]), name="failing"))
        if talkers:
            spoken = [talker(f"talk{number}") for number in range(talkers)]
            await self.submit(workflow(*spoken, shell("after", "echo done", depends_on=["talk0"]), name="talking"))

    async def check(self, *, calm_since: float = 0.0, watches: int = WATCHES, **allowed: Any) -> list[Json]:
        """All runs end as they would have; each attempt had one pod, none is left; logs are whole; nothing was asked hotly.

        `allowed` is for the checker.
        """
        runs = [await self.api.finished(run_id, FINISH_SECONDS) for run_id in self.run_ids]
        for run in runs:
            self._check_run(run)
            for task in run["tasks"]:
                if task["name"].startswith("talk"):
                    lines = self.lines.get(task["name"], LINES)
                    assert await self.api.log(run["id"], task["name"]) == said(lines), task["name"]
        self.check_calm(calm_since, watches)
        await self.check_evidence(**allowed)
        return runs

    async def check_evidence(self, **allowed: Any) -> None:
        """No rule is broken by what there is in the end, and no pod is there."""
        self.proxy.clear()
        await self.no_pods_left()
        await asyncio.to_thread(checker.check, self.service, runs=self.run_ids, **allowed)

    def _check_run(self, run: Json) -> None:
        fails = any(task["name"] == FAILS for task in run["tasks"])
        assert run["phase"] == ("Failed" if fails else "Succeeded"), f"{run['phase']} {run['message']}"
        for task in run["tasks"]:
            ends = [(one["phase"], one["reason"], one["exit_code"]) for one in task["attempts"]]
            if task["name"] == FAILS:
                assert ends == [("Failed", "Error", 3)] * 2
            elif fails:
                assert (task["phase"], ends) == ("Omitted", [])
            else:
                assert (task["phase"], ends) == ("Succeeded", [("Succeeded", None, 0)]), task
            for attempt in task["attempts"]:
                log = attempt["log"]
                is_fake = not task["name"].startswith(("talk", "after"))
                assert log == FAKE_LOG if is_fake else (log["sealed"], log["gaps"]) == (True, 0), (task["name"], log)

    def check_calm(self, since: float = 0.0, watches: int = WATCHES) -> None:
        """Nothing was asked in a hot loop. A stream that brought something may be followed by the next at once.

        A GET or DELETE on a connection that breaks is made once more by the client itself: two tries are four requests.
        """
        for most, which in (
            (watches, {"verb": "list", "query": "limit=500", "without": "continue="}),
            (watches, {"verb": "watch"}),
            (3, {"verb": "create"}),
            (4, {"verb": "delete"}),
            (12, {"verb": "log"}),
        ):
            count, thing = self.proxy.busiest(since, **which)
            assert count <= most, f"{count} requests in one second: {thing}"

    async def readiness(self) -> str:
        """ "ok", or what /readyz says is wrong."""
        answer = await self.api.http.get(f"{self.service.url}/readyz")
        return "ok" if answer.is_success else str(answer.json()["detail"])

    async def until_ready(self, is_ready: bool, seconds: float = 20.0) -> str:
        """What /readyz says, once it is so."""
        deadline = time.monotonic() + seconds
        while ((told := await self.readiness()) == "ok") is not is_ready:
            assert time.monotonic() < deadline, f"/readyz still says: {told}"
            await asyncio.sleep(0.3)
        return told

    async def no_pods_left(self, seconds: float = 60.0) -> None:
        """Wait until no pod is there."""
        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self.proxy.url, timeout=30, trust_env=False) as http:
            while left := (await http.get(f"/api/v1/namespaces/{self.namespace}/pods")).json()["items"]:
                assert time.monotonic() < deadline, f"pods left: {[pod['metadata']['name'] for pod in left]}"
                await asyncio.sleep(0.5)

    def describe(self) -> str:
        """What the service wrote and the proxy saw last."""
        began = self.proxy.calls[0].at if self.proxy.calls else 0.0
        calls = [
            f"{call.at - began:7.2f} {call.verb} {call.resource} {call.name} -> {call.status} {' '.join(call.faults)}"
            for call in self.proxy.calls[-SHOWN_CALLS:]
        ]
        return "\n".join(["the proxy saw last:", *calls, "the service wrote:", self.service.text()[-SHOWN_CHARACTERS:]])


Body = Callable[[Stand], Coroutine[Any, Any, None]]


class Scenario:
    """A scenario as a test has it: what it does, what its stand is like, and whether it waits for most of its time."""

    def __init__(self, body: Body, *, idles: bool, proxy: dict[str, Any]) -> None:
        self.body, self.idles, self.proxy = body, idles, proxy
        self.done: Future[None] = Future()


def scenario(*, idles: bool = False, **proxy: Any) -> Callable[[Body], Callable[[Any], None]]:
    """Make a test of a scenario; `proxy` are the proxy's options. The module needs the fixture `scenarios`."""

    def decorate(body: Body) -> Callable[[Any], None]:
        told = Scenario(body, idles=idles, proxy=proxy)

        def test(scenarios: Scenarios) -> None:
            assert scenarios is not None
            told.done.result(SCENARIO_SECONDS)

        test.__name__, test.__qualname__, test.__doc__ = body.__name__, body.__qualname__, body.__doc__
        test.scenario = told  # type: ignore[attr-defined]  # which the fixture finds
        return test

    return decorate


class Scenarios:
    """A context manager: runs the scenarios of all the tests that were selected from a module."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        items = [item for item in request.session.items if isinstance(item, pytest.Function)]
        self._wanted: list[Scenario] = [
            item.function.scenario  # type: ignore[attr-defined]  # of `scenario`
            for item in items
            if item.module is request.module and hasattr(item.function, "scenario")
        ]
        self._seed = request.config.getoption("randomly_seed")
        self._folder = folder
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="scenarios")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._loop is not None and self._main is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(FINISH_SECONDS)

    async def _run(self) -> None:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        busy = asyncio.Semaphore(BUSY)
        with suppress(asyncio.CancelledError):  # by `__exit__`: who waits for a scenario is told by its future
            async with asyncio.TaskGroup() as group:
                for told in sorted(self._wanted, key=lambda told: not told.idles):
                    group.create_task(self._play(told, busy), name=told.body.__name__)

    async def _play(self, told: Scenario, busy: asyncio.Semaphore) -> None:
        try:
            if told.idles:
                await self._stand_for(told)
            else:
                async with busy:
                    await self._stand_for(told)
            told.done.set_result(None)
        except Exception as error:  # noqa: BLE001 - the test raises it
            told.done.set_exception(error)
        finally:
            told.done.cancel()  # cancelled before it was done

    async def _stand_for(self, told: Scenario) -> None:
        """Set up a stand, play the scenario on it, and end the service, which may not have written of faults."""
        chance = random.Random(f"{self._seed}/{told.body.__name__}")
        stack = ExitStack()
        async with AsyncExitStack() as closing:
            closing.push_async_callback(asyncio.to_thread, stack.close)
            proxy, service = await asyncio.to_thread(self._open, stack, told)
            api = await closing.enter_async_context(api_of(service.url))
            stand = Stand(proxy, service, api, chance)
            try:
                await told.body(stand)
            except Exception as error:
                error.add_note(stand.describe())
                raise
            finally:
                proxy.clear()

    def _open(self, stack: ExitStack, told: Scenario) -> tuple[ApiProxy, ServiceProcess]:
        namespace = stack.enter_context(fresh_namespace())
        proxy = stack.enter_context(ApiProxy(**told.proxy))
        folder = self._folder / told.body.__name__
        folder.mkdir()
        kubeconfig = proxy.write_kubeconfig(folder / "kubeconfig", namespace)
        service = started(stack, folder, "kubernetes", kubeconfig=kubeconfig, namespaces=[namespace])
        return proxy, service
