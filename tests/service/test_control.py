"""What steers a run: cancel, timeouts, fail fast, limits, retries, dependencies; the same on local pods and on Kubernetes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.cluster import wait_no_pods
from tests.support.service import ServiceProcess
from tests.support.waiting import until
from tests.support.workflows import python, shell, workflow

pytestmark = pytest.mark.usefixtures("service")
#: Says that it lives, and when it is told to stop says that too, takes a moment, and ends.
TRAP = """
import signal, sys, time
def stop(*_):
    print("stopping"); time.sleep(0.3); print("stopped"); sys.exit(3)
signal.signal(signal.SIGTERM, stop)
print("started")
while True: time.sleep(0.1)
"""
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _specs(service: ServiceProcess) -> str:
    texts = []
    for path in (service.folder / "pods" / "pods").glob("*/*/spec.json"):
        with suppress(FileNotFoundError):
            texts.append(path.read_text())
    return "".join(texts)


async def _gone(service: ServiceProcess, run_id: str, seconds: float = 60) -> None:
    """The run's pods are gone. Finished means that their deletion was answered; the kubelet takes its time."""
    if service.pods == "kubernetes":
        await asyncio.to_thread(wait_no_pods, service.namespaces[0], seconds, run_id)
    else:
        await until(lambda: run_id not in _specs(service), seconds)


async def test_cancel__running_and_waiting_tasks__are_cancelled_and_the_last_words_are_kept(
    api: Api, service: ServiceProcess
) -> None:
    done = shell("done", "echo done")
    running = python("running", TRAP, depends_on=["done"])
    run_id = await api.submit(workflow(done, running, shell("waiting", "true", depends_on=["running"]), max_parallel_tasks=1))
    async with asyncio.TaskGroup() as group:
        logs = group.create_task(api.follow(f"/runs/{run_id}/logs"))
        await api.log_when(run_id, "running", b"started\n")
        first = await api.cancel(run_id, reason="not needed any more")
        again = await api.cancel(run_id, reason="once more")
        run = await api.finished(run_id)
    late = await api.cancel(run_id)

    assert (first.status_code, again.status_code, late.status_code) == (202, 200, 200)
    assert first.json()["phase"] in ("Running", "Cancelling")
    assert late.json()["version"] == run["version"]
    assert (run["phase"], run["reason"], run["message"]) == ("Cancelled", "Cancelled", "not needed any more")
    assert [task["phase"] for task in run["tasks"]] == ["Succeeded", "Cancelled", "Cancelled"]
    assert run["tasks"][1]["attempts"][0]["phase"] == "Cancelled"
    assert run["tasks"][2]["attempts"] == []
    assert (await api.log(run_id, "running")) == b"started\nstopping\nstopped\n"
    assert [line["text"] for line in logs.result().lines] == ["done", "started", "stopping", "stopped"]
    assert logs.result().end == "Cancelled"
    events = await api.events(run_id)
    assert [event["message"] for event in events if event["type"] == "CancelRequested"] == ["not needed any more"]
    phases = [event["phase"] for event in events if event["type"] == "RunPhase"]
    assert phases == ["Pending", "Running", "Cancelling", "Cancelled"]
    await _gone(service, run_id)


async def test_cancel__at_once_after_the_post__nothing_stays_behind(api: Api, service: ServiceProcess) -> None:
    run_ids = []
    for _ in range(5):
        run_ids.append(await api.submit(workflow(*(shell(f"t{n}", FOREVER) for n in range(3)))))
        assert (await api.cancel(run_ids[-1], force=True)).status_code == 202
    for run_id in run_ids:
        run = await api.finished(run_id)
        assert run["phase"] == "Cancelled"
        assert {task["phase"] for task in run["tasks"]} == {"Cancelled"}
        await _gone(service, run_id)


