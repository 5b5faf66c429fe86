"""A large run does not keep a small one waiting: told by what started in between, never by the clock."""

from __future__ import annotations

import pytest

from tests.service.conftest import KUBERNETES, LOCAL, MakeService
from tests.support.api import api_of
from tests.support.workflows import Json, fake, shell, workflow

SLOTS = 10
TASKS = 1000


@pytest.mark.parametrize("pods", [LOCAL, KUBERNETES])
async def test_slots__of_a_run_of_1000_tasks__come_to_a_run_of_one_within_one_pods_life(
    make_service: MakeService, pods: str, request: pytest.FixtureRequest
) -> None:
    if pods == "kubernetes":
        request.getfixturevalue("fake_nodes")
    service = make_service(pods, settings={"MAX_PARALLEL_PODS": str(SLOTS)})
    make = (lambda name: shell(name, "sleep 0.2")) if pods == "local" else (lambda name: fake(name, 0.5))
    async with api_of(service.url) as api:
        large = await api.submit(workflow(*(make(f"t{number}") for number in range(TASKS)), name="large"))
        first = await api.task(large, f"t{2 * SLOTS}")
        assert first["phase"] == "Pending"
        await api.task_when(large, f"t{2 * SLOTS}", phase="Succeeded")
        small = await api.finished(await api.submit(workflow(make("one"), name="small")))
        assert small["phase"] == "Succeeded"
        waiting = (await api.task(large, f"t{TASKS - 1}"))["reason"]
        await api.cancel(large)
        run = await api.finished(large)
        events, history = await api.events(small["id"]), await api.events(large)

    attempts = [attempt for task in run["tasks"] for attempt in task["attempts"]]
    began = small["tasks"][0]["attempts"][0]["created_at"]
    between = [one for one in attempts if small["created_at"] <= one["created_at"] <= began]
    assert len(between) <= 2 * SLOTS, "the small run waited for more than two pods' lives in each slot"
    assert waiting == "WaitingForSlot"
    assert [event["reason"] for event in events if event["task"] == "one"].count("WaitingForSlot") <= 1
    assert len(attempts) < TASKS
    assert most_at_once(history) <= SLOTS


def most_at_once(history: list[Json]) -> int:
    """How many attempts a run had at one time that were not over, by its history."""
    running: set[str] = set()
    most = 0
    for event in history:
        if event["type"] == "AttemptPhase":
            (running.add if event["phase"] in ("Pending", "Running") else running.discard)(event["task"])
            most = max(most, len(running))
    return most
