"""A rolling restart on the real cluster: replica after replica ends and comes back, while runs, readers and posters go on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.faults.replicated import Group, group_of, listening_postgres, start
from tests.support.api import PREFIX, api_of
from tests.support.cluster import creations, wait_no_pods
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.postgres import PostgresServer
from tests.support.readers import Json, RovingReader, Transport
from tests.support.workflows import python, shell, workflow

__all__ = ["listening_postgres"]
pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.postgres, pytest.mark.timeout(300)]

END_SECONDS = 150.0
LINES = NumberedLines(500, size=200)
_TALK = """
import time
for number in range(COUNT):
    print(line(KEY, number, SIZE).decode(), end="", flush=True)
    time.sleep(0.1)
"""
POSTERS = 3
POSTER_PAUSE_SECONDS = 2.0
AGAIN_SECONDS = 0.05
#: Answers upon which a careful client asks again: the service is away, or the same key is just being dealt with.
_AGAIN = frozenset({409, 502, 503})
TRANSPORTS: tuple[Transport, ...] = ("websocket", "events", "ndjson")


def _posted() -> Json:
    return workflow(shell("a", "echo a; sleep 1"), shell("b", "echo b", depends_on=["a"]), name="posted")


@dataclass
class Posters:
    """They post to any replica, each run under a key of its own, and go to another one when they are not answered."""

    urls: Sequence[str]
    chance: random.Random
    acknowledged: dict[str, str] = field(default_factory=dict)  #: the run of each key
    repeated: int = 0  #: posts that were not answered at once
    is_over: bool = False

    async def post(self, poster: int) -> None:
        """Post until it is over."""
        number = 0
        while not self.is_over:
            number += 1
            await self._post(f"poster-{poster}-{number}")
            await asyncio.sleep(POSTER_PAUSE_SECONDS)

    async def _post(self, key: str) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=15) as client:
            while True:
                try:
                    url = f"{self.chance.choice(self.urls)}{PREFIX}/runs"
                    answer = await client.post(url, json={"workflow": _posted()}, headers={"Idempotency-Key": key})
                    if answer.status_code not in _AGAIN:
                        assert answer.status_code == httpx.codes.CREATED, answer.text
                        self.acknowledged[key] = answer.json()["id"]
                        return
                except httpx.TransportError:
                    pass
                self.repeated += 1
                await asyncio.sleep(AGAIN_SECONDS)


def _reader(urls: Sequence[str], chance: random.Random, run_id: str, transport: Transport) -> tuple[RovingReader, LogCheck]:
    check = LogCheck(LINES)
    reader = RovingReader(
        lambda: chance.choice(urls), f"/runs/{run_id}/tasks/talks/logs",
        lambda one: check.take(one if "type" in one else {"type": "lines", "lines": [one]}), transport=lambda: transport,
    )  # fmt: skip
    return reader, check


async def _restart_all(group: Group, posters: Posters) -> None:
    """One after the other, as an upgrade does it; the posters stop when all are back."""
    for replica in group.replicas:
        assert await asyncio.to_thread(replica.terminate) == 0
        await asyncio.to_thread(replica.start)
        await asyncio.sleep(1)
    posters.is_over = True


async def test_rolling_restart__with_readers_and_posters__no_run_breaks_no_line_and_no_post_is_lost_or_doubled(
    tmp_path: Path, listening_postgres: PostgresServer, kubeconfig: Path, chance: random.Random
) -> None:
    with group_of(tmp_path, listening_postgres, pods="kubernetes") as group:
        await asyncio.to_thread(start, group.replicas)
        urls = [one.url for one in group.replicas]
        talks = []
        for url in urls:
            async with api_of(url) as api:
                task = python("talks", LINES.script + _TALK)
                talks.append(await api.submit(workflow(task, shell("after", "echo after", depends_on=["talks"]))))
                await api.log_when(talks[-1], "talks", LINES.line(0))
        readers = [_reader(urls, chance, run_id, transport) for run_id in talks for transport in TRANSPORTS]
        events: list[Json] = []
        history = RovingReader(
            lambda: chance.choice(urls),
            f"/runs/{talks[0]}/events",
            events.append,
            transport=lambda: chance.choice(TRANSPORTS[:2]),
        )
        posters = Posters(urls, chance)
        async with asyncio.TaskGroup() as tasks:
            for reader in (history, *(reader for reader, _ in readers)):
                tasks.create_task(reader.read(END_SECONDS))
            for number in range(POSTERS):
                tasks.create_task(posters.post(number))
            await _restart_all(group, posters)
        await _check(group, kubeconfig, posters, talks)
        async with api_of(urls[0]) as api:
            assert [one["event"] for one in events] == await api.events(talks[0])
        for reader, check in readers:
            assert check.end() == [], dict(reader.cuts)
            assert reader.end == "Succeeded"
        assert sum(reader.cuts["1012"] for reader, _ in readers) >= len(urls), "no websocket was told to come back"
        await asyncio.to_thread(group.check, keys=posters.acknowledged)


async def _check(group: Group, kubeconfig: Path, posters: Posters, talks: Sequence[str]) -> None:
    """Every run is there once and has ended well, each task by one pod."""
    async with api_of(group.replicas[1].url) as api:
        runs = [await api.finished(run_id, END_SECONDS) for run_id in (*talks, *posters.acknowledged.values())]
        assert sorted([run["id"] async for run in api.pages("/runs")]) == sorted(run["id"] for run in runs)
    assert {run["phase"] for run in runs} == {"Succeeded"}
    attempts = [attempt for run in runs for task in run["tasks"] for attempt in task["attempts"]]
    assert {attempt["attempt"] for attempt in attempts} == {1}
    made = creations(kubeconfig, group.replicas[0].namespaces[0])
    assert made == dict.fromkeys([attempt["pod"] for attempt in attempts], 1)
    await asyncio.to_thread(wait_no_pods, group.replicas[0].namespaces[0])
