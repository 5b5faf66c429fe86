"""What a pod says may hold any character: the run goes on, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.pods import AttemptKey, PodObservation
from app.storage import migrate
from app.storage.broker import Broker
from app.storage.database import open_database
from app.storage.runs import list_attempts
from app.storage.writer import Writer
from tests.integration.executor.test_executor import Bench
from tests.support.fake_pods import FakePods


class TalkativePods(FakePods):
    """Pods that, where main fails, say what no database takes: as reason, as message, and as termination message."""

    def tell(self, pod: PodObservation) -> None:
        if pod.main is None or not pod.main.exit_code:
            super().tell(pod)
            return
        said = {"reason": "Err\0or", "message": "a\0b \ud800"}
        super().tell(replace(pod, containers=tuple(replace(one, **said) for one in pod.containers), **said))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    url = f"sqlite:///{tmp_path}/podrun.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    broker = Broker()
    async with open_database(url) as database:
        await database.write(migrate.upgrade_connection)
        async with Writer(database, broker) as writer:
            yield Bench(database, writer, broker, TalkativePods(), tmp_path)


async def test_executor__a_pod_says_what_no_database_takes__the_task_fails_and_the_others_run(bench: Bench) -> None:
    def exit_code(key: AttemptKey) -> int:
        return 1 if key.task == "a" else 0

    bench.pods.exit_code = exit_code
    async with bench.executor():
        run_id = await bench.submit(1, {"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["b"]})
        run = await bench.finished(run_id)
    assert (run.phase, run.reason, run.task_phases) == ("Failed", "TaskFailed", {"Failed": 1, "Succeeded": 2})
    assert "\0" not in run.message
    attempts = await bench.database.read(lambda session: list_attempts(session, run_id))
    assert {row.message for row in attempts if row.task == "a"} == {"a\ufffdb \ufffd"}
