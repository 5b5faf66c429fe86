"""Three replicas on the real cluster: any of them answers anything; one is killed, one is stopped for a minute and wakes up."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.checker import Silence
from tests.faults.replicated import TAKEN_OVER_SECONDS, Group, group_of, listening_postgres, start
from tests.support.api import Api, api_of
from tests.support.cluster import creations, wait_no_pods
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.postgres import PostgresServer
from tests.support.readers import Json, RovingReader
from tests.support.workflows import approval, chain, python, shell, workflow

__all__ = ["listening_postgres"]
pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.postgres, pytest.mark.timeout(400)]

STOPPED_SECONDS = 60.0
#: So long after it was last renewed a lease has run out, and nothing may be asked of the cluster any more.
LEASE_SECONDS = 10.0
END_SECONDS = 180.0
LINES = NumberedLines(750, size=200)
_TALK = """
import time
for number in range(COUNT):
    print(line(KEY, number, SIZE).decode(), end="", flush=True)
    time.sleep(0.1)
"""
#: Says what time it is, again and again.
_CLOCK = "import time\nfor _ in range(60):\n    print(time.time(), flush=True)\n    time.sleep(0.2)"
#: What one replica commits another one's readers are told: well before they would look by themselves, which is after 5 s.
TOLD_SECONDS, TOLD_MOST_SECONDS = 1.0, 4.0
#: A line is first gathered by the kubelet and the collector.
LOG_SECONDS = 1.5


def _talks() -> Json:
    """Says numbered lines for 75 s, while other tasks come and go, one of them by a second attempt."""
    again = {"limit": 1, "delay_seconds": 1, "jitter": False}
    return workflow(
        python("talks", LINES.script + _TALK),
        shell("first", "sleep 2"),
        shell("again", "sleep 3; [ $PODRUN_ATTEMPT = 2 ]", depends_on=["first"], retries=again),
        *(shell(f"after-{number}", f"echo {number}; sleep 4", depends_on=["again"]) for number in range(2)),
        on_exit=[shell("leave", "echo bye")],
    )  # fmt: skip


def _chain() -> Json:
    """Short tasks, one after the other, for about a minute: there is always one whose pod is being created, runs or ends."""
    return chain(12, lambda name: shell(name, f"echo {name}; sleep 2"))


@asynccontextmanager
async def _apis(group: Group) -> AsyncIterator[list[Api]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(api_of(one.url)) for one in group.replicas]


def _reader(urls: Sequence[str], run_id: str, chance: random.Random, silent_seconds: float) -> tuple[RovingReader, LogCheck]:
    """A reader of what `talks` says, and what checks that each line came once."""
    check = LogCheck(LINES)
    reader = RovingReader(
        lambda: chance.choice(urls), f"/runs/{run_id}/tasks/talks/logs",
        lambda one: check.take(one if "type" in one else {"type": "lines", "lines": [one]}), silent_seconds=silent_seconds,
    )  # fmt: skip
    return reader, check


async def test_replicas__one_is_killed_and_one_stopped_for_a_minute__nothing_is_lost_and_nothing_done_twice(
    tmp_path: Path, listening_postgres: PostgresServer, kubeconfig: Path, chance: random.Random
) -> None:
    with group_of(tmp_path, listening_postgres, pods="kubernetes") as group:
        await asyncio.to_thread(start, group.replicas)
        killed, stopped, last = group.replicas
        urls = [one.url for one in group.replicas]
        async with _apis(group) as apis:
            talks = [await api.submit(_talks()) for api in apis]
            chains = [await api.submit(_chain()) for api in apis]
            asks = [await api.submit(workflow(approval("ask"), shell("b", "true", depends_on=["ask"]))) for api in apis]
            for run_id in talks:
                await apis[2].log_when(run_id, "talks", LINES.line(5))
            # One stays with the replica that stops, one leaves it when it is silent, one comes to any that is there.
            stays = _reader([stopped.url], talks[1], chance, 120)
            leaves = _reader([stopped.url, last.url], talks[1], chance, 18)
            roams = _reader(urls, talks[0], chance, 18)
            async with asyncio.TaskGroup() as tasks:
                for reader, _ in (stays, leaves, roams):
                    tasks.create_task(reader.read(END_SECONDS))
                await asyncio.sleep(chance.uniform(0, 3))
                stopped.freeze()
                killed.kill()
                stopped_at = datetime.now(UTC)
                lost = {one.url: group.owned_by(one) for one in (stopped, killed)}
                assert all(len(owned) == 3 for owned in lost.values())
                seconds = await group.taken_over([run_id for owned in lost.values() for run_id in owned], stopped_at)
                assert seconds < TAKEN_OVER_SECONDS, f"{seconds} s until the last run had a new owner"
                for run_id in asks:
                    await apis[2].approve(run_id, "ask")
                await asyncio.to_thread(killed.start)
                new = [await api.submit(workflow(shell("a", "echo new"))) for api in (apis[0], apis[2])]
                await asyncio.sleep(STOPPED_SECONDS - (datetime.now(UTC) - stopped_at).total_seconds())
                woken_at = datetime.now(UTC)
                stopped.thaw()
            await asyncio.to_thread(stopped.wait_ready)
            new.append(await apis[1].submit(workflow(shell("a", "echo new"))))
            for run_id in (*talks, *chains, *asks, *new):
                assert (await apis[1].finished(run_id, END_SECONDS))["phase"] == "Succeeded"
        for reader, check in (stays, leaves, roams):
            assert check.end() == [], f"{dict(reader.cuts)}"
        assert stays[0].cuts == {"end": 1}
        assert leaves[0].end == roams[0].end == "Succeeded"
        told = stopped.text()
        assert not [one for one in lost[stopped.url] if f'"a run is not ours any more" run={one}' not in told], told
        group.check_left_alone(stopped, lost[stopped.url], woken_at)
        await _check_cluster(group, kubeconfig, lost[stopped.url], woken_at)
        held = Silence(start=stopped_at + timedelta(seconds=LEASE_SECONDS), end=woken_at, user=stopped.user)
        await asyncio.to_thread(group.check, silences=[held])


async def _check_cluster(group: Group, kubeconfig: Path, lost: Sequence[str], woken_at: datetime) -> None:
    """The replica that woke up asked nothing of the cluster for the runs that it had lost; each attempt had one pod."""
    _, stopped, last = group.replicas
    namespace = last.namespaces[0]
    async with api_of(last.url) as api:
        runs = [await api.run(run["id"]) async for run in api.pages("/runs")]
    pods = {attempt["pod"]: run["id"] for run in runs for task in run["tasks"] for attempt in task["attempts"]}
    asked = [entry for entry in group.audit(kubeconfig, stopped, woken_at) if pods.get(entry.name) in lost]
    assert not asked, f"it went on with pods of runs that others had: {asked[:5]}"
    made = creations(kubeconfig, namespace)
    assert {pod: made[pod] for pod in pods} == dict.fromkeys(pods, 1)
    await asyncio.to_thread(wait_no_pods, namespace)


@dataclass
class Lags:
    """How long things were on their way, in seconds."""

    seconds: list[float] = field(default_factory=list)

    def since(self, then: float) -> None:
        self.seconds.append(time.time() - then)

    def assert_below(self, usual: float, most: float) -> None:
        told = [round(one, 2) for one in sorted(self.seconds)]
        assert self.seconds, "nothing came"
        assert statistics.median(told) < usual, told
        assert told[-1] < most, told


@pytest.mark.exclusive
async def test_any_replica__answers_of_a_run_that_another_one_owns__as_soon_as_the_owner_would(
    tmp_path: Path, listening_postgres: PostgresServer
) -> None:
    with group_of(tmp_path, listening_postgres, pods="kubernetes") as group:
        await asyncio.to_thread(start, group.replicas)
        async with _apis(group) as (owner, second, third):
            run_id = await owner.submit(
                workflow(
                    approval("ask"), python("talks", _CLOCK, depends_on=["ask"]),
                    shell("fails", "[ $PODRUN_ATTEMPT = 2 ]", depends_on=["ask"]),
                )
            )  # fmt: skip
            cancelled = await owner.submit(workflow(shell("waits", "trap 'exit 0' TERM; sleep 300 & wait")))
            lines, events, answers = Lags(), Lags(), Lags()
            async with asyncio.TaskGroup() as tasks:
                for what, take in (("tasks/talks/logs", _of_line(lines)), ("events", _of_event(events))):
                    path = f"/runs/{run_id}/{what}"
                    by_socket = RovingReader(lambda: second.url, path, take)
                    by_events = RovingReader(lambda: third.url, path, take, transport=lambda: "events")
                    tasks.create_task(by_socket.read(END_SECONDS))
                    tasks.create_task(by_events.read(END_SECONDS))
                await _ask_all(run_id, cancelled, second, third, answers)
            assert (await third.finished(run_id))["phase"] == "Succeeded"
            assert (await second.finished(cancelled))["phase"] == "Cancelled"
            assert await second.log(run_id) == await owner.log(run_id)
        lines.assert_below(LOG_SECONDS, TOLD_MOST_SECONDS)
        events.assert_below(TOLD_SECONDS, TOLD_MOST_SECONDS)
        answers.assert_below(TOLD_SECONDS, TOLD_MOST_SECONDS)
        owners = [(entry.address, entry.epoch) for entry in group.journal.entries() if entry.what == "owner"]
        first, taking_the_retry = (group.address(one) for one in group.replicas[:2])
        assert owners == [(first, 1), (first, 1), (taking_the_retry, 2)]
        await asyncio.to_thread(group.check)


def _of_line(lags: Lags) -> Callable[[Json], None]:
    return lambda one: lags.since(float(one["text"]))


def _of_event(lags: Lags) -> Callable[[Json], None]:
    """Of what the owner wrote while we were there."""
    began = time.time()

    def take(one: Json) -> None:
        at = datetime.fromisoformat(one["event"]["time"]).timestamp()
        if at > began:
            lags.since(at)

    return take


async def _ask_all(run_id: str, cancelled: str, second: Api, third: Api, answers: Lags) -> None:
    """Ask one replica for everything, and wait at the other one until it shows."""

    async def shows(path: str, **wanted: object) -> None:
        asked = time.time()
        await second.ask(path)
        await third.run_when(run_id, **wanted)
        answers.since(asked)

    await third.task_when(run_id, "ask", phase="Running", reason="WaitingForApproval")
    await shows(f"/runs/{run_id}/suspend", suspended=True)
    await shows(f"/runs/{run_id}/resume", suspended=False)
    await shows(f"/runs/{run_id}/tasks/ask/approve", task_phases={"Succeeded": 1, "Pending": 2})
    await third.task_when(cancelled, "waits", phase="Running")
    await second.ask(f"/runs/{cancelled}/cancel")
    await third.run_when(cancelled, lambda run: run["phase"] in ("Cancelling", "Cancelled"))
    await second.task_when(run_id, "fails", phase="Failed")
    await third.run_when(run_id, is_finished=True, seconds=END_SECONDS)
    await shows(f"/runs/{run_id}/retry", is_finished=False)
