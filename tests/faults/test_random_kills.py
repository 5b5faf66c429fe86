"""The service is killed at moments of chance while hundreds of tasks are under way: each ends as it would have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from tests.faults.checker import check
from tests.service.conftest import MakeService
from tests.support.api import api_of
from tests.support.numbered_log import NumberedLines
from tests.support.talkers import talker
from tests.support.workflows import Json, fake, workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.fake_nodes, pytest.mark.timeout(420)]
RUNS, LAYERS, WIDTH = 6, 4, 16
KILLS = 6
KILL_SECONDS = (0.2, 6.0)  #: after it was ready
RULES = ("all_success", "all_done", "one_failed", "none_failed", "one_success")
LINES = NumberedLines(6_000)
FAST, SLOW = 60_000, 20_000  #: bytes a second
SECONDS = 240.0


def _layers(chance: random.Random) -> Iterator[Json]:
    """Layers of tasks, each below some of the layer above; some fail, some are retried, all by what their pods are told."""
    above: list[str] = []
    for layer in range(LAYERS):
        names = [f"l{layer}-{number}" for number in range(WIDTH)]
        for name in names:
            keys: Json = {"retries": {"limit": 1, "delay_seconds": 0.5}} if chance.random() < 0.2 else {}
            if above:
                keys |= {"depends_on": chance.sample(above, 3), "trigger_rule": chance.choice(RULES)}
            yield fake(name, round(chance.uniform(0, 3), 1), exit_code=chance.choice((0, 0, 0, 0, 3)), **keys)
        above = names


async def test_kill__at_random_with_hundreds_of_tasks_under_way__each_ends_as_it_would_have(
    make_service: MakeService, chance: random.Random
) -> None:
    service = make_service("kubernetes")
    documents = [workflow(*_layers(chance), name=f"layers-{number}") for number in range(RUNS)]
    talkers = [talker(f"talks-{rate}", LINES, rate) for rate in (FAST, SLOW)]
    async with api_of(service.url, patience_seconds=60) as api:
        keys = {f"key-{number}": document for number, document in enumerate([workflow(*talkers), *documents])}
        ids = {key: await api.submit(document, key=key) for key, document in keys.items()}
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(*KILL_SECONDS))
            await asyncio.to_thread(service.kill)
            await asyncio.to_thread(service.start)
        runs = {key: await api.finished(run_id, SECONDS) for key, run_id in ids.items()}
        assert ids == {key: await api.submit(document, key=key) for key, document in keys.items()}
    for key, document in keys.items():
        told = {task["name"]: int(task.get("annotations", {}).get("fake/exit-code", 0)) for task in document["tasks"]}
        for task in runs[key]["tasks"]:
            for attempt in task["attempts"]:
                assert attempt["exit_code"] == told[task["name"]], task
            assert task["phase"] in (("Succeeded", "Failed")[told[task["name"]] > 0], "Omitted", "Skipped"), task
    talks = runs["key-0"]
    assert talks["phase"] == "Succeeded"
    printed = {(talks["id"], task["name"], 1): LINES for task in talks["tasks"]}
    await asyncio.to_thread(check, service, runs=list(ids.values()), keys=ids, printed=printed)
