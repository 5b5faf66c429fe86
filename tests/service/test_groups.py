"""Runs of one concurrency group are one at a time, whatever number of services there is and whatever happens to them.

Each run's task writes down when it begins and when it ends: that says more than what podrun says of itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import fresh_database
from tests.support.api import Api, api_of
from tests.support.postgres import PostgresServer
from tests.support.replicas import replicas
from tests.support.service import ServiceProcess
from tests.support.workflows import Json, approval, shell, workflow

RUNS = 8


def deploy(marks: Path, seconds: float = 0.2, *, policy: str = "queue", group: str = "deploy", **keys: Json) -> Json:
    """A workflow of one task that says when it begins and when it ends."""
    script = (
        f"echo begin $PODRUN_RUN_ID $PODRUN_ATTEMPT >> {marks}; trap 'echo end $PODRUN_RUN_ID >> {marks}; exit 1' TERM;"
        f" i=0; while [ $i -lt {round(seconds * 20)} ]; do sleep 0.05; i=$((i+1)); done; echo end $PODRUN_RUN_ID >> {marks}"
    )
    return workflow(shell("work", script), name="deploy", concurrency={"group": group, "policy": policy}, **keys)


def turns(marks: Path) -> list[str]:
    """The runs in the order in which they ran. Fails where one began before another one's end."""
    lines = [line.split() for line in marks.read_text().splitlines()]
    begun = [line[1] for line in lines if line[0] == "begin"]
    assert [word for line in lines for word in line[:2]] == [word for one in begun for word in ("begin", one, "end", one)]
    return begun


def check_one_at_a_time(runs: Sequence[Json]) -> None:
    """None started before the one before it was finished, as podrun tells it."""
    ran = sorted((run for run in runs if run["started_at"]), key=lambda run: run["started_at"])
    for before, after in pairwise(ran):
        assert before["finished_at"] <= after["started_at"]


@pytest.mark.usefixtures("local_service")
async def test_queue__several_runs__come_in_the_order_of_their_posts(api: Api, tmp_path: Path) -> None:
    run_ids = [await api.submit(deploy(tmp_path / "marks", 0.3)) for _ in range(5)]
    last = await api.run(run_ids[-1])
    runs = [await api.finished(run_id) for run_id in run_ids]
    assert (last["phase"], last["started_at"]) == ("Pending", None)
    assert {run["phase"] for run in runs} == {"Succeeded"}
    assert turns(tmp_path / "marks") == run_ids
    check_one_at_a_time(runs)
    reasons = [event["reason"] for event in await api.events(run_ids[-1]) if event["type"] == "RunPhase"]
    assert "WaitingForGroup" in reasons


@pytest.mark.usefixtures("local_service")
async def test_queue__other_groups__do_not_wait(api: Api) -> None:
    def held(group: str) -> Json:
        return workflow(approval("ask"), concurrency={"group": group, "policy": "queue"})

    first, second, other = [await api.submit(held(name)) for name in ("same", "same", "another")]
    await api.task_when(first, "ask", phase="Running")
    await api.task_when(other, "ask", phase="Running")
    assert (await api.run_when(second, reason="WaitingForGroup"))["phase"] == "Pending"
    for run_id in (first, other, second):
        await api.approve(run_id, "ask")
        assert (await api.finished(run_id))["phase"] == "Succeeded"


