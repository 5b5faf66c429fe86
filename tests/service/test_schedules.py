"""Schedules fire each time once: with two services on one PostgreSQL that are killed and started again all the while."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from tests.conftest import fresh_database
from tests.service.conftest import MakeService
from tests.support.api import Api, api_of
from tests.support.postgres import PostgresServer
from tests.support.replicas import replicas
from tests.support.service import ServiceProcess
from tests.support.waiting import run_apart
from tests.support.workflows import Json, approval, shell, workflow

SECONDS = 12
EVERY_SECOND = {"every_seconds": 1, "catchup": True}
WORKFLOWS = [
    workflow({"name": "a"}, name="tick", schedule=EVERY_SECOND),
    workflow(shell("a", "sleep 1.5"), name="forbid", schedule={**EVERY_SECOND, "overlap": "forbid"}),
    workflow(approval("a"), name="replace", schedule={**EVERY_SECOND, "overlap": "replace"}),
]


@dataclass(frozen=True)
class Made:
    """What the schedules made, oldest first, and the stored workflows as they were at last."""

    runs: dict[str, list[Json]]
    stored: dict[str, Json]


@pytest.fixture(scope="module")
def made(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Schedules ran for a while, and services were killed and stopped at random meanwhile."""
    folder = tmp_path_factory.mktemp("schedules")
    with fresh_database(postgres_server) as url, replicas(folder, url) as two:
        _put_all(two[0])
        _end_at_random(two)
        yield _collect(two[0])


def _put_all(service: ServiceProcess) -> None:
    async def put() -> None:
        async with api_of(service.url) as api:
            for document in WORKFLOWS:
                await api.put_workflow(document)

    run_apart(put())


def _end_at_random(two: Sequence[ServiceProcess]) -> None:
    """One of the two is always there, most of the time: at times both are away."""
    chance = random.Random(7)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.2, 1.5))
        chosen = chance.choice(two)
        if not chosen.is_running:
            chosen.start(wait=False)
        elif chance.random() < 0.7:
            chosen.kill()
            if chance.random() < 0.7:
                chosen.start(wait=False)
        else:
            chosen.terminate()
            chosen.start(wait=False)
    for one in two:
        if not one.is_running:
            one.start(wait=False)
    for one in two:
        one.wait_ready()


def _collect(service: ServiceProcess) -> Made:
    async def collect() -> Made:
        async with api_of(service.url) as api:
            stored, runs = {}, {}
            for document in WORKFLOWS:
                name = document["name"]
                if name != "forbid":
                    await _count(api, name, SECONDS)  # the last ones that were missed come late on a busy machine
                assert (await api.http.post(f"/workflows/{name}/pause")).is_success
                stored[name] = await api.get(f"/workflows/{name}")
                ids = [run["id"] async for run in api.pages("/runs", workflow=name)]
                if name == "replace":
                    await api.cancel(ids[0])
                runs[name] = sorted([await api.finished(run_id) for run_id in ids], key=lambda run: run["scheduled_at"])
            return Made(runs, stored)

    return run_apart(collect())


def times(runs: Sequence[Json]) -> list[datetime]:
    return [datetime.fromisoformat(run["scheduled_at"]) for run in runs]


@pytest.mark.postgres
def test_schedule__with_catchup__fires_each_time_once_and_leaves_none_out(made: Made) -> None:
    found = times(made.runs["tick"])
    assert len(found) >= SECONDS
    assert {after - before for before, after in pairwise(found)} == {timedelta(seconds=1)}
    assert {run["phase"] for run in made.runs["tick"]} == {"Succeeded"}
    assert {run["workflow_version"] for run in made.runs["tick"]} == {1}
    assert made.stored["tick"]["schedule"]["last_run_id"] == made.runs["tick"][-1]["id"]
    assert made.stored["tick"]["schedule"]["last_skipped_at"] is None


