"""What users do with a service that dies at any moment: each story goes its whole way and looks at what came of it.

Together they pass every failpoint. All requests are a careful client's: made again until they are answered, with an
idempotency key where they make something. A story asserts what holds for its runs however often the service was killed.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.domain.names import pod_name
from tests.support.api import Api
from tests.support.cluster import apply, kubectl, list_pods
from tests.support.numbered_log import TextLines, find_violations
from tests.support.service import ServiceProcess
from tests.support.workflows import Json, approval, put_out, shell, workflow

#: For a run while the service is killed every other second.
STORY_SECONDS = 600.0
NUMBERED_LINES = 24_000  #: of some 60 bytes: more than an object of the log store
SPEAK = f"awk 'BEGIN {{ for (i = 0; i < {NUMBERED_LINES}; i++) printf \"line %06d {'.' * 48}\\n\", i }}'"
PRINTED = TextLines([f"line {number:06d} {'.' * 48}" for number in range(NUMBERED_LINES)])
SPOKEN = b"".join(b"line %06d %s\n" % (number, b"." * 48) for number in range(NUMBERED_LINES))


@dataclass
class Stage:
    """The service that the stories are of, through its API."""

    service: ServiceProcess
    api: Api
    runs: list[str] = field(default_factory=list)  #: all that were posted, and are still there
    deleted: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)  #: names of pods that others made or deleted

    @property
    def is_on_cluster(self) -> bool:
        return self.service.pods == "kubernetes"

    async def submit(self, document: Json | str) -> str:
        run_id = await self.api.submit(document, key=secrets.token_hex(8))
        self.runs.append(run_id)
        return run_id

    async def finished(self, run_id: str, phase: str = "Succeeded") -> Json:
        run = await self.api.finished(run_id, STORY_SECONDS)
        assert run["phase"] == phase, await self.api.describe(run_id)
        return run

    async def ask(self, path: str, **body: object) -> None:
        """Ask for something. Asked again because the answer was lost, it may be done already."""
        answer = await self.api.http.post(path, json=body)
        assert answer.status_code in (200, 202, 409), f"{path}: {answer.status_code} {answer.text}"

    async def delete(self, run_id: str) -> None:
        answer = await self.api.http.delete(f"/runs/{run_id}")
        assert answer.status_code in (204, 404), answer.text  # 404: deleted, and the answer was lost
        self.runs.remove(run_id)
        self.deleted.append(run_id)

    async def approve(self, run_id: str, task: str, verb: str = "approve") -> None:
        await self.api.task_when(run_id, task, seconds=STORY_SECONDS, phase="Running", reason="WaitingForApproval")
        await self.ask(f"/runs/{run_id}/tasks/{task}/{verb}", comment="")


Story = Callable[[Stage], Awaitable[None]]


def phases(run: Json) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in run["tasks"]}


async def fans_out(stage: Stage) -> None:
    """Values handed on, items laid out at run time, and a task on exit."""
    text = workflow(
        shell("plan", put_out(count=3)),
        shell(
            "work", "echo item $ITEM; " + put_out(square="$((ITEM * ITEM))"), depends_on=["plan"], max_parallel=2,
            foreach="${{ lists.range(tasks.plan.outputs.count) }}", env={"ITEM": "${{ item }}"},
        ),
        shell("merge", "echo $SUM", depends_on=["work"], env={"SUM": "${{ tasks.work.outputs.square.sum() }}"}),
        on_exit=[shell("leave", "echo $P", env={"P": "${{ run.phase }}"})], name="fans-out",
    )  # fmt: skip
    run = await stage.finished(await stage.submit(text))
    assert list(phases(run)) == ["plan", "work.0", "work.1", "work.2", "merge", "leave"]
    assert [await stage.api.log(run["id"], name) for name in ("work.2", "merge", "leave")] == [
        b"item 2\n", b"5\n", b"Succeeded\n",
    ]  # fmt: skip


async def is_retried(stage: Stage) -> None:
    """A task that fails once, one that fails for good, and a user who has that retried."""
    retries = {"limit": 1, "delay_seconds": 0.2, "jitter": False}
    text = workflow(
        shell("flaky", "echo try $PODRUN_ATTEMPT; [ $PODRUN_ATTEMPT = 2 ]", retries=retries),
        shell("fails", "echo try $PODRUN_ATTEMPT; [ $PODRUN_ATTEMPT = 2 ] || exit 7", depends_on=["flaky"]),
        shell("after", "true", depends_on=["fails"]), name="is-retried",
    )  # fmt: skip
    run_id = await stage.submit(text)
    run = await stage.finished(run_id, "Failed")
    assert phases(run) == {"flaky": "Succeeded", "fails": "Failed", "after": "Omitted"}
    await stage.ask(f"/runs/{run_id}/retry")
    run = await stage.finished(run_id)
    flaky, fails, after = run["tasks"]
    assert [len(task["attempts"]) for task in (flaky, fails, after)] == [2, 2, 1]
    assert [one["exit_code"] for one in fails["attempts"]] == [7, 0]
    assert [await stage.api.log(run_id, "fails", attempt=number) for number in (1, 2)] == [b"try 1\n", b"try 2\n"]


async def speaks(stage: Stage) -> None:
    """A log that becomes objects of the log store, and is then deleted with its run."""
    run_id = await stage.submit(workflow(shell("speaks", SPEAK), name="speaks"))
    run = await stage.finished(run_id)
    log = run["tasks"][0]["attempts"][0]["log"]
    stored = await stage.api.log(run_id, "speaks")
    assert not (found := find_violations(PRINTED, stored)), f"{found}\n{log}\n{await stage.api.describe(run_id)}"
    assert log == {"bytes": len(SPOKEN), "lines": NUMBERED_LINES, "sealed": True, "gaps": 0}
    await stage.delete(run_id)


async def takes_turns(stage: Stage) -> None:
    """A queue of one group; the run that holds it is suspended, resumed, and cancelled while the next one waits."""
    group = {"concurrency": {"group": secrets.token_hex(4), "policy": "queue"}, "name": "takes-turns"}
    first = await stage.submit(workflow(approval("gate"), shell("stays", "trap 'exit 1' TERM; sleep 600 & wait"), **group))
    second = await stage.submit(workflow(shell("goes", "echo went"), **group))
    await stage.ask(f"/runs/{first}/suspend")
    await stage.ask(f"/runs/{first}/resume")
    await stage.approve(first, "gate")
    await stage.api.task_when(first, "stays", seconds=STORY_SECONDS, phase="Running")
    assert (await stage.api.run(second))["phase"] == "Pending"
    await stage.ask(f"/runs/{first}/cancel", reason="enough")
    await stage.finished(first, "Cancelled")
    await stage.finished(second)
    assert await stage.api.log(second, "goes") == b"went\n"


async def is_scheduled(stage: Stage) -> None:
    """A stored workflow whose schedule makes runs until it is paused, and is deleted."""
    name = f"scheduled-{secrets.token_hex(4)}"
    await stage.api.put_workflow(workflow(shell("hourly", "true"), name=name, schedule={"every_seconds": 1}))
    async with asyncio.timeout(STORY_SECONDS):
        while not [run async for run in stage.api.pages("/runs", workflow=name)]:  # noqa: ASYNC110 - as users do
            await asyncio.sleep(0.2)
    assert (await stage.api.http.post(f"/workflows/{name}/pause")).status_code == 200
    made = [run["id"] async for run in stage.api.pages("/runs", workflow=name)]
    stage.runs += made
    for run_id in made:
        await stage.finished(run_id)
    assert (await stage.api.http.delete(f"/workflows/{name}")).status_code in (204, 404)
    # Paused, it made no more; and no second was made twice.
    again = [run async for run in stage.api.pages("/runs", workflow=name)]
    assert [run["id"] for run in again] == made
    fired = [run["scheduled_at"] for run in again]
    assert len(set(fired)) == len(fired)


async def is_broken(stage: Stage) -> None:
    """A run that podrun itself fails at, for its document was damaged: it ends as Error, and nothing else is harmed."""
    run_id = await stage.submit(workflow(approval("gate"), shell("never", "true", depends_on=["gate"]), name="is-broken"))
    await stage.api.task_when(run_id, "gate", seconds=STORY_SECONDS, phase="Running")
    await asyncio.to_thread(_damage, stage.service, run_id)
    # Its actor must read it anew: asked for a new epoch by another owner's claim, as after a lost lease.
    run = await stage.api.finished(run_id, STORY_SECONDS)
    assert (run["phase"], run["reason"]) == ("Error", "InternalError")
    await stage.delete(run_id)


def _damage(service: ServiceProcess, run_id: str) -> None:
    with sqlite3.connect(service.folder / "podrun.db", timeout=30) as database:
        database.execute("UPDATE documents SET body = ? WHERE run_id = ?", (b'{"name": "no workflow"}', run_id))
        database.execute("UPDATE runs SET epoch = epoch + 1 WHERE id = ?", (run_id,))


async def loses_its_pod(stage: Stage) -> None:
    """Somebody deletes a pod while it speaks: what was collected stays, sealed with a gap."""
    run_id = await stage.submit(workflow(shell("lost", "echo here; sleep 600 & wait"), name="loses-its-pod"))
    await stage.api.log_when(run_id, "lost", b"here\n", seconds=STORY_SECONDS)
    [attempt] = (await stage.api.task(run_id, "lost"))["attempts"]
    stage.foreign.append(attempt["pod"])
    delete = ("delete", "pod", attempt["pod"], "-n", attempt["namespace"], "--grace-period=0", "--force", "--wait=false")
    await asyncio.to_thread(kubectl, *delete)
    run = await stage.finished(run_id, "Error")
    [attempt] = run["tasks"][0]["attempts"]
    assert (attempt["reason"], attempt["log"]["sealed"]) == ("PodLost", True)
    assert await stage.api.log(run_id, "lost") == b"here\n"


async def meets_a_stranger(stage: Stage) -> None:
    """A pod that is not ours has the name: it is left alone, and the task says so."""
    run_id = await stage.submit(workflow(approval("gate"), shell("named", "true", depends_on=["gate"]), name="meets"))
    namespace, stranger = stage.service.namespaces[0], pod_name(run_id, "named", 1)
    stage.foreign.append(stranger)
    container = {"name": "main", "image": "busybox:1", "command": ["true"]}
    await asyncio.to_thread(
        apply, namespace, apiVersion="v1", kind="Pod", metadata={"name": stranger},
        spec={"restartPolicy": "Never", "containers": [container]},
    )  # fmt: skip
    await stage.approve(run_id, "gate")
    run = await stage.finished(run_id, "Error")
    assert run["tasks"][1]["reason"] == "PodNameConflict"
    pods = await asyncio.to_thread(list_pods, namespace)
    [pod] = [pod for pod in pods if pod["metadata"]["name"] == stranger]
    assert "deletionTimestamp" not in pod["metadata"]
    await asyncio.to_thread(kubectl, "delete", "pod", stranger, "-n", namespace, "--wait=false")


STORIES: tuple[Story, ...] = (fans_out, is_retried, speaks, takes_turns, is_scheduled, is_broken)
CLUSTER_STORIES: tuple[Story, ...] = (loses_its_pod, meets_a_stranger)
