"""Logs from a pod to a reader, beside `kubectl logs -f --timestamps` of such a pod: speed, CPU, and how late a line is."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from websockets.asyncio.client import connect

from benchmarks.cluster.trials import Shape, podrun_trial, service_cpu_seconds
from benchmarks.cluster.workloads import Bench
from benchmarks.comparison import Comparison, at_least, at_most, value_at_most
from tests.support.process_cost import cost_of

Json = dict[str, Any]
_MEBIBYTE = 2**20
#: What the kubelet puts before each line: an RFC 3339 time with nine digits, and a space.
_STAMP_BYTES = 31
_LINE_BYTES = 100
_SECONDS = 900.0
#: As fast as it goes: `yes` writes whole pages.
_FLOOD = f"yes {'x' * (_LINE_BYTES - 1)} | head -c {{size}}"
#: Lines that say when they were printed, by this machine's clock.
_PACED = """
import os, time
began = time.monotonic()
for number in range({count}):
    ahead = began + number / {rate} - time.monotonic()
    if ahead > 0:
        time.sleep(ahead)
    os.write(1, f"{{time.time():.6f} {{number:9d}} ".encode().ljust({size} - 1, b"x") + b"\\n")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What one of the two did with one log."""

    sent_bytes: int  #: what the API server has sent
    seconds: float
    cpu_seconds: float

    @property
    def mebibytes_per_second(self) -> float:
        """How fast."""
        return self.sent_bytes / _MEBIBYTE / self.seconds


async def measure_full_speed(bench: Bench, pairs: int = 5, size: int = 500_000_000) -> list[Comparison]:
    """One pod that prints as fast as it can, followed by kubectl and by podrun in turn."""
    speed = Comparison(name=f"log of {size // 10**6} MB at full speed, {bench.database}", unit="MiB/s", goal=at_least(0.8))
    memory = Comparison(name="the service's memory meanwhile, more than before", unit="MiB", goal=value_at_most(64))
    script = ["sh", "-c", _FLOOD.format(size=size)]
    for _ in range(pairs):
        by_kubectl = await _kubectl_follows(bench, script)
        with cost_of(bench.service.pid) as cost:
            by_podrun, told, lines = await _podrun_follows(bench, script)
        speed.add(by_kubectl.mebibytes_per_second, by_podrun.mebibytes_per_second)
        memory.podrun.append(cost.memory_bytes / _MEBIBYTE)
        _explained(told, lines, size)
    return [speed, memory]


def _explained(told: Json, lines: int, size: int) -> None:
    """Whatever is missing must stand in a gap."""
    missing = size // _LINE_BYTES - lines
    if missing and not told["gaps"]:
        raise RuntimeError(f"{missing} lines are missing, and the log has no gap: {told}")


async def measure_steady(bench: Bench, pairs: int = 5, megabytes: int = 60) -> list[Comparison]:
    """1 MB a second, whole; the CPU beside kubectl's, and how late lines reach a websocket."""
    rate = 1_000_000 // _LINE_BYTES
    count = megabytes * rate
    script = ["python3", "-c", _PACED.format(count=count, rate=rate, size=_LINE_BYTES)]
    cpu = Comparison(name=f"log of {megabytes} MB at 1 MB/s: CPU, {bench.database}", unit="s", goal=at_most(2))
    late = Comparison(name="the same: a line reaches a websocket, p50", unit="ms", goal=value_at_most(150))
    for _ in range(pairs):
        by_kubectl = await _kubectl_follows(bench, script, image="python:3")
        by_podrun, told, lines = await _podrun_follows(bench, script, image="python:3")
        if told["gaps"] or lines != count:
            raise RuntimeError(f"{count - lines} of {count} lines are missing: {told}")
        cpu.add(by_kubectl.cpu_seconds, by_podrun.cpu_seconds)
    # Apart from the CPU: what a reader costs is not what kubectl does.
    late.podrun.append(statistics.median(await _lateness(bench, script)))
    return [cpu, late]


async def measure_slow_lines(bench: Bench, seconds: int = 20) -> list[Comparison]:
    """One line a second, to a websocket."""
    script = ["python3", "-c", _PACED.format(count=seconds, rate=1, size=_LINE_BYTES)]
    late = Comparison(name=f"one line a second reaches a websocket, p50, {bench.database}", unit="ms", goal=value_at_most(50))
    late.podrun.append(statistics.median(await _lateness(bench, script)))
    return [late]


