"""Somebody sets the machine's clock by an hour, while the service runs and while it is away: nothing comes at the wrong time.

The service, and the supervisors of its local pods, run by a clock of the test's own; see `tests/support/machine_clock.py`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.service.conftest import MakeService
from tests.support.api import Api, Followed, Json, api_of
from tests.support.machine_clock import MachineClock
from tests.support.postgres import PostgresServer
from tests.support.replicas import replicas
from tests.support.service import ServiceProcess
from tests.support.workflows import approval, python, shell, workflow

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
HOUR, NONE = timedelta(hours=1), timedelta()
#: What a busy machine may add to a duration, a restart of the service included: little beside an hour.
SLACK_SECONDS = 30.0
_TALK = """
import time
for number in range({lines}):
    print("line", number, "." * 1000)  # as much as could not stand in the buffers of a connection
    time.sleep({pause})
"""

#: When it is told to end it says something until it is let go.
_LEAVES = """
import os, signal, sys, time
def leave(*_):
    number = 0
    while not os.path.exists(os.environ["GO"]):
        print("line", number)
        number += 1
        time.sleep(0.1)
    print("gone")
    sys.exit()
signal.signal(signal.SIGTERM, leave)
print("up")
while True:
    time.sleep(10)
"""


@pytest.fixture
def clock(tmp_path: Path) -> MachineClock:
    return MachineClock(tmp_path)


@pytest.fixture
def service(make_service: MakeService, clock: MachineClock) -> ServiceProcess:
    return make_service("local", interpreter=clock.interpreter)


def talker(name: str, seconds: float, pause: float = 0.02) -> Json:
    """A task that says a numbered line again and again for so long."""
    return python(name, _TALK.format(lines=round(seconds / pause), pause=pause))


def said(seconds: float, pause: float = 0.02) -> str:
    """What `talker` says."""
    return "".join(f"line {number} {'.' * 1000}\n" for number in range(round(seconds / pause)))


class Measured:
    """Runs of which everything that is measured is to last so many seconds, and a log that goes on all the while."""

    def __init__(self, api: Api, seconds: float) -> None:
        self._api, self.seconds = api, seconds
        self.mixed = self.cut = ""

    async def begin(self) -> None:
        """Submit them, and wait until all of it is under way."""
        after = {"limit": 1, "delay_seconds": self.seconds, "jitter": False}
        self.mixed = await self._api.submit(
            workflow(
                shell("limited", "sleep 300", timeout_seconds=self.seconds, allow_failure=True),
                shell("retried", 'test "$PODRUN_ATTEMPT" = 2', retries=after),
                approval("asked", timeout_seconds=self.seconds, on_timeout="skip"),
                talker("talks", self.seconds),
            )
        )
        self.cut = await self._api.submit(workflow(shell("a", "sleep 300"), timeout_seconds=self.seconds))
        await self.under_way(self._api)

    async def under_way(self, api: Api) -> None:
        await api.task_when(self.mixed, "limited", phase="Running")
        await api.task_when(self.mixed, "retried", reason="WaitingForRetry")
        await api.task_when(self.mixed, "asked", phase="Running")
        await api.task_when(self.cut, "a", phase="Running")
        await api.log_when(self.mixed, "talks", b"line 5 ")

    async def check(self, api: Api) -> None:
        """Each has lasted as long as it should, by what is recorded of it, and the log is whole."""
        mixed, cut = await api.finished(self.mixed), await api.finished(self.cut)
        limited, retried, asked, _ = mixed["tasks"]
        first, second = retried["attempts"]
        assert (limited["phase"], limited["reason"]) == ("Failed", "DeadlineExceeded")
        assert (asked["phase"], asked["reason"]) == ("Skipped", "ApprovalTimeout")
        assert (cut["phase"], cut["reason"]) == ("Failed", "DeadlineExceeded")
        assert (retried["phase"], mixed["phase"]) == ("Succeeded", "Succeeded")
        for since, until in (
            (limited["attempts"][0]["started_at"], limited["finished_at"]),
            (first["finished_at"], second["created_at"]),
            (asked["started_at"], asked["finished_at"]),
            (cut["started_at"], cut["tasks"][0]["finished_at"]),
        ):
            assert self.seconds - 0.1 <= seconds_between(since, until) <= self.seconds + SLACK_SECONDS
        for run in (mixed, cut):
            check_times(run)
        await check_log(api, self.mixed, "talks", said(self.seconds))


def seconds_between(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def check_times(run: Json) -> None:
    """Of a run, its tasks and their attempts, no time is before one that cannot be later."""
    check_order(run["created_at"], run["started_at"], run["finished_at"])
    for task in run["tasks"]:
        check_order(run["started_at"], task["started_at"], task["finished_at"], run["finished_at"])
        for attempt in task["attempts"]:
            check_order(run["started_at"], attempt["created_at"], attempt["started_at"], attempt["finished_at"])
            assert attempt["finished_at"] <= task["finished_at"]


def check_order(*times: str | None) -> None:
    known = [datetime.fromisoformat(time) for time in times if time is not None]
    assert known == sorted(known), times


async def check_log(api: Api, run_id: str, task: str, expected: str) -> None:
    """The log is whole, each line there once and in order of its times, and nothing is said to be missing."""
    assert (await api.log(run_id, task)).decode() == expected
    (attempt,) = (await api.task(run_id, task))["attempts"]
    assert (attempt["log"]["gaps"], attempt["log"]["sealed"]) == (0, True)
    check_order(*[line["time"] for line in (await api.log_lines(run_id, task)).lines])


async def test_clock__set_while_the_service_runs__what_is_measured_and_logs_go_on(
    service: ServiceProcess, clock: MachineClock
) -> None:
    followed = Followed()
    async with api_of(service.url) as api, asyncio.TaskGroup() as group:
        measured = Measured(api, 8)
        await measured.begin()
        group.create_task(api.follow(f"/runs/{measured.mixed}/tasks/talks/logs", into=followed))
        for offset in (HOUR, -HOUR, NONE):
            await asyncio.sleep(1.5)
            clock.set(offset)
        await measured.check(api)
    assert (followed.text() + "\n", followed.gaps) == (said(8), [])


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
async def test_clock__set_while_the_service_is_away_and_set_right_later__what_is_measured_goes_on(
    service: ServiceProcess, clock: MachineClock, offset: timedelta
) -> None:
    async with api_of(service.url) as api:
        measured = Measured(api, 10)
        await measured.begin()
        cancelled = await api.submit(workflow(python("a", _LEAVES, env={"GO": str(service.folder / "go")})))
        await api.log_when(cancelled, "a", b"up\n")
        await api.cancel(cancelled)
        await api.log_when(cancelled, "a", b"line 0\n")
    service.kill()
    clock.set(offset)
    service.start()
    async with api_of(service.url) as api:
        stored = len(await api.log(cancelled, "a"))
        async with asyncio.timeout(60):
            while len(await api.log(cancelled, "a")) == stored:  # noqa: ASYNC110 - as users do
                await asyncio.sleep(0.05)
        (service.folder / "go").touch()
        run = await api.finished(cancelled)
        assert (run["phase"], "left on nodes" in (run["message"] or "")) == ("Cancelled", False)
        lines = (await api.log(cancelled, "a")).decode().split("\n")
        assert lines == ["up", *(f"line {number}" for number in range(len(lines) - 3)), "gone", ""]
        assert run["tasks"][0]["attempts"][0]["log"]["gaps"] == 0
    service.kill()
    clock.set(NONE)
    service.start()
    async with api_of(service.url) as api:
        await measured.check(api)


async def test_timeout__passes_while_the_service_is_away__what_ended_in_time_has_its_own_outcome(
    make_service: MakeService,
) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        run_id = await api.submit(
            workflow(shell("in-time", "sleep 2", timeout_seconds=4), shell("too-long", "sleep 300", timeout_seconds=4))
        )
        for task in ("in-time", "too-long"):
            await api.task_when(run_id, task, phase="Running")
    service.kill()
    await asyncio.sleep(5)  # both timeouts pass
    service.start()
    async with api_of(service.url) as api:
        run = await api.finished(run_id)
        told = [(task["phase"], task["reason"]) for task in run["tasks"]]
        assert told == [("Succeeded", None), ("Failed", "DeadlineExceeded")]
        check_times(run)


async def _scheduled(api: Api, name: str) -> list[datetime]:
    """The times of which the schedule has made runs."""
    return [datetime.fromisoformat(run["scheduled_at"]) async for run in api.pages("/runs", workflow=name)]


async def _until_it_ticks(api: Api, clock: MachineClock) -> None:
    """Wait until the schedule has made a run of about now, by the clock as it is."""
    for _ in range(150):
        if any(abs(clock.now() - time) < timedelta(seconds=10) for time in await _scheduled(api, "tick")):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"nothing came at {clock.now()}: {await api.get('/workflows/tick')}")


async def test_schedule__clock_is_set__each_time_fires_once_none_twice_and_it_goes_on(
    service: ServiceProcess, clock: MachineClock
) -> None:
    async with api_of(service.url) as api:
        await api.put_workflow(workflow({"name": "a"}, name="tick", schedule={"every_seconds": 1}))
        far = (datetime.now(UTC).hour + 12) % 24  # no hour that the clock is set to from here has it between
        await api.put_workflow(workflow({"name": "a"}, name="daily", schedule={"cron": f"0 {far} * * *"}))
        for offset in (NONE, -HOUR, NONE, HOUR / 6, NONE):
            clock.set(offset)
            await _until_it_ticks(api, clock)
    service.kill()
    clock.set(timedelta(days=400))
    service.start()
    async with api_of(service.url) as api:
        await _until_it_ticks(api, clock)
    service.kill()
    clock.set(NONE)
    service.start()
    async with api_of(service.url) as api:
        await _until_it_ticks(api, clock)
        times = await _scheduled(api, "tick")
        assert len(set(times)) == len(times)
        assert len(await _scheduled(api, "daily")) == 1  # it was over a year ahead for a moment
        next_at = (await api.get("/workflows/daily"))["schedule"]["next_at"]
        assert datetime.fromisoformat(next_at) - clock.now() < timedelta(days=1)


async def _until_it_is_seen(api: Api, clock: MachineClock) -> None:
    """Wait until the service goes by the clock as it is: each of its answers says what time it is."""
    async with asyncio.timeout(30):
        while True:
            told = parsedate_to_datetime((await api.http.get("/info")).headers["Date"])
            if abs(clock.now() - told) < timedelta(seconds=10):
                return
            await asyncio.sleep(0.05)


async def test_submit__clock_is_set__ids_grow_and_keys_are_known_for_a_day(
    service: ServiceProcess, clock: MachineClock
) -> None:
    async with api_of(service.url) as api:
        made = []
        first = await api.submit(workflow({"name": "a"}), key="same")
        for offset in (HOUR, -HOUR):
            clock.set(offset)
            await _until_it_is_seen(api, clock)
            made.append(await api.submit(workflow({"name": "a"})))
            assert await api.submit(workflow({"name": "a"}), key="same") == first
            check_times(await api.finished(made[-1]))
        made = [first, *made]
        assert made == sorted(made)
        assert [run["id"] for run in (await api.get("/runs"))["items"]] == made[::-1]
        clock.set(timedelta(hours=25))
        await _until_it_is_seen(api, clock)
        assert await api.submit(workflow({"name": "a"}), key="same") > made[-1]


@pytest.fixture
def databases_clock() -> Iterator[MachineClock]:
    """Where PostgreSQL's own user can read it."""
    folder = Path(tempfile.mkdtemp(prefix="podrun-clock-"))
    folder.chmod(0o755)
    yield MachineClock(folder)
    shutil.rmtree(folder)


@pytest.mark.postgres
async def test_lease__databases_clock_is_set__a_dead_replicas_runs_are_taken_over_in_time(
    databases_clock: MachineClock, tmp_path: Path
) -> None:
    with (
        PostgresServer.started(environment=databases_clock.environment) as server,
        replicas(tmp_path, server.url("postgres")) as (first, second),
    ):
        for owner, other, offset in ((first, second, -HOUR), (second, first, HOUR)):
            async with api_of(owner.url) as api:
                run_id = await api.submit(workflow(talker("a", 6)))
                await api.log_when(run_id, "a", b"line 5 ")
            databases_clock.set(offset)
            owner.kill()
            async with api_of(other.url) as api:
                run = await api.finished(run_id, 60)
                assert (run["phase"], len(run["tasks"][0]["attempts"])) == ("Succeeded", 1)
                check_times(run)
                await check_log(api, run_id, "a", said(6))
            if not first.is_running:
                first.start()
