"""What the workflow language does goes on over a restart: each run ends as it would have, and each attempt is one pod.

All runs are brought to their place together, the service is ended once, and each test looks at its own afterwards.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import POLL_SECONDS, RUN_SECONDS, Api, api_of
from tests.support.cluster import creations, fresh_namespace
from tests.support.service import ServiceProcess
from tests.support.waiting import run_apart
from tests.support.workflows import Json, approval, put_out, shell, workflow

LOCAL_KILL = pytest.param(("local", "kill"), id="local-kill")
LOCAL_TERMINATE = pytest.param(("local", "terminate"), id="local-terminate")
KUBERNETES_KILL = pytest.param(("kubernetes", "kill"), id="kubernetes-kill", marks=pytest.mark.cluster)
WORDS = "Grüße, 世界 \\u2603 'quoted'"
#: Long enough that the service is away in the midst of it.
LONG = "sleep 4"
RETRY_SECONDS = 6
#: Takes the evaluator some 40 ms for each item: the service goes in the midst of it.
SLOW = "${{ lists.range(1000).map(x, (x * 7 + item) % 13).sum() > 0 }}"
ITEMS = 20


@dataclass
class Restarted:
    """A service that was ended while these runs were under way, and started again."""

    service: ServiceProcess
    runs: dict[str, str] = field(default_factory=dict)  #: ids, by what they are for
    seen: dict[str, Json] = field(default_factory=dict)  #: what was read before
    ended: dict[str, Json] = field(default_factory=dict)  #: what was read at the end


def documents(mark: str) -> dict[str, Json]:
    """The workflows. `mark` is a line of sh that says which attempt starts."""

    def task(name: str, script: str, **keys: Any) -> Json:
        return shell(name, f"{mark}; {script}", **keys)

    retries = {"limit": 1, "delay_seconds": RETRY_SECONDS, "jitter": False}
    ask = approval("ask")
    items = [
        ask,
        task("plan", put_out(count=4)),
        task(
            "work", "sleep 1; " + put_out(square="$((ITEM * ITEM))"), depends_on=["ask", "plan"], max_parallel=2,
            foreach="${{ lists.range(tasks.plan.outputs.count) }}", env={"ITEM": "${{ item }}"},
        ),
        task("merge", "echo $SUM", depends_on=["work"], env={"SUM": "${{ tasks.work.outputs.square.sum() }}"}),
    ]  # fmt: skip
    slow = [
        ask,
        {"name": "each", "depends_on": ["ask"], "when": SLOW, "foreach": f"${{{{ lists.range({ITEMS}) }}}}"},
        task("after", "echo $HOW", depends_on=["each"], env={"HOW": "${{ tasks.each.phase }}"}),
    ]
    leave = task("leave", f"{LONG}; echo left after $OUTCOME", env={"OUTCOME": "${{ run.phase }}"})
    fails = task("fails", "exit 3")
    again = task("again", "[ $PODRUN_ATTEMPT = 2 ] || exit 5; " + put_out(tries="$PODRUN_ATTEMPT"))
    below = task("below", "echo $T", depends_on=["again"], env={"T": "${{ tasks.again.outputs.tries }}"})
    words = task("words", f'printf \'%s\' \'{{"words": "{WORDS}", "n": 9007199254740993}}\' > $PODRUN_OUTPUTS')
    words = words | {"command": ["sh", "-c", mark + "; printf '%s' \"$TEXT\" > $PODRUN_OUTPUTS"]}
    words["env"] = {"TEXT": f'{{"words": "{WORDS}", "n": 9007199254740993}}'}
    say = task("say", 'echo "$W $N"', depends_on=["ask", "words"])
    say["env"] = {"W": "${{ tasks.words.outputs.words }}", "N": "${{ tasks.words.outputs.n + 1 }}"}
    group = {"group": "${{ params.line }}", "policy": "queue"}
    line = {"params": {"line": "one"}, "concurrency": group}
    return {
        "fan-out": workflow(*items),
        "expressions": workflow(*slow),
        "on-exit": workflow(fails, task("below", "true", depends_on=["fails"]), on_exit=[leave]),
        "cancelled": workflow(task("talks", "trap 'exit 1' TERM; while :; do sleep 0.1; done"), on_exit=[leave]),
        "timed-out": workflow(
            task("talks", "trap 'exit 1' TERM; while :; do sleep 0.1; done"), task("next", "true", depends_on=["talks"]),
            timeout_seconds=3, on_exit=[leave],
        ),
        "retries": workflow(task("flaky", "[ $PODRUN_ATTEMPT = 2 ] || exit 5", retries=retries)),
        "holds": workflow(ask, task("one", "true", depends_on=["ask"]), **line),
        "waits": workflow(task("two", "true"), **line),
        "suspended": workflow(task("runs", LONG), task("held", "true", depends_on=["runs"])),
        "retried": workflow(again, below),
        "outputs": workflow(ask, words, say),
        "expires": workflow(approval("ask", timeout_seconds=9, on_timeout="skip"), task("after", "true", depends_on=["ask"])),
        "rejected": workflow(ask, task("after", "true", depends_on=["ask"])),
        "cancelling": workflow(ask, on_exit=[task("leave", "echo left")]),
        "fail-fast": workflow(
            task("slow", f"{LONG}; echo ended"), fails, task("next", "true", depends_on=["slow"]), fail_fast=True
        ),
    }  # fmt: skip


async def begin(made: Restarted) -> None:
    """Bring every run to its place, then ask at the last moment for what is just to be accepted."""
    local = made.service.pods == "local"
    mark = f"echo $PODRUN_RUN_ID/$PODRUN_TASK/$PODRUN_ATTEMPT >> {made.service.folder}/marks" if local else "true"
    texts = documents(mark)
    waiting = {"phase": "Running", "reason": "WaitingForApproval"}
    async with api_of(made.service.url) as api:
        made.runs["retried"] = await api.submit(texts.pop("retried"))
        made.seen["retried"] = await api.finished(made.runs["retried"])
        for name, text in texts.items():
            made.runs[name] = await api.submit(text)
        runs = made.runs
        # What does not stay as it is comes first.
        made.seen["expires"] = await api.task_when(runs["expires"], "ask", **waiting)
        await api.task_when(runs["suspended"], "runs", phase="Running")
        await api.ask(f"/runs/{runs['suspended']}/suspend")
        for name in ("fan-out", "expressions", "holds", "outputs", "rejected", "cancelling"):
            await api.task_when(runs[name], "ask", **waiting)
        await api.task_when(runs["cancelled"], "talks", phase="Running")
        await api.cancel(runs["cancelled"])
        await api.task_when(runs["outputs"], "words", phase="Succeeded")
        await api.task_when(runs["fan-out"], "plan", phase="Succeeded")
        await api.task_when(runs["fail-fast"], "fails", phase="Failed")
        made.seen["waits"] = await api.run_when(runs["waits"], reason="WaitingForGroup")
        await told(api, runs["retries"], "flaky", reason="WaitingForRetry")
        for name in ("timed-out", "cancelled", "on-exit"):
            await told(api, runs[name], "leave", phase="Running")
        await api.approve(runs["fan-out"], "ask")
        await api.run_when(runs["fan-out"], lambda run: sum(run["task_phases"].values()) == 7)
        async with asyncio.TaskGroup() as group:
            group.create_task(api.approve(runs["expressions"], "ask"))
            group.create_task(api.retry(runs["retried"]))
            group.create_task(api.ask(f"/runs/{runs['rejected']}/tasks/ask/reject", comment="no"))
            group.create_task(api.cancel(runs["cancelling"], reason="enough"))


async def told(api: Api, run_id: str, task: str, **wanted: Any) -> None:
    """Return once the run's history has this of the task. It may be past: a busy machine is slow to ask, too."""
    async with asyncio.timeout(RUN_SECONDS):
        while not any(event["task"] == task and wanted.items() <= event.items() for event in await api.events(run_id)):  # noqa: ASYNC110 - as users do
            await asyncio.sleep(POLL_SECONDS)