@pytest.mark.postgres
def test_schedule__that_forbids_overlap__has_one_run_at_a_time(made: Made) -> None:
    runs = made.runs["forbid"]
    assert len(runs) >= 2
    assert len(set(times(runs))) == len(runs)
    assert {run["phase"] for run in runs} == {"Succeeded"}
    for before, after in pairwise(runs):
        assert before["finished_at"] <= after["created_at"]
    assert [len(run["tasks"][0]["attempts"]) for run in runs] == [1] * len(runs)
    assert "`overlap` is forbid" in made.stored["forbid"]["schedule"]["last_skipped_reason"]


@pytest.mark.postgres
def test_schedule__that_replaces__cancels_each_run_by_the_next(made: Made) -> None:
    runs = made.runs["replace"]
    assert len(runs) >= SECONDS
    assert {after - before for before, after in pairwise(times(runs))} == {timedelta(seconds=1)}
    assert {run["phase"] for run in runs} == {"Cancelled"}
    for run, after in pairwise(runs):
        assert run["message"] == f"Replaced by run {after['id']} of the same schedule"


async def _count(api: Api, name: str, at_least: int) -> int:
    """How many runs the workflow has, once there are so many."""
    async with asyncio.timeout(60):
        while (found := len((await api.get("/runs", workflow=name, limit=1000))["items"])) < at_least:  # noqa: ASYNC110 - as users do
            await asyncio.sleep(0.05)
    return found


@pytest.mark.usefixtures("local_service")
async def test_pause__stops_the_schedule_and_unpause_lets_it_go_on_from_now(api: Api) -> None:
    await api.put_workflow(workflow({"name": "a"}, name="paused", schedule=EVERY_SECOND))
    await _count(api, "paused", 2)
    paused = await api.http.post("/workflows/paused/pause")
    assert (paused.json()["paused"], paused.json()["schedule"]["next_at"]) == (True, None)
    before = await _count(api, "paused", 2)
    by_hand = await api.submit("paused")
    await asyncio.sleep(2.5)  # two times pass by
    assert await _count(api, "paused", 2) == before + 1
    assert (await api.finished(by_hand))["scheduled_at"] is None
    assert (await api.http.post("/workflows/paused/unpause")).json()["schedule"]["next_at"] is not None
    await _count(api, "paused", before + 2)
    scheduled = [run["scheduled_at"] for run in (await api.get("/runs", workflow="paused"))["items"] if run["scheduled_at"]]
    first = min(map(datetime.fromisoformat, scheduled))
    offsets = [(datetime.fromisoformat(one) - first).total_seconds() for one in scheduled]
    assert len(set(offsets)) == len(offsets)
    assert all(offset == round(offset) for offset in offsets), "the interval keeps its origin"
    assert max(b - a for a, b in pairwise(sorted(offsets))) >= 3, "what passed by is not made up for"
    assert (await api.http.post("/workflows/paused/pause")).is_success


async def test_kill__without_catchup__runs_the_latest_time_that_was_missed(make_service: MakeService) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        await api.put_workflow(workflow({"name": "a"}, name="late", schedule={"every_seconds": 1}))
        await _count(api, "late", 2)
    service.kill()
    await asyncio.sleep(3.2)  # three times at least are missed
    service.start()
    async with api_of(service.url) as api:
        before = await _count(api, "late", 3)
        await _count(api, "late", before + 1)
        assert (await api.http.post("/workflows/late/pause")).is_success
        stored = await api.get("/workflows/late")
        runs = [await api.finished(run["id"]) for run in (await api.get("/runs", workflow="late"))["items"]]
    gaps = [(after - before).total_seconds() for before, after in pairwise(sorted(times(runs)))]
    assert [gap for gap in gaps if gap > 1] == [max(gaps)]
    assert max(gaps) >= 3
    assert "missed while podrun did not run" in stored["schedule"]["last_skipped_reason"]
    assert {run["phase"] for run in runs} == {"Succeeded"}
