"""What a container writes may hold any byte: its task ends as it must, on both databases."""

from __future__ import annotations

import pytest

from app.storage import migrate
from app.storage.database import open_database
from tests.service.conftest import MakeService
from tests.support.api import api_of
from tests.support.workflows import shell, workflow


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database_url(request: pytest.FixtureRequest) -> str | None:
    """None for the service's own SQLite, or an upgraded PostgreSQL."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    async with open_database(url) as database:
        await database.write(migrate.upgrade_connection)
    return url


async def test_termination_message__with_nul_and_broken_text__fails_its_task_alone(
    database_url: str | None, make_service: MakeService
) -> None:
    service = make_service("local", database_url=database_url)
    tasks = [
        shell("nul", 'printf "a\\0b" > "$PODRUN_OUTPUTS"; exit 1'),
        shell("broken", 'printf "\\355\\240\\200\\377" > "$PODRUN_OUTPUTS"; exit 1'),
        shell("no-outputs", 'printf "a\\0b" > "$PODRUN_OUTPUTS"'),
        shell("fine", 'printf "a\\0b\\n"'),
    ]
    async with api_of(service.url) as api:
        run = await api.finished(await api.submit(workflow(*tasks)))
        log = await api.http.get(f"/runs/{run['id']}/tasks/fine/logs")
    told = {task["name"]: (task["phase"], task["reason"]) for task in run["tasks"]}
    assert told == {
        "nul": ("Failed", "Error"), "broken": ("Failed", "Error"), "no-outputs": ("Failed", "InvalidOutputs"),
        "fine": ("Succeeded", None),
    }  # fmt: skip
    assert run["reason"] == "TaskFailed"
    (attempt,) = next(task for task in run["tasks"] if task["name"] == "nul")["attempts"]
    assert "a\ufffdb" in attempt["message"]
    assert log.content == b"a\0b\n"
