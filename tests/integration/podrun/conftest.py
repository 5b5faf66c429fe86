from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from podrun.cli import app
from tests.integration.podrun.fake_service import FakeService, served

Invoke = Callable[..., Result]

WORKFLOW = '{"name": "hello", "tasks": [{"name": "a",\n  "image": "python:3"}]}'


@pytest.fixture(scope="session")
def running_fake() -> Iterator[FakeService]:
    with served(FakeService()) as fake:
        yield fake


@pytest.fixture
def fake(running_fake: FakeService) -> FakeService:
    running_fake.reset()
    return running_fake


@pytest.fixture
def podrun(fake: FakeService) -> Invoke:
    """The command line, in this process, with the fake service as its server."""

    def invoke(*arguments: str, stdin: str | None = None, **env: str) -> Result:
        defaults = {"PODRUN_SERVER": fake.url, "PODRUN_PATIENCE_SECONDS": "3", "PODRUN_TOKEN": "", "NO_COLOR": "1"}
        result = CliRunner(env=defaults | env).invoke(app, list(arguments), input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def workflow_file(tmp_path: Path) -> str:
    file = tmp_path / "hello.json"
    file.write_text(WORKFLOW)
    return str(file)