async def test_timeout__of_a_task__fails_it_as_deadline_exceeded_and_is_retried(api: Api, service: ServiceProcess) -> None:
    retries = {"limit": 1, "delay_seconds": 0, "jitter": False}
    slow = python("slow", TRAP, timeout_seconds=2, retries=retries)
    run_id = await api.submit(workflow(slow, shell("after", "true", depends_on=["slow"])))
    run = await api.finished(run_id)
    slow, after = run["tasks"]
    assert run["phase"] == "Failed"
    assert (slow["phase"], slow["reason"]) == ("Failed", "DeadlineExceeded")
    assert "2 s" in slow["message"]
    assert [(one["phase"], one["reason"]) for one in slow["attempts"]] == [("Failed", "DeadlineExceeded")] * 2
    assert (after["phase"], after["reason"]) == ("Omitted", "UpstreamFailed")
    assert "slow" in after["message"]
    for one in slow["attempts"]:
        took = (_time(one["finished_at"]) - _time(one["started_at"])).total_seconds()
        assert 1 <= took < 5  # Kubernetes gives the start in whole seconds
        assert await api.log(run_id, "slow", attempt=one["attempt"]) == b"started\nstopping\nstopped\n"
    await _gone(service, run_id)


async def test_timeout__of_a_run__fails_what_runs_and_omits_the_rest(api: Api, service: ServiceProcess) -> None:
    tasks = [shell("quick", "true"), python("slow", TRAP), shell("after", "true", depends_on=["slow"])]
    run_id = await api.submit(workflow(*tasks, timeout_seconds=5))
    run = await api.finished(run_id)
    assert (run["phase"], run["reason"]) == ("Failed", "DeadlineExceeded")
    assert [(task["phase"], task["reason"]) for task in run["tasks"]] == [
        ("Succeeded", None),
        ("Failed", "DeadlineExceeded"),
        ("Omitted", "DeadlineExceeded"),
    ]
    assert await api.log(run_id, "slow") == b"started\nstopping\nstopped\n"
    await _gone(service, run_id)


async def test_fail_fast__after_a_failure__nothing_new_starts_and_running_pods_end_by_themselves(
    api: Api, service: ServiceProcess
) -> None:
    tasks = [
        shell("slow", "echo begun; sleep 3; echo ended"),
        shell("fails", "sleep 1; exit 4", retries={"limit": 0}),
        shell("retried", "exit 5", retries={"limit": 3, "delay_seconds": 60, "jitter": False}),
        shell("next", "true", depends_on=["slow"]),
        shell("below", "true", depends_on=["fails"]),
    ]
    run_id = await api.submit(workflow(*tasks, fail_fast=True))
    run = await api.finished(run_id)
    outcome = {task["name"]: (task["phase"], task["reason"], len(task["attempts"])) for task in run["tasks"]}
    assert run["phase"] == "Failed"
    assert outcome["slow"] == ("Succeeded", None, 1)
    assert outcome["fails"] == ("Failed", "Error", 1)
    assert outcome["retried"] == ("Failed", "Error", 1)
    assert outcome["next"] == ("Omitted", "FailFast", 0)
    assert outcome["below"][0] == "Omitted"
    assert await api.log(run_id, "slow") == b"begun\nended\n"
    await _gone(service, run_id)


async def test_max_parallel_tasks__of_two__is_never_exceeded_and_keeps_the_order(api: Api) -> None:
    names = [f"t{number}" for number in range(6)]
    run_id = await api.submit(workflow(*(shell(name, "sleep 0.3") for name in names), max_parallel_tasks=2))
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded"
    running, most, begun = set(), 0, []
    for event in await api.events(run_id):
        if event["type"] == "AttemptPhase":
            if event["phase"] == "Pending" and event["task"] not in running:
                begun.append(event["task"])
            running = running | {event["task"]} if event["phase"] in ("Pending", "Running") else running - {event["task"]}
            most = max(most, len(running))
    assert most == 2
    assert begun == names


