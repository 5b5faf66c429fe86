"""A story with a bit of everything, for the checker: retries, failures, fan-outs, cancel, retry, large logs, a kill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.checker import Evidence, find_violations, gather
from tests.support.api import Api, api_of
from tests.support.numbered_log import NumberedLines
from tests.support.service import ServiceProcess, started
from tests.support.waiting import run_apart
from tests.support.workflows import Json, put_out, python, shell, workflow

LINES = NumberedLines(40_000, size=100)
#: Two lots with a pause between them, so that the service can be killed between its objects.
TALKS = f"""
import sys, time
{LINES.script}
out = sys.stdout.buffer
for start in range(0, COUNT, COUNT // 8):
    out.write(b"".join(line(KEY, number, SIZE) for number in range(start, start + COUNT // 8)))
    out.flush()
    time.sleep(0.4)
"""
RETRIES = {"limit": 2, "delay_seconds": 0.1, "jitter": False}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What was left of it, and its runs."""

    evidence: Evidence
    violations: list[str]  #: what the checker says of it
    works: str
    fails: str
    cancelled: str
    talks: str


@dataclass(frozen=True, kw_only=True)
class ToldStory:
    """A story, and its service, which still runs."""

    service: ServiceProcess
    story: Story


@pytest.fixture(scope="session")
def local_story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldStory]:
    """The story on local pods."""
    with _told(tmp_path_factory.mktemp("story"), "local") as told:
        yield told


@pytest.fixture(scope="session")
def cluster_story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToldStory]:
    """The story on the real cluster. Ask for it in tests marked `cluster`."""
    with _told(tmp_path_factory.mktemp("story"), "kubernetes") as told:
        yield told


@contextmanager
def _told(folder: Path, pods: str) -> Iterator[ToldStory]:
    with ExitStack() as stack:
        service = started(stack, folder, pods)
        yield ToldStory(service=service, story=run_apart(tell(service)))


def works() -> Json:
    """Succeeds: by a retry, a failure that is allowed, and tasks that run because of it, or do not run."""
    return workflow(
        shell("first", f"echo begins; {put_out(n=3)}"),
        shell("again", "echo attempt $PODRUN_ATTEMPT; [ $PODRUN_ATTEMPT -gt 1 ]", depends_on=["first"], retries=RETRIES),
        shell("items", "echo item $ITEM", depends_on=["first"], foreach=["a", "b", "c"], env={"ITEM": "${{ item }}"}),
        shell("listed", "true", depends_on=["first"], foreach="${{ lists.range(tasks.first.outputs.n) }}"),
        shell("may-fail", "echo no; exit 4", depends_on=["again"], allow_failure=True),
        shell("mends", "echo mended", depends_on=["may-fail"], trigger_rule="one_failed"),
        shell("never", "true", depends_on=["items", "may-fail"], trigger_rule="all_failed"),
        shell("unasked", "true", when=False),
        {"name": "gate", "depends_on": ["items", "listed"]},
        on_exit=[shell("leave", "echo it is $P", env={"P": "${{ run.phase }}"})],
        name="works",
    )


def fails() -> Json:
    """Fails; when it is retried, it succeeds."""
    return workflow(
        shell("good", "echo good"),
        shell("bad", "echo bad >&2; [ $PODRUN_ATTEMPT -gt 2 ]", depends_on=["good"]),
        shell("below", "true", depends_on=["bad"]),
        on_exit=[shell("leave", "true")],
        name="fails",
    )


async def tell(service: ServiceProcess) -> Story:
    """Let it happen, and gather what is left."""
    async with api_of(service.url) as api:
        runs = {"talks": await api.submit(workflow(python("talks", TALKS), name="talks"), key="talks")}
        runs["works"] = await api.submit(works(), key="works")
        assert await api.submit(works(), key="works") == runs["works"]
        runs["cancelled"] = await api.submit(_slow())
        runs["fails"] = await api.submit(fails())
        await api.log_when(runs["talks"], "talks", LINES.line(11_000))
        await api.task_when(runs["cancelled"], "slow", phase="Running")
    await asyncio.to_thread(service.kill)
    await asyncio.to_thread(service.start)
    async with api_of(service.url) as api:
        await _end(api, runs)
        evidence = await asyncio.to_thread(gather, [service])
    return Story(evidence=evidence, violations=find_violations(evidence), **runs)


def _slow() -> Json:
    return workflow(
        # It ends at SIGTERM, which the first process of a container does not hear unless it listens.
        shell("slow", "trap 'echo told; exit 0' TERM; echo slow; while true; do sleep 0.1; done"),
        shell("waits", "true", depends_on=["slow"]),
        on_exit=[shell("leave", "echo $P", env={"P": "${{ run.phase }}"})],
        name="cancelled",
    )


async def _end(api: Api, runs: dict[str, str]) -> None:
    await api.cancel(runs["cancelled"], reason="it takes too long")
    first = await api.finished(runs["fails"])
    assert first["phase"] == "Failed"
    await api.retry(runs["fails"])
    second = await api.finished(runs["fails"])
    assert second["phase"] == "Failed"
    await api.retry(runs["fails"], "bad")
    phases = {name: (await api.finished(run_id))["phase"] for name, run_id in runs.items()}
    assert phases == {"talks": "Succeeded", "works": "Succeeded", "cancelled": "Cancelled", "fails": "Succeeded"}
    assert await api.log(runs["talks"], "talks") == LINES.text()
