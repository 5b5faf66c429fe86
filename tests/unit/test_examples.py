"""The examples are workflows that pass the check, and the pages' links lead somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain.workflow import parse_workflow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in {".json", ".yaml"})
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]


def document(path: Path) -> Any:
    return json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example__is_a_valid_workflow(path: Path) -> None:
    parse_workflow(document(path))


def test_example__json_and_yaml__are_the_same_workflow() -> None:
    assert document(ROOT / "examples/kubernetes-sample.json") == document(ROOT / "examples/kubernetes-sample.yaml")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page__links__lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
