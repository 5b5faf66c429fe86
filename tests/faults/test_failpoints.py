"""The service is killed at every failpoint: before and after each commit, each call to the cluster and to the log store.

Stories go on round after round while the service dies at the first failpoint that it has not died at yet, and is started
again; until there is none left. Which time it is passed that kills is chance's.
"""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.failpoints import Action, all_failpoints
from tests.faults.checker import check
from tests.faults.stories import CLUSTER_STORIES, STORIES, Stage, Story
from tests.service.conftest import KUBERNETES, LOCAL
from tests.support.api import api_of
from tests.support.cluster import fresh_namespace
from tests.support.service import ServiceProcess

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests" / "support" / "failing_serve.py"
#: What is done once in a process's life, or can't be counted on to be done again and again.
ONCE = {
    Action.MIGRATE, Action.NAME_INSTANCE, Action.RELEASE_RUNS, Action.RENEW_CLAIM, Action.END_AS_ERROR,
    Action.FINISH_AS_ERROR, Action.LIST_PODS, Action.LIST_EVENTS, Action.WATCH_PODS, Action.WATCH_EVENTS,
}  # fmt: skip
ONLY_LOCAL = {Action.LAUNCH_SUPERVISOR}
ONLY_CLUSTER = {
    Action.GET_POD, Action.LIST_PODS, Action.WATCH_PODS, Action.LIST_EVENTS, Action.WATCH_EVENTS, Action.ADD_GAP,
}  # fmt: skip
#: A failpoint that is not passed for so long, while all stories go on, is never passed.
REACH_SECONDS = 240.0
PATIENCE_SECONDS = 600.0


class Walk:
    """The failpoints that the service has not died at yet, and the service, which is started again each time it has."""

    def __init__(self, service: ServiceProcess, left: dict[str, int]) -> None:
        self.service, self.left = service, left
        self.died: list[str] = []
        self._plan = service.folder / "failpoints.json"

    async def walk(self) -> None:
        """Until none is left; then the service runs on."""
        while self.left:
            name = await self._live()
            del self.left[name]
            self.died.append(name)
        self.service.program = ["-m", "podrun.cli"]
        self.service.start(wait=False)

    async def _live(self) -> str:
        """One life of the service; the name of the failpoint that it died at."""
        died = self._plan.with_suffix(".died")
        died.unlink(missing_ok=True)
        self._plan.write_text(json.dumps(self.left))
        self.service.program = ["-P", str(PROGRAM), str(self._plan)]
        self.service.start(wait=False)
        is_to_stop = any(name.endswith(Action.RELEASE_RUNS) for name in self.left)
        try:
            async with asyncio.timeout(REACH_SECONDS):
                while self.service.is_running:
                    await asyncio.sleep(0.02)
                    if is_to_stop and await asyncio.to_thread(self.service.is_ready):
                        is_to_stop = False
                        self.service.ask_to_stop()
        except TimeoutError:
            raise AssertionError(f"never passed: {sorted(self.left)}") from None
        assert died.exists(), f"it ended by itself\n{self.service.text()[-5000:]}"
        return died.read_text()


async def _tell(stories: list[Story], stage: Stage, walk: Walk) -> None:
    """All stories at once, round after round, until the service has died everywhere."""
    async with asyncio.TaskGroup() as group:
        walking = group.create_task(walk.walk(), name="walk")
        while not walking.done():
            async with asyncio.TaskGroup() as round_of_stories:
                for story in stories:
                    round_of_stories.create_task(story(stage), name=story.__name__)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("pods", [LOCAL, KUBERNETES])
async def test_kill__at_each_failpoint__every_run_ends_as_it_would_have(
    pods: str, when: str, tmp_path: Path, chance: random.Random
) -> None:
    not_here = ONLY_LOCAL if pods == "kubernetes" else ONLY_CLUSTER
    left = {
        name: 1 if name.removeprefix(f"{when} ") in ONCE else chance.randint(1, 2)
        for name in all_failpoints()
        if name.startswith(when) and name.removeprefix(f"{when} ") not in not_here
    }
    stories = [*STORIES, *(CLUSTER_STORIES if pods == "kubernetes" else ())]
    with ExitStack() as stack:
        namespaces = [stack.enter_context(fresh_namespace())] if pods == "kubernetes" else []
        service = ServiceProcess(tmp_path / "service", pods, namespaces=namespaces)
        stack.callback(lambda: service.is_running and service.kill())  # where it fails, pods go with their namespace
        walk = Walk(service, left)
        async with api_of(service.url, patience_seconds=PATIENCE_SECONDS) as api:
            stage = Stage(service, api)
            await _tell(stories, stage, walk)
        allowed = {
            "foreign": stage.foreign, "deleted_runs": stage.deleted, "unknown_pods": bool(stage.deleted),
            # Their pods may go while the service is away.
            "gaps": ["lost", "stays"],
        }  # fmt: skip
        await asyncio.to_thread(check, service, runs=stage.runs, **allowed)
        service.terminate()
