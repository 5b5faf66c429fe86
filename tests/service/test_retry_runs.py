"""A finished run is retried: what failed and what is downstream runs again in the same run; all else stays as it was."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.api import Api
from tests.support.service import ServiceProcess
from tests.support.workflows import Json, approval, put_out, shell, workflow

BOTH, LOCAL = pytest.mark.usefixtures("service"), pytest.mark.usefixtures("local_service")
SAY = "echo attempt $PODRUN_ATTEMPT"
#: Fails in the first attempt alone.
ONCE = f"{SAY}; [ $PODRUN_ATTEMPT -gt 1 ] || exit 3"


def attempts(run: Json) -> dict[str, list[str]]:
    """The phases of all attempts by task."""
    return {task["name"]: [one["phase"] for one in task["attempts"]] for task in run["tasks"]}


def phases(run: Json) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in run["tasks"]}


@BOTH
async def test_retry__of_a_failed_run__runs_what_failed_and_what_is_downstream(api: Api) -> None:
    run_id = await api.submit(
        workflow(
            shell("good", f"{SAY}; {put_out(n=7)}"),
            shell("fails", ONCE, depends_on=["good"], env={"N": "${{ tasks.good.outputs.n }}"}),
            shell("below", f"{SAY}; echo n is $N", depends_on=["fails"], env={"N": "${{ tasks.good.outputs.n }}"}),
            shell("beside", SAY, depends_on=["good"]),
            on_exit=[shell("leave", f"{SAY}; echo it is $P", env={"P": "${{ run.phase }}"})],
        )
    )
    first = await api.finished(run_id)
    tag = (await api.http.get(f"/runs/{run_id}")).headers["ETag"]
    asked = await api.retry(run_id)
    while_open = await api.http.post(f"/runs/{run_id}/retry")
    run = await api.finished(run_id)

    assert (first["phase"], run["phase"]) == ("Failed", "Succeeded")
    assert not asked["is_finished"]
    assert asked["version"] > first["version"]
    assert asked["retried_at"] is not None
    assert while_open.status_code == 409
    assert "not finished" in while_open.json()["detail"]
    assert attempts(run) == {
        "good": ["Succeeded"], "fails": ["Failed", "Succeeded"], "below": ["Succeeded"], "beside": ["Succeeded"],
        "leave": ["Succeeded", "Succeeded"],
    }  # fmt: skip
    assert (run["started_at"], run["created_at"]) == (first["started_at"], first["created_at"])
    assert run["finished_at"] > first["finished_at"]
    assert run["version"] > asked["version"]
    assert (await api.http.get(f"/runs/{run_id}")).headers["ETag"] != tag
    assert [task for task in run["tasks"] if task["name"] in ("good", "beside")] == [
        task for task in first["tasks"] if task["name"] in ("good", "beside")
    ]
    for number in (1, 2):
        assert await api.log(run_id, "fails", attempt=number) == f"attempt {number}\n".encode()
    assert await api.log(run_id, "leave", attempt=1) == b"attempt 1\nit is Failed\n"
    assert await api.log(run_id, "leave") == b"attempt 2\nit is Succeeded\n"
    assert await api.log(run_id, "fails", attempt="all") == b"attempt 1\nattempt 2\n"
    assert await api.log(run_id, "below") == b"attempt 1\nn is 7\n"


@BOTH
async def test_retry__its_history__is_one_and_in_order(api: Api) -> None:
    run_id = await api.submit(workflow(shell("fails", ONCE)))
    await api.finished(run_id)
    before = await api.events(run_id)
    async with asyncio.TaskGroup() as group:
        await api.retry(run_id)
        followed = group.create_task(api.follow(f"/runs/{run_id}/events"))
        sent = group.create_task(api.server_sent(f"/runs/{run_id}/events"))
    events = await api.events(run_id)
    assert events[: len(before)] == before
    assert events == followed.result().events == sent.result()[0].events
    assert followed.result().end == "Succeeded"
    told = [
        (event["type"], event["phase"]) for event in events if event["type"] in ("RunPhase", "RunFinished", "RetryRequested")
    ]
    assert told == [
        ("RunPhase", "Pending"), ("RunPhase", "Running"), ("RunPhase", "Failed"), ("RunFinished", "Failed"),
        ("RetryRequested", None),
        ("RunPhase", "Pending"), ("RunPhase", "Running"), ("RunPhase", "Succeeded"), ("RunFinished", "Succeeded"),
    ]  # fmt: skip
    tasks = [event["phase"] for event in events if event["type"] == "TaskPhase" and event["phase"] != "Running"]
    assert tasks == ["Failed", "Pending", "Succeeded"]
    times = [event["time"] for event in events if event["type"] != "PodEvent"]
    assert times == sorted(times)


@LOCAL
async def test_wait__on_a_retried_run__waits_for_its_new_end(api: Api) -> None:
    run_id = await api.submit(workflow(shell("fails", f"sleep 1; {ONCE}"), shell("below", "echo x", depends_on=["fails"])))
    first = await api.finished(run_id)
    asked = await api.retry(run_id)
    answer = await api.get(f"/runs/{run_id}", wait=60)
    assert (first["phase"], answer["phase"], answer["is_finished"]) == ("Failed", "Succeeded", True)
    assert answer["finished_at"] > asked["retried_at"]
    followed = await api.follow(f"/runs/{run_id}/logs")
    said = [(line["task"], line["attempt"], line["text"]) for line in followed.lines]
    assert said == [("fails", 2, "attempt 2"), ("below", 1, "x")]


@BOTH
async def test_follow__of_logs__goes_on_into_the_retried_attempt(api: Api) -> None:
    run_id = await api.submit(workflow(shell("fails", f"sleep 1; {ONCE}")))
    await api.finished(run_id)
    await api.retry(run_id)
    async with asyncio.TaskGroup() as group:
        paths = (f"/runs/{run_id}/logs?attempt=all", f"/runs/{run_id}/tasks/fails/logs?attempt=all")
        readers = [group.create_task(api.follow(path)) for path in paths]
    for reader in readers:
        assert [line["text"] for line in reader.result().lines] == ["attempt 1", "attempt 2"]
        assert reader.result().end == "Succeeded"


FAN_OUT = [
    shell("plan", put_out(n=3)),
    shell(
        "work", f'[ "$ITEM" != 1 ] || {{ {ONCE}; }}; {put_out(item="$ITEM")}', depends_on=["plan"], env={"ITEM": "${{ item }}"},
        foreach="${{ lists.range(tasks.plan.outputs.n) }}",
    ),
    shell("merge", "echo $ALL", depends_on=["work"], env={"ALL": "${{ tasks.work.outputs.item }}"}),
]  # fmt: skip


@LOCAL
@pytest.mark.parametrize("names", [(), ("work.1",), ("work",)])
async def test_retry__of_an_item__runs_it_alone_and_the_whole_where_that_is_named(api: Api, names: tuple[str, ...]) -> None:
    run_id = await api.submit(workflow(*FAN_OUT))
    first = await api.finished(run_id)
    assert phases(first) == {
        "plan": "Succeeded", "work.0": "Succeeded", "work.1": "Failed", "work.2": "Succeeded", "merge": "Omitted"
    }  # fmt: skip
    await api.retry(run_id, *names)
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded", await api.describe(run_id)
    others = ["Succeeded"] * (2 if names == ("work",) else 1)
    assert attempts(run) == {
        "plan": ["Succeeded"], "work.0": others, "work.1": ["Failed", "Succeeded"], "work.2": others, "merge": ["Succeeded"]
    }  # fmt: skip
    assert await api.log(run_id, "merge") == b"[0,1,2]\n"
    assert await api.log(run_id, "work.1", attempt=1) == b"attempt 1\n"


@BOTH
async def test_retry__of_what_a_fan_out_depends_on__lays_it_out_anew(api: Api) -> None:
    plan = shell("plan", put_out(n="$((PODRUN_ATTEMPT + 1))"))
    work = shell("work", SAY, depends_on=["plan"], foreach="${{ lists.range(tasks.plan.outputs.n) }}")
    run_id = await api.submit(workflow(plan, work))
    first = await api.finished(run_id)
    await api.retry(run_id, "plan")
    run = await api.finished(run_id)
    assert list(phases(first)) == ["plan", "work.0", "work.1"]
    assert attempts(run) == {
        "plan": ["Succeeded"] * 2, "work.0": ["Succeeded"] * 2, "work.1": ["Succeeded"] * 2, "work.2": ["Succeeded"]
    }  # fmt: skip
    assert await api.log(run_id, "work.0", attempt=1) == b"attempt 1\n"
    assert run["task_phases"] == {"Succeeded": 4}


@BOTH
async def test_retry__of_a_cancelled_run__goes_on_where_it_was_cut(api: Api) -> None:
    waits = "trap 'exit 1' TERM; [ $PODRUN_ATTEMPT -gt 1 ] || while :; do sleep 0.1; done"
    tasks = [shell("done", "true"), shell("cut", waits, depends_on=["done"]), shell("below", "true", depends_on=["cut"])]
    run_id = await api.submit(workflow(*tasks, on_exit=[{"name": "leave"}]))
    await api.task_when(run_id, "cut", phase="Running")
    await api.cancel(run_id, reason="wrong branch")
    first = await api.finished(run_id)
    assert first["phase"] == "Cancelled"
    await api.retry(run_id)
    run = await api.finished(run_id)
    assert (run["phase"], run["reason"], run["message"]) == ("Succeeded", None, None)
    assert attempts(run) == {
        "done": ["Succeeded"], "cut": ["Cancelled", "Succeeded"], "below": ["Succeeded"], "leave": []
    }  # fmt: skip
    assert phases(run)["leave"] == "Succeeded"


@LOCAL
async def test_retry__and_cancel_again__cancels_the_retried_run(api: Api) -> None:
    waits = "trap 'exit 1' TERM; [ $PODRUN_ATTEMPT -gt 1 ] || exit 4; while :; do sleep 0.1; done"
    run_id = await api.submit(workflow(shell("work", waits)))
    await api.finished(run_id)
    await api.retry(run_id)
    answer = await api.cancel(run_id, reason="at once")
    assert answer.status_code == 202
    run = await api.finished(run_id)
    assert (run["phase"], run["message"]) == ("Cancelled", "at once")
    assert phases(run) == {"work": "Cancelled"}


@LOCAL
async def test_retry__of_an_approval_that_was_rejected__asks_again(api: Api) -> None:
    run_id = await api.submit(workflow(approval("ask"), shell("deploy", "echo deployed", depends_on=["ask"])))
    await api.task_when(run_id, "ask", phase="Running", reason="WaitingForApproval")
    await api.ask(f"/runs/{run_id}/tasks/ask/reject", comment="not today")
    assert (await api.finished(run_id))["phase"] == "Failed"
    await api.retry(run_id)
    await api.approve(run_id, "ask", "today")
    twice = await api.http.post(f"/runs/{run_id}/tasks/ask/approve")
    run = await api.finished(run_id)
    assert (run["phase"], twice.status_code) == ("Succeeded", 409)
    assert await api.log(run_id, "deploy") == b"deployed\n"


@LOCAL
async def test_retry__with_retries_and_a_timeout__has_all_of_both_again(api: Api) -> None:
    retries = {"limit": 1, "delay_seconds": 0, "jitter": False}
    flaky = shell("flaky", f"{SAY}; sleep 1; [ $PODRUN_ATTEMPT = 4 ] || exit 3", retries=retries)
    run_id = await api.submit(workflow(flaky, timeout_seconds=60))
    first = await api.finished(run_id)
    await api.retry(run_id)
    run = await api.finished(run_id)
    assert (first["phase"], run["phase"]) == ("Failed", "Succeeded")
    assert attempts(run) == {"flaky": ["Failed", "Failed", "Failed", "Succeeded"]}


@LOCAL
async def test_retry__of_what_can_not_be_retried__is_refused(api: Api, local_service: ServiceProcess) -> None:
    good = await api.submit(workflow({"name": "a"}, {"name": "b", "depends_on": ["a"]}))
    await api.finished(good)
    nothing = await api.http.post(f"/runs/{good}/retry")
    unknown = await api.http.post(f"/runs/{good}/retry", json={"tasks": ["a", "c"]})
    missing = await api.http.post("/runs/0198c0de-0000-7000-8000-000000000000/retry")
    await api.retry(good, "a")
    run = await api.finished(good)
    assert (nothing.status_code, unknown.status_code, missing.status_code) == (409, 422, 404)
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/tasks/1"]
    assert run["phase"] == "Succeeded"
    assert local_service.is_running