@pytest.fixture(scope="module", params=[LOCAL_KILL, LOCAL_TERMINATE, KUBERNETES_KILL])
def restarted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    pods, how = request.param
    with ExitStack() as stack:
        namespaces = [stack.enter_context(fresh_namespace())] if pods == "kubernetes" else []
        made = Restarted(ServiceProcess(tmp_path_factory.mktemp("service"), pods, namespaces=namespaces))
        stack.callback(made.service.close)
        made.service.start()
        run_apart(begin(made))
        made.service.kill() if how == "kill" else made.service.terminate()
        made.service.start()
        yield made
        check_created_once(made)
    assert not made.service.faults()


@pytest.fixture
async def api(restarted: Restarted) -> Any:
    async with api_of(restarted.service.url) as made:
        yield made


async def ended(restarted: Restarted, api: Api, name: str) -> Json:
    """The run, once it is finished; its pods are counted after all tests."""
    run = restarted.ended[name] = await api.finished(restarted.runs[name])
    return run


def check_created_once(restarted: Restarted) -> None:
    service = restarted.service
    attempts = [
        (run["id"], task["name"], one) for run in restarted.ended.values() for task in run["tasks"] for one in task["attempts"]
    ]
    if service.pods == "kubernetes":
        made = creations(Path(os.environ["KUBECONFIG"]), service.namespaces[0])
        assert {one["pod"]: made[one["pod"]] for _, _, one in attempts} == dict.fromkeys(
            (one["pod"] for _, _, one in attempts), 1
        )
    else:
        said = Counter((service.folder / "marks").read_text().split())
        names = [f"{run_id}/{task}/{one['attempt']}" for run_id, task, one in attempts]
        assert {name: said[name] for name in names} == dict.fromkeys(names, 1)