async def test_retries__with_exit_codes_and_delay__each_attempt_has_its_number_and_log(
    api: Api, service: ServiceProcess
) -> None:
    say = "echo attempt $PODRUN_ATTEMPT"
    retries: dict[str, Any] = {"limit": 3, "delay_seconds": 1, "factor": 1, "jitter": False, "exit_codes": [9]}
    tasks = [
        shell("third-time", f"{say}; [ $PODRUN_ATTEMPT = 3 ] || exit 9", retries=retries),
        shell("other-code", f"{say}; exit 8", retries=retries),
        shell("never", f"{say}; exit 9", retries=retries | {"limit": 1}),
        shell("after", "echo after", depends_on=["third-time"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    run = await api.finished(run_id)
    third, other, never, after = run["tasks"]
    assert run["phase"] == "Failed"
    assert [(one["attempt"], one["phase"], one["exit_code"]) for one in third["attempts"]] == [
        (1, "Failed", 9), (2, "Failed", 9), (3, "Succeeded", 0)
    ]  # fmt: skip
    assert (third["phase"], third["reason"], third["message"]) == ("Succeeded", None, None)
    assert [one["exit_code"] for one in other["attempts"]] == [8]
    assert [one["exit_code"] for one in never["attempts"]] == [9, 9]
    assert (never["phase"], after["phase"]) == ("Failed", "Succeeded")
    assert len({one["pod"] for task in run["tasks"] for one in task["attempts"]}) == 7
    for before, then in zip(third["attempts"], third["attempts"][1:], strict=False):
        assert (_time(then["created_at"]) - _time(before["finished_at"])).total_seconds() >= 1
    assert await api.log(run_id, "third-time") == b"attempt 3\n"
    assert await api.log(run_id, "third-time", attempt=1) == b"attempt 1\n"
    assert await api.log(run_id, "third-time", attempt=2) == b"attempt 2\n"
    assert await api.log(run_id, "third-time", attempt="all") == b"attempt 1\nattempt 2\nattempt 3\n"
    lines = (await api.log_lines(run_id, "third-time", attempt="all")).lines
    assert [(line["attempt"], line["line"]) for line in lines] == [(1, 0), (2, 0), (3, 0)]
    assert (await api.http.get(f"/runs/{run_id}/tasks/third-time/logs", params={"attempt": 0})).status_code == 422
    waits = [event for event in await api.events(run_id) if event["reason"] == "WaitingForRetry"]
    assert [event["task"] for event in waits].count("third-time") == 2
    await _gone(service, run_id)


async def test_follow__of_a_task_that_is_retried__goes_on_into_the_next_attempt(api: Api) -> None:
    retries = {"limit": 1, "delay_seconds": 1, "jitter": False}
    run_id = await api.submit(
        workflow(shell("twice", "echo attempt $PODRUN_ATTEMPT; [ $PODRUN_ATTEMPT = 2 ]", retries=retries))
    )
    followed = await api.follow(f"/runs/{run_id}/tasks/twice/logs")
    assert [(line["attempt"], line["text"]) for line in followed.lines] == [(1, "attempt 1"), (2, "attempt 2")]
    assert followed.end == "Succeeded"


async def test_dependencies__with_failures_that_are_allowed_and_not__decide_what_runs(api: Api) -> None:
    tasks = [
        {"name": "start"},
        shell("allowed", "exit 1", depends_on=["start"], allow_failure=True),
        shell("good", "echo good", depends_on=["start"]),
        shell("below-allowed", "true", depends_on=["allowed", "good"]),
        {"name": "join", "depends_on": ["below-allowed"]},
        shell("below-good", "true", depends_on=["good"]),
        {"name": "end", "depends_on": ["below-good", "start"]},
    ]
    run = await api.finished(await api.submit(workflow(*tasks)))
    assert (run["phase"], run["reason"]) == ("Succeeded", None)
    assert {task["name"]: task["phase"] for task in run["tasks"]} == {
        "start": "Succeeded", "allowed": "Failed", "good": "Succeeded", "below-allowed": "Omitted", "join": "Omitted",
        "below-good": "Succeeded", "end": "Succeeded",
    }  # fmt: skip
    assert next(task for task in run["tasks"] if task["name"] == "join")["reason"] == "UpstreamFailed"


async def test_exit_codes__and_signals__are_told_as_they_were(api: Api, service: ServiceProcess) -> None:
    scripts = {"zero": "exit 0", "one": "echo to-stderr >&2; exit 1", "high": "exit 255", "told": "exit 137"}
    run = await api.finished(await api.submit(workflow(*(shell(name, script) for name, script in scripts.items()))))
    codes = {task["name"]: (task["phase"], task["attempts"][0]["exit_code"]) for task in run["tasks"]}
    assert codes == {"zero": ("Succeeded", 0), "one": ("Failed", 1), "high": ("Failed", 255), "told": ("Failed", 137)}
    assert await api.log(run["id"], "one") == b"to-stderr\n"
    assert run["message"].startswith("task one: ")
    assert "2 more" in run["message"]
    assert service.is_running
