"""One trial: the raw client or podrun makes chains of pods on the cluster, while an observer watches from outside."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from benchmarks.cluster.observer import Seen
from benchmarks.cluster.pods import LABEL, Json, pod_keys
from benchmarks.measuring import descendants
from tests.support.process_cost import cpu_seconds
from tests.support.service import ServiceProcess

SECONDS = 600.0
#: After the last run's end the service may still write and delete: its CPU counts too.
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is made: chains of pods at once."""

    chains: int
    length: int
    on_fake_node: bool = True
    in_one_run: bool = False  #: podrun's chains are tasks of one run, rather than a run each

    @property
    def pods(self) -> int:
        """How many in all."""
        return self.chains * self.length


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one of the two did."""

    seen: Seen
    began: float  #: monotonic seconds: the raw client's first creation, podrun's first POST
    done_seconds: float  #: from there until all was done: logs read and pods deleted too, where they are
    cpu_seconds: float  #: of the client, or of the service with its worker

    @property
    def ended_seconds(self) -> float:
        """From the beginning until the last container's end was seen."""
        return max(self.seen.ended.values()) - self.began


async def raw_trial(namespace: str, shape: Shape, *, complete: bool) -> Trial:
    """Let the raw client make the pods."""
    label = _label()
    options = [*(["--complete"] if complete else []), *(["--fake-nodes"] if shape.on_fake_node else [])]
    async with _observed(namespace, label, shape.pods) as observing:
        process = await _python("raw_client", namespace, label, str(shape.chains), str(shape.length), *options)
        told, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"the raw client failed with {process.returncode}")
        seen = await observing
    _check(seen, shape, "the raw client")
    done: Json = json.loads(told)
    return Trial(seen=seen, began=done["began"], done_seconds=done["done"] - done["began"], cpu_seconds=done["cpu_seconds"])


async def podrun_trial(service: ServiceProcess, shape: Shape) -> Trial:
    """Let the service make the pods, of runs that are posted at once."""
    label = _label()
    documents = _documents(shape, label)
    async with (
        _observed(service.namespaces[0], label, shape.pods) as observing,
        aiohttp.ClientSession(f"{service.url}/api/v1/", connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        cpu = service_cpu_seconds(service.pid)
        began, began_at = time.monotonic(), time.time()
        async with asyncio.TaskGroup() as posting:
            for document in documents:
                posting.create_task(_post(http, document), name="post")
        seen = await observing
        _check(seen, shape, "podrun")
        finished_at = await _finished_at(http, label, len(documents))
        await asyncio.sleep(_SETTLE_SECONDS)
        taken = service_cpu_seconds(service.pid) - cpu
    return Trial(seen=seen, began=began, done_seconds=finished_at - began_at, cpu_seconds=taken)


def service_cpu_seconds(pid: int) -> float:
    """Of the service's process and of its workers, so far."""
    return sum(cpu_seconds(one) for one in (pid, *descendants(pid)))


def _label() -> str:
    return f"b{secrets.token_hex(4)}"


def _documents(shape: Shape, label: str) -> list[Json]:
    """One document for each run."""
    chains = [_chain(number, shape) for number in range(shape.chains)]
    runs = [[task for tasks in chains for task in tasks]] if shape.in_one_run else chains
    about = {"name": "benchmark", "labels": {LABEL: label}, "task_defaults": pod_keys(on_fake_node=shape.on_fake_node)}
    return [about | {"tasks": tasks} for tasks in runs]


def _chain(number: int, shape: Shape) -> list[Json]:
    names = [f"t{number}-{place}" for place in range(shape.length)]
    return [{"name": name} | ({"depends_on": [names[place - 1]]} if place else {}) for place, name in enumerate(names)]


async def _post(http: aiohttp.ClientSession, document: Json) -> None:
    async with http.post("runs", json={"workflow": document}) as answer:
        if not answer.ok:
            raise RuntimeError(f"the service refused a run: {await answer.text()}")


async def _finished_at(http: aiohttp.ClientSession, label: str, count: int) -> float:
    """When the last run was finished, as their records say, by this machine's clock. Asked for seldom: that costs, too."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        async with http.get("runs", params={"label_selector": f"{LABEL}={label}", "limit": "1000"}) as answer:
            runs = (await answer.json())["items"]
        if wrong := [run for run in runs if run["is_finished"] and run["phase"] != "Succeeded"]:
            raise RuntimeError(f"a run ended as {wrong[0]['phase']}: {wrong[0].get('message')}")
        if len(runs) == count and all(run["is_finished"] for run in runs):
            return max(datetime.fromisoformat(run["finished_at"]).timestamp() for run in runs)
        await asyncio.sleep(0.25)
    raise RuntimeError(f"the runs were not finished after {SECONDS} s")


@asynccontextmanager
async def _observed(namespace: str, label: str, pods: int) -> AsyncIterator[asyncio.Task[Seen]]:
    """An observer that watches already; the task ends when all pods have ended."""
    process = await _python("observer", namespace, label, str(pods), str(SECONDS))
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"watching\n":
            raise RuntimeError("the observer did not begin")
        async with asyncio.TaskGroup() as group:
            yield group.create_task(_told(process.stdout), name="observer")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _told(stdout: asyncio.StreamReader) -> Seen:
    return Seen.read(await stdout.readline())


async def _python(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.cluster.{module}", *arguments, stdout=asyncio.subprocess.PIPE, limit=2**26
    )


def _check(seen: Seen, shape: Shape, who: str) -> None:
    if len(seen.ended) != shape.pods or len(seen.created) != shape.pods:
        raise RuntimeError(f"{who} made {len(seen.created)} pods, of which {len(seen.ended)} ended: not {shape.pods}")