@pytest.mark.usefixtures("local_service")
async def test_cancel_running__the_newest_wins__and_begins_when_the_others_are_finished(api: Api, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    text = deploy(marks, 30, policy="cancel_running", on_exit=[shell("leave", "sleep 0.3")])
    first = await api.submit(text)
    await api.task_when(first, "work", phase="Running")
    others = [await api.submit(text) for _ in range(3)]
    newest = await api.submit(deploy(marks, 0.1, policy="cancel_running"))
    runs = [await api.finished(run_id) for run_id in (first, *others, newest)]
    assert [run["phase"] for run in runs] == ["Cancelled"] * 4 + ["Succeeded"]
    for run in runs[:-1]:
        assert run["message"].startswith("Superseded by run ")
    assert turns(marks)[-1] == newest
    check_one_at_a_time(runs)


@pytest.mark.usefixtures("local_service")
async def test_retry__of_a_run_in_a_group__waits_for_its_turn_anew(api: Api) -> None:
    group = {"group": "retried", "policy": "queue"}
    fails = workflow(shell("work", "[ $PODRUN_ATTEMPT = 2 ] || exit 1"), concurrency=group)
    retried = await api.submit(fails)
    await api.finished(retried)
    holder = await api.submit(workflow(approval("ask"), concurrency=group))
    await api.task_when(holder, "ask", phase="Running")
    queued = await api.submit(workflow({"name": "a"}, concurrency=group))
    await api.retry(retried)
    waits = await api.run_when(retried, reason="WaitingForGroup")
    assert (waits["phase"], waits["is_finished"]) == ("Pending", False)
    await api.approve(holder, "ask")
    runs = {run_id: await api.finished(run_id) for run_id in (holder, queued, retried)}
    assert {run["phase"] for run in runs.values()} == {"Succeeded"}
    began = runs[retried]["tasks"][0]["attempts"][1]["created_at"]
    assert runs[holder]["finished_at"] <= runs[queued]["started_at"]
    assert runs[queued]["finished_at"] <= began


@pytest.mark.usefixtures("local_service")
async def test_retry__of_a_run_with_a_timeout__the_time_in_the_queue_does_not_count(api: Api) -> None:
    group = {"group": "timeout", "policy": "queue"}
    fails = workflow(shell("work", "[ $PODRUN_ATTEMPT = 2 ] || exit 1"), concurrency=group, timeout_seconds=3)
    retried = await api.submit(fails)
    await api.finished(retried)
    holder = await api.submit(workflow(approval("ask"), concurrency=group))
    await api.task_when(holder, "ask", phase="Running")
    await api.retry(retried)
    await api.run_when(retried, reason="WaitingForGroup")
    await asyncio.sleep(3.5)  # more than the run may take
    await api.approve(holder, "ask")
    run = await api.finished(retried)
    assert (run["phase"], run["reason"]) == ("Succeeded", None)


@pytest.mark.usefixtures("local_service")
async def test_timeout__of_a_run_that_waits_for_its_turn__counts_from_its_start(api: Api) -> None:
    group = {"group": "timeout-first", "policy": "queue"}
    holder = await api.submit(workflow(approval("ask"), concurrency=group))
    await api.task_when(holder, "ask", phase="Running")
    waits = await api.submit(workflow(shell("work", "true"), concurrency=group, timeout_seconds=3))
    await api.run_when(waits, reason="WaitingForGroup")
    await asyncio.sleep(3.5)  # more than the run may take
    await api.approve(holder, "ask")
    assert (await api.finished(waits))["phase"] == "Succeeded"


@pytest.mark.usefixtures("local_service")
async def test_cancel__of_the_holder_and_of_one_that_waits__lets_the_next_one_through(api: Api) -> None:
    group = {"group": "cancelled", "policy": "queue"}
    run_ids = [await api.submit(workflow(approval("ask"), concurrency=group, on_exit=[{"name": "e"}])) for _ in range(3)]
    await api.task_when(run_ids[0], "ask", phase="Running")
    for number in (1, 0):
        await api.cancel(run_ids[number])
        assert (await api.finished(run_ids[number]))["phase"] == "Cancelled"
    await api.approve(run_ids[2], "ask")
    run = await api.finished(run_ids[2])
    assert run["phase"] == "Succeeded"
    assert (await api.run(run_ids[1]))["started_at"] is None


@pytest.fixture(scope="module")
def two(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[ServiceProcess]]:
    """Two services on one PostgreSQL, which the tests of this module share."""
    with fresh_database(postgres_server) as url, replicas(tmp_path_factory.mktemp("replicas"), url) as made:
        yield made


@pytest.fixture
async def apis(two: Sequence[ServiceProcess]) -> AsyncIterator[list[Api]]:
    """Their APIs."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(api_of(one.url)) for one in two]


@pytest.mark.postgres
async def test_queue__with_two_services__is_one_at_a_time_and_each_takes_turns(apis: list[Api], tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    run_ids = [await apis[number % 2].submit(deploy(marks)) for number in range(RUNS)]
    began = time.monotonic()
    runs = [await apis[0].finished(run_id) for run_id in run_ids]
    seconds = time.monotonic() - began
    assert {run["phase"] for run in runs} == {"Succeeded"}
    assert turns(marks) == run_ids
    check_one_at_a_time(runs)
    assert seconds < 4 * RUNS, "each change of turns waited for the next look, not for the news"


@pytest.mark.postgres
async def test_queue__posted_to_two_services_at_once__is_one_at_a_time(apis: list[Api], tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    async with asyncio.TaskGroup() as group:
        posts = [group.create_task(apis[number % 2].submit(deploy(marks))) for number in range(RUNS)]
        newest = [
            group.create_task(apis[number % 2].submit(deploy(tmp_path / "other", policy="cancel_running", group="other")))
            for number in range(RUNS)
        ]
    runs = [await apis[0].finished(post.result()) for post in posts]
    superseded = [await apis[1].finished(post.result()) for post in newest]
    assert {run["phase"] for run in runs} == {"Succeeded"}
    assert len(turns(marks)) == RUNS
    check_one_at_a_time(runs)
    turns(tmp_path / "other")
    check_one_at_a_time(superseded)
    assert [run["phase"] for run in superseded].count("Succeeded") >= 1
    assert {run["phase"] for run in superseded} <= {"Succeeded", "Cancelled"}


@pytest.mark.postgres
async def test_queue__the_holders_service_is_killed__its_run_goes_on_elsewhere_and_the_next_one_waits_for_it(
    two: Sequence[ServiceProcess], apis: list[Api], tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    first = await apis[0].submit(deploy(marks, 5))
    await apis[0].task_when(first, "work", phase="Running")
    others = [await apis[1].submit(deploy(marks)) for _ in range(2)]
    await apis[1].run_when(others[0], reason="WaitingForGroup")
    two[0].kill()
    runs = [await apis[1].finished(run_id) for run_id in (first, *others)]
    assert {run["phase"] for run in runs} == {"Succeeded"}
    assert turns(marks) == [first, *others]
    check_one_at_a_time(runs)
    assert [len(run["tasks"][0]["attempts"]) for run in runs] == [1, 1, 1]
    await asyncio.to_thread(two[0].start)


@pytest.mark.postgres
async def test_requests__through_the_other_service__reach_the_owner(two: Sequence[ServiceProcess], apis: list[Api]) -> None:
    owner, other = apis
    task = shell("work", "[ $PODRUN_ATTEMPT = 2 ] || exit 4", depends_on=["ask"])
    run_id = await owner.submit(workflow(approval("ask"), task, shell("below", "echo x", depends_on=["work"])))
    await other.task_when(run_id, "ask", phase="Running", reason="WaitingForApproval")
    suspended = await other.ask(f"/runs/{run_id}/suspend")
    assert suspended["suspended"] is True
    assert (await other.http.post(f"/runs/{run_id}/suspend")).status_code == 200
    await other.approve(run_id, "ask", "yes")
    held = await owner.run_when(run_id, task_phases={"Succeeded": 1, "Pending": 2})
    assert held["suspended"] is True
    assert (await other.task(run_id, "ask"))["message"] == "yes"
    began = time.monotonic()
    await other.ask(f"/runs/{run_id}/resume")
    assert (await other.finished(run_id))["phase"] == "Failed"
    await other.retry(run_id)
    run = await owner.finished(run_id)
    assert run["phase"] == "Succeeded", await owner.describe(run_id)
    assert time.monotonic() - began < 30
    assert await owner.log(run_id) == await other.log(run_id) == b"[below] x\n"
    told = [event["type"] for event in await other.events(run_id)]
    asked = [name for name in told if name == "Approved" or name.endswith("Requested")]
    assert asked == ["SuspendRequested", "Approved", "ResumeRequested", "RetryRequested"]
    assert all(one.is_running for one in two)