def phases(run: Json) -> dict[str, str]:
    return {task["name"]: task["phase"] for task in run["tasks"]}


def tasks_of(run: Json) -> dict[str, Json]:
    return {task["name"]: task for task in run["tasks"]}


async def test_fan_out__just_laid_out__goes_on_with_its_items_and_its_limit(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "fan-out")
    assert run["phase"] == "Succeeded", await api.describe(run["id"])
    assert [task["name"] for task in run["tasks"]] == ["ask", "plan", "work.0", "work.1", "work.2", "work.3", "merge"]
    assert [task["outputs"] for task in run["tasks"][2:6]] == [{"square": n * n} for n in range(4)]
    assert await api.log(run["id"], "merge") == b"14\n"
    running, most = set(), 0
    for event in await api.events(run["id"]):
        if event["type"] == "AttemptPhase" and event["task"].startswith("work."):
            (running.add if event["phase"] in ("Pending", "Running") else running.discard)(event["task"])
            most = max(most, len(running))
    assert most == 2


async def test_expressions__being_evaluated__are_evaluated_again(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "expressions")
    assert Counter(phases(run).values()) == {"Succeeded": ITEMS + 2}
    assert await api.log(run["id"], "after") == b"Succeeded\n"


async def test_on_exit__under_way__ends_and_the_run_is_what_it_was(restarted: Restarted, api: Api) -> None:
    expected = {
        "on-exit": ("Failed", {"fails": "Failed", "below": "Omitted", "leave": "Succeeded"}),
        "cancelled": ("Cancelled", {"talks": "Cancelled", "leave": "Succeeded"}),
        "timed-out": ("Failed", {"talks": "Failed", "next": "Omitted", "leave": "Succeeded"}),
    }
    for name, (phase, tasks) in expected.items():
        run = await ended(restarted, api, name)
        assert (run["phase"], phases(run)) == (phase, tasks)
        assert await api.log(run["id"], "leave") == f"left after {phase}\n".encode()
    assert (await api.run(restarted.runs["timed-out"]))["reason"] == "DeadlineExceeded"


async def test_retry__that_waits__comes_after_its_whole_delay(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "retries")
    first, second = run["tasks"][0]["attempts"]
    assert (run["phase"], first["phase"], second["phase"]) == ("Succeeded", "Failed", "Succeeded")
    waited = datetime.fromisoformat(second["created_at"]) - datetime.fromisoformat(first["finished_at"])
    assert waited >= timedelta(seconds=RETRY_SECONDS - 1)  # Kubernetes gives the end in whole seconds