async def measure_many_logs(bench: Bench, pods: int = 200, lines: int = 50, seconds: int = 180) -> list[Comparison]:
    """So many real pods that print so many lines a second each; the hand-over meanwhile, beside that of before.

    `seconds` must be enough for all of them to start, and for the chains that are measured then.
    """
    name = f"hand-over while {pods} pods print {pods * lines:,} lines a second, {bench.database}: p50"
    found = Comparison(name=name, unit="ms", goal=at_most(1.5))
    quiet = await _hand_overs(bench)
    script = ["sh", "-c", f"for second in $(seq {seconds}); do seq {lines}; sleep 1; done"]
    writer = {"name": "writer", "image": "busybox:1", "command": script, "foreach": list(range(pods))}
    async with aiohttp.ClientSession(f"{bench.service.url}/api/v1/") as http:
        path = f"runs/{await _post(http, {'name': 'logs', 'tasks': [writer]})}"
        while (left := pods - len(attempts := await _attempts(http, path))) or not all(one["started_at"] for one in attempts):
            if any(one["finished_at"] for one in attempts):
                raise RuntimeError(f"the first pods have ended before all had started: {left} are missing")
            await asyncio.sleep(1)
        loud = await _hand_overs(bench)
        if any(one["finished_at"] for one in await _attempts(http, path)):
            raise RuntimeError("the first pods have ended before the hand-over was measured")
        async with asyncio.timeout(_SECONDS):
            while True:
                run = await _json(http, f"{path}?wait=30")
                if run["is_finished"]:
                    break
        logs = [one["log"] for one in await _attempts(http, path)]
    whole = sum(log["lines"] == lines * seconds and not log["gaps"] for log in logs)
    if run["phase"] != "Succeeded" or whole != pods:
        raise RuntimeError(f"the run ended as {run['phase']}, and {whole} of {pods} logs are whole")
    for before, meanwhile in zip(quiet, loud, strict=True):
        found.add(before, meanwhile)
    return [found]


async def _attempts(http: aiohttp.ClientSession, path: str) -> list[Json]:
    """Of all tasks of a run, as far as there are any."""
    tasks = (await _json(http, f"{path}/tasks?limit=1000"))["items"]
    return [attempt for task in tasks for attempt in task["attempts"]]


async def _hand_overs(bench: Bench, chains: int = 5) -> list[float]:
    """The median hand-over of each of so many chains of 20 on fake nodes, in milliseconds; one more is not counted."""
    shape = Shape(chains=1, length=20)
    medians = [statistics.median((await podrun_trial(bench.service, shape)).seen.gaps_ms()) for _ in range(chains + 1)]
    return medians[1:]


async def _kubectl_follows(bench: Bench, script: list[str], image: str = "busybox:1") -> Followed:
    """What kubectl makes of a pod of its own, from its container's start to the end of the stream."""
    name, namespace = f"kubectl-{time.monotonic_ns()}", bench.service.namespaces[0]
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image, "command": script}]}
    await _kubectl_with(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}),
        "apply",
        "-n",
        namespace,
        "-f",
        "-",
    )
    before = os.times()
    process = await asyncio.create_subprocess_exec(
        "kubectl", "logs", "-f", "--timestamps", "--pod-running-timeout=60s", "-n", namespace, name,
        stdout=asyncio.subprocess.PIPE, limit=_MEBIBYTE,
    )  # fmt: skip
    assert process.stdout is not None
    sent, began = 0, 0.0
    while chunk := await process.stdout.read(_MEBIBYTE):
        began = began or time.monotonic()
        sent += len(chunk)
    ended = time.monotonic()
    await process.wait()
    after = os.times()
    await _kubectl_with("", "delete", "pod", "-n", namespace, name, "--grace-period=1")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Followed(sent_bytes=sent, seconds=ended - began, cpu_seconds=cpu)


async def _kubectl_with(given: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    await process.communicate(given.encode())
    if process.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)} failed")


async def _podrun_follows(bench: Bench, script: list[str], image: str = "busybox:1") -> tuple[Followed, Json, int]:
    """What podrun makes of it, from the first bytes in its store to the sealed log; with what its API says, and lines."""
    async with aiohttp.ClientSession(f"{bench.service.url}/api/v1/") as http:
        cpu = service_cpu_seconds(bench.service.pid)
        path = f"runs/{await _submit(http, script, image)}/tasks/writer"
        began = 0.0
        async with asyncio.timeout(_SECONDS):
            while True:
                log = (await _json(http, path))["attempts"]
                told: Json = (log[0].get("log") if log else None) or {}
                if told.get("bytes") and not began:
                    began = time.monotonic()
                if told.get("sealed"):
                    break
                await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
    sent = told["bytes"] + told["lines"] * _STAMP_BYTES
    cpu = service_cpu_seconds(bench.service.pid) - cpu
    return Followed(sent_bytes=sent, seconds=seconds, cpu_seconds=cpu), told, told["lines"]


async def _lateness(bench: Bench, script: list[str]) -> list[float]:
    """How long after it was printed each line came over a websocket, in milliseconds."""
    late: list[float] = []
    async with aiohttp.ClientSession(f"{bench.service.url}/api/v1/") as http:
        run_id = await _submit(http, script, "python:3")
        url = f"ws{bench.service.url.removeprefix('http')}/api/v1/runs/{run_id}/tasks/writer/logs"
        async with connect(url, compression=None, proxy=None, max_size=None) as socket:
            async for text in socket:
                now, frame = time.time(), json.loads(text)
                if frame["type"] == "end":
                    break
                late += [(now - float(line["text"].split()[0])) * 1000 for line in frame.get("lines", ())]
    return late


async def _submit(http: aiohttp.ClientSession, script: list[str], image: str) -> str:
    return await _post(http, {"name": "log", "tasks": [{"name": "writer", "image": image, "command": script}]})


async def _post(http: aiohttp.ClientSession, document: Json) -> str:
    async with http.post("runs", json={"workflow": document}) as answer:
        answer.raise_for_status()
        return str((await answer.json())["id"])


async def _json(http: aiohttp.ClientSession, path: str) -> Json:
    async with http.get(path) as answer:
        answer.raise_for_status()
        found: Json = await answer.json()
        return found
