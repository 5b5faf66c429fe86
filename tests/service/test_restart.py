"""The service is killed, or told to stop, while pods run: every run ends as it should, and no pod is made twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.service.conftest import KUBERNETES, LOCAL, MakeService
from tests.support.api import Followed, api_of
from tests.support.cluster import creations, list_pods, wait_no_pods
from tests.support.service import ServiceProcess
from tests.support.workflows import chain, shell, workflow

LINES = 120
#: When the service is killed, in seconds after it was ready, one after the other.
KILL_AFTER = (0.0, 0.3, 0.8)


def _counter(name: str, lines: int = LINES, **keys: Any) -> dict[str, Any]:
    """A task that says so many lines, one each 50 ms."""
    script = f"i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); sleep 0.05; done"
    return shell(name, script, **keys)


def _counted(lines: int = LINES) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(lines))


def _marking(service: ServiceProcess) -> Any:
    """Makes tasks that leave a mark each time they start; on Kubernetes the audit log has that."""
    marks = service.folder / "marks"
    return lambda name, **keys: shell(
        name, f"echo said {name}; " + (f"echo $PODRUN_RUN_ID/$PODRUN_TASK >> {marks}" if service.pods == "local" else "true"),
        **keys,
    )  # fmt: skip


async def _main_ended(service: ServiceProcess, attempt: dict[str, Any], seconds: float = 30) -> None:
    """Wait until the container of an attempt has ended, without asking the service."""
    deadline = time.monotonic() + seconds
    while True:
        if service.pods == "local":
            status = service.folder / "pods" / "pods" / attempt["namespace"] / attempt["pod"] / "status.json"
            if status.exists() and b'"over": true' in status.read_bytes():
                return
        else:
            pods = await asyncio.to_thread(list_pods, attempt["namespace"])
            if any(pod["metadata"]["name"] == attempt["pod"] and pod["status"]["phase"] == "Succeeded" for pod in pods):
                return
        assert time.monotonic() < deadline, f"{attempt['pod']} did not end"
        await asyncio.sleep(0.1)


async def _gone_pods(service: ServiceProcess) -> None:
    if service.pods == "kubernetes":
        await asyncio.to_thread(wait_no_pods, service.namespaces[0])
    else:
        left = [path for path in (service.folder / "pods" / "pods").glob("*/*") if path.is_dir()]
        assert not left, f"local pods left: {left}"


def _check_created_once(service: ServiceProcess, kubeconfig: Path | None, runs: list[dict[str, Any]]) -> None:
    attempts = [attempt for run in runs for task in run["tasks"] for attempt in task["attempts"]]
    assert all(attempt["attempt"] == 1 for attempt in attempts)
    if service.pods == "kubernetes":
        assert kubeconfig is not None
        created = creations(kubeconfig, service.namespaces[0])
        pods = [attempt["pod"] for attempt in attempts]
        assert {pod: created[pod] for pod in pods} == dict.fromkeys(pods, 1)


@pytest.mark.parametrize("pods", [LOCAL, KUBERNETES])
async def test_kill__while_pods_are_posted_pending_running_and_over__all_ends_as_it_should(
    make_service: MakeService, pods: str, kubeconfig_or_none: Path | None
) -> None:
    service = make_service(pods)
    mark = _marking(service)
    async with api_of(service.url) as api:
        talks = await api.submit(workflow(_counter("talks"), mark("after", depends_on=["talks"])))
        ends = await api.submit(workflow(_counter("ends", 30), shell("fails", "sleep 1; echo no >&2; exit 7", retries=0)))
        await api.log_when(talks, "talks", b"line 5\n")
        over = (await api.task_when(ends, "ends", phase="Running"))["attempts"][0]
        pending = await api.submit(workflow(mark("pending"), mark("later", depends_on=["pending"])))
        await api.task_when(pending, "pending", attempts=1)
        posted = await api.submit(workflow(mark("posted")))
    service.kill()
    await _main_ended(service, over)

    service.start()
    async with api_of(service.url) as api:
        await api.log_when(talks, "talks", b"line 60\n")
    service.kill()
    service.start()
    async with api_of(service.url) as api:
        runs = [await api.finished(run_id) for run_id in (talks, ends, pending, posted)]
        assert [run["phase"] for run in runs] == ["Succeeded", "Failed", "Succeeded", "Succeeded"]
        fails = runs[1]["tasks"][1]
        assert (fails["reason"], fails["attempts"][0]["exit_code"]) == ("Error", 7)
        assert await api.log(talks, "talks") == _counted()
        assert await api.log(ends, "ends") == _counted(30)
        assert await api.log(ends, "fails") == b"no\n"
        assert await api.log(posted) == b"[posted] said posted\n"
        for run in runs:
            assert [attempt["log"]["gaps"] for task in run["tasks"] for attempt in task["attempts"]] == [0] * len(run["tasks"])
            ended = [event for event in await api.events(run["id"]) if event["type"] in ("RunPhase", "RunFinished")]
            assert [event["phase"] for event in ended] == ["Pending", "Running", run["phase"], run["phase"]]
    _check_created_once(service, kubeconfig_or_none, runs)
    if pods == "local":
        marks = (service.folder / "marks").read_text().split()
        assert sorted(marks) == sorted([f"{talks}/after", f"{pending}/pending", f"{pending}/later", f"{posted}/posted"])
    await _gone_pods(service)


@pytest.mark.parametrize("pods", [LOCAL, KUBERNETES])
async def test_kill__again_and_again_under_load__each_attempt_runs_once(
    make_service: MakeService, pods: str, kubeconfig_or_none: Path | None
) -> None:
    service = make_service(pods)
    mark = _marking(service)
    run_ids: list[str] = []
    for number, seconds in enumerate(KILL_AFTER):
        async with api_of(service.url) as api:
            async with asyncio.TaskGroup() as group:
                made = [group.create_task(api.submit(chain(3, mark, name=f"chain-{number}"))) for _ in range(4)]
            run_ids += [one.result() for one in made]
            await asyncio.sleep(seconds)
        service.kill()
        service.start()
    async with api_of(service.url) as api:
        runs = [await api.finished(run_id) for run_id in run_ids]
        for run in runs:
            assert run["phase"] == "Succeeded", f"{run['message']}\n{await api.describe(run['id'])}"
            for task in run["tasks"]:
                assert await api.log(run["id"], task["name"]) == f"said {task['name']}\n".encode()
    _check_created_once(service, kubeconfig_or_none, runs)
    if pods == "local":
        marks = Counter((service.folder / "marks").read_text().split())
        assert marks == Counter(f"{run_id}/t{number}" for run_id in run_ids for number in range(3))
    await _gone_pods(service)


class Reader:
    """A client that follows something and comes back with its last cursor whenever it is cut off."""

    def __init__(self, service: ServiceProcess, path: str) -> None:
        self._service, self._path = service, path
        self.followed = Followed()
        self.closes: list[int | None] = []  #: the codes of the connections that ended before the end

    async def read(self) -> Followed:
        """Read to the end."""
        while self.followed.end is None:
            mark = f"?cursor={self.followed.cursor}" if self.followed.cursor else ""
            try:
                async with api_of(self._service.url) as api:
                    await api.follow(self._path + mark, into=self.followed)
            except ConnectionClosed as error:
                self.closes.append(error.rcvd.code if error.rcvd else None)
            except (OSError, InvalidHandshake):  # it is not back yet
                await asyncio.sleep(0.05)
        return self.followed


@pytest.mark.parametrize("pods", [LOCAL, KUBERNETES])
async def test_terminate__while_readers_follow__they_are_told_and_go_on_where_they_were(
    make_service: MakeService, pods: str
) -> None:
    service = make_service(pods)
    async with api_of(service.url) as api:
        run_id = await api.submit(workflow(_counter("talks"), shell("after", "echo done", depends_on=["talks"])))
        logs, events = Reader(service, f"/runs/{run_id}/logs"), Reader(service, f"/runs/{run_id}/events")
        async with asyncio.TaskGroup() as group:
            group.create_task(logs.read())
            group.create_task(events.read())
            for text in (b"line 5\n", b"line 60\n"):
                async with api_of(service.url) as now:
                    await now.log_when(run_id, "talks", text)
                assert await asyncio.to_thread(service.terminate) == 0
                await asyncio.to_thread(service.start)
    for reader in (logs, events):  # who comes back at once may meet the old process again
        assert set(reader.closes) == {1012}
        assert len(reader.closes) >= 2
    assert logs.followed.end == events.followed.end == "Succeeded"
    assert logs.followed.text("talks").encode() + b"\n" == _counted()
    assert [line["line"] for line in logs.followed.lines if line["task"] == "talks"] == list(range(LINES))
    async with api_of(service.url) as api:
        run = await api.finished(run_id)
        assert run["phase"] == "Succeeded"
        assert [len(task["attempts"]) for task in run["tasks"]] == [1, 1]
        assert events.followed.events == await api.events(run_id)
    await _gone_pods(service)


def _upgrade(database_url: str) -> None:
    environment = os.environ | {"PODRUN_DATABASE_URL": database_url}
    subprocess.run([sys.executable, "-m", "podrun.cli", "db", "upgrade"], check=True, env=environment, timeout=60)


@pytest.mark.postgres
async def test_kill__on_postgresql__the_next_service_takes_the_runs_over(postgres_url: str, make_service: MakeService) -> None:
    await asyncio.to_thread(_upgrade, postgres_url)
    service = make_service("local", database_url=postgres_url)
    mark = _marking(service)
    async with api_of(service.url) as api:
        talks = await api.submit(workflow(_counter("talks"), mark("after", depends_on=["talks"])))
        await api.log_when(talks, "talks", b"line 5\n")
        posted = await api.submit(workflow(mark("posted"), mark("later", depends_on=["posted"])))
    service.kill()
    service.start()
    async with api_of(service.url) as api:
        runs = [await api.finished(run_id) for run_id in (talks, posted)]
        assert [run["phase"] for run in runs] == ["Succeeded", "Succeeded"]
        assert await api.log(talks, "talks") == _counted()
        assert await api.log(posted) == b"[posted] said posted\n[later] said later\n"
    _check_created_once(service, None, runs)
    await _gone_pods(service)


async def test_second_service__on_the_same_sqlite__waits_and_takes_over_when_the_first_is_killed(
    make_service: MakeService, tmp_path: Path
) -> None:
    first = make_service("local")
    folder = first.folder
    settings = {
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/podrun.db",
        "LOGS_URL": f"{folder}/logs",
        "LOCAL_PODS_DIR": f"{folder}/pods",
    }
    second = ServiceProcess(tmp_path / "second", "local", settings=settings)
    async with api_of(first.url) as api:
        run_id = await api.submit(workflow(_counter("talks"), shell("after", "echo done", depends_on=["talks"])))
        await api.log_when(run_id, "talks", b"line 5\n")
        second.start(wait=False)
        try:
            await api.log_when(run_id, "talks", b"line 70\n")  # by then it would be up
            assert second.is_running
            assert not second.is_ready()
            first.kill()
            await asyncio.to_thread(second.wait_ready)
            async with api_of(second.url) as other:
                run = await other.finished(run_id)
                assert run["phase"] == "Succeeded"
                assert await other.log(run_id, "talks") == _counted()
                assert [len(task["attempts"]) for task in run["tasks"]] == [1, 1]
        finally:
            second.close()
    assert not second.faults()
