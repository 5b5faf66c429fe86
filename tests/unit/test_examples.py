"""The examples are workflows that pass the check, twice written and once meant; and the pages' links lead somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.domain.workflow.parsing import parse_workflow
from podrun.cli.yaml12 import read_yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in {".json", ".yaml"})
NAMES = sorted({path.stem for path in FILES})
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]


def document(path: Path) -> Any:
    return json.loads(path.read_text()) if path.suffix == ".json" else read_yaml(path.read_text()).value


def test_examples__are_at_least_twenty_and_all_in_their_readme() -> None:
    assert len(NAMES) >= 20
    listed = re.findall(r"^\| \[([a-z0-9-]+)\]", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_example__is_a_valid_workflow_of_its_files_name_that_says_what_it_shows(path: Path) -> None:
    workflow = parse_workflow(document(path))
    assert workflow.name == path.stem
    assert workflow.description


@pytest.mark.parametrize("name", NAMES)
def test_example__json_and_yaml__are_the_same_workflow(name: str) -> None:
    assert document(FOLDER / f"{name}.json") == document(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_example__yaml__starts_with_a_comment(name: str) -> None:
    assert (FOLDER / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page__links__lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def blocks(language: str) -> list[Any]:
    """The whole workflows, and the programs that make one, in the how-to pages."""
    found = []
    for page in sorted((ROOT / "docs/how-to").glob("*.md")):
        for mark, text in re.findall(rf"^```{language}( \w+)?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            if mark or re.match(r"(#.*\n)?name:", text):
                found.append(pytest.param(text, id=f"{page.stem}-{len(found)}"))
    return found


@pytest.mark.parametrize("text", blocks("yaml"))
def test_guide__workflow__is_valid(text: str) -> None:
    parse_workflow(read_yaml(text).value)


@pytest.mark.parametrize("text", blocks("python"))
def test_guide__program__makes_a_valid_workflow(text: str) -> None:
    printed: list[str] = []
    exec(text, {"print": printed.append})
    parse_workflow(json.loads(printed[0]))