async def test_group__with_one_that_waits__keeps_it_waiting_until_the_first_is_finished(restarted: Restarted, api: Api) -> None:
    first, second = restarted.runs["holds"], restarted.runs["waits"]
    waits = await api.run(second)
    assert (waits["phase"], waits["reason"]) == ("Pending", "WaitingForGroup")
    await api.approve(first, "ask")
    runs = [await ended(restarted, api, name) for name in ("holds", "waits")]
    assert [run["phase"] for run in runs] == ["Succeeded", "Succeeded"]
    assert runs[0]["finished_at"] <= runs[1]["started_at"]


async def test_suspended_run__stays_suspended_until_it_is_resumed(restarted: Restarted, api: Api) -> None:
    run_id = restarted.runs["suspended"]
    await api.task_when(run_id, "runs", phase="Succeeded")
    held = await api.run_when(run_id, suspended=True, task_phases={"Succeeded": 1, "Pending": 1})
    assert held["phase"] == "Running"
    await api.ask(f"/runs/{run_id}/resume")
    run = await ended(restarted, api, "suspended")
    assert (run["phase"], run["suspended"]) == ("Succeeded", False)


async def test_retry_of_a_run__just_accepted__is_done(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "retried")
    again, below = run["tasks"]
    assert run["phase"] == "Succeeded"
    assert [one["exit_code"] for one in again["attempts"]] == [5, 0]
    assert len(below["attempts"]) == 1
    assert await api.log(run["id"], "below") == b"2\n"
    assert run["started_at"] == restarted.seen["retried"]["started_at"]
    assert run["retried_at"] is not None
    assert run["version"] > restarted.seen["retried"]["version"]


async def test_outputs__of_before__are_used_after_it_as_they_were(restarted: Restarted, api: Api) -> None:
    run_id = restarted.runs["outputs"]
    await api.approve(run_id, "ask")
    run = await ended(restarted, api, "outputs")
    text = "Grüße, 世界 ☃ 'quoted'"
    assert tasks_of(run)["words"]["outputs"] == {"words": text, "n": 9007199254740993}
    assert (await api.log(run_id, "say")).decode() == f"{text} 9007199254740994\n"


async def test_approval__with_a_time_limit__expires_when_it_would_have(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "expires")
    ask, after = run["tasks"]
    assert (run["phase"], ask["phase"], ask["reason"], after["phase"]) == ("Succeeded", "Skipped", "ApprovalTimeout", "Skipped")
    asked = restarted.seen["expires"]["started_at"]
    assert ask["started_at"] == asked
    assert datetime.fromisoformat(ask["finished_at"]) - datetime.fromisoformat(asked) >= timedelta(seconds=9)


async def test_answers__just_accepted__are_heeded(restarted: Restarted, api: Api) -> None:
    rejected = await ended(restarted, api, "rejected")
    assert (rejected["phase"], phases(rejected)) == ("Failed", {"ask": "Failed", "after": "Omitted"})
    assert tasks_of(rejected)["ask"]["message"] == "no"
    cancelled = await ended(restarted, api, "cancelling")
    assert (cancelled["phase"], cancelled["message"]) == ("Cancelled", "enough")
    assert phases(cancelled) == {"ask": "Cancelled", "leave": "Succeeded"}
    for run in (rejected, cancelled):
        kinds = Counter(event["type"] for event in await api.events(run["id"]))
        assert kinds["Rejected"] + kinds["CancelRequested"] == 1
        assert kinds["RunFinished"] == 1


async def test_fail_fast__begun__lets_nothing_new_start(restarted: Restarted, api: Api) -> None:
    run = await ended(restarted, api, "fail-fast")
    assert (run["phase"], phases(run)) == ("Failed", {"slow": "Succeeded", "fails": "Failed", "next": "Omitted"})
    assert tasks_of(run)["next"]["reason"] == "FailFast"
    assert await api.log(run["id"], "slow") == b"ended\n"
