"""The code of docs/how-to/python.md runs as it is written, and makes the document that the page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from podrun import Workflow
from tests.integration.podrun.fake_service import FakeService

PAGE = (Path(__file__).parents[3] / "docs/how-to/python.md").read_text()
BLOCKS = re.findall(r"^```(python|json)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_page__python__runs(fake: FakeService, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("PODRUN_SERVER", fake.url)
    scope: dict[str, Any] = {}
    exec(PYTHON[number].replace("http://127.0.0.1:8080", fake.url), scope)
    workflow = scope.get("w")
    if isinstance(workflow, Workflow) and workflow.name == "shards":
        (shown,) = (text for language, text in BLOCKS if language == "json")
        assert workflow.to_dict() == json.loads(shown)
