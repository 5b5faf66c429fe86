"""Makes docs/generated from the code, so that it can't say anything else than the code does.

`make docs` writes the pages; `make lint` runs this with `--check`, which writes nothing and fails when one is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.domain.workflow.document import (
    Approval,
    ConcurrencySpec,
    OutputSpec,
    ParamSpec,
    Retries,
    ScheduleSpec,
    SecretRef,
    Task,
    WorkflowDocument,
)
from app.domain.workflow.parsing import workflow_json_schema
from app.main import create_app
from app.settings import Settings
from podrun.cli.reference import reference

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "generated"
_ABOUT_TASK = (
    "An item of `tasks` or `on_exit`. `task_defaults` takes the same keys but `name` and `depends_on`. Any value but those of "
    "`name`, `depends_on`, `trigger_rule` and `outputs` may be text with expressions, `${{ … }}`."
)
MADE = "<!-- Made from the code by `make docs`; do not edit. -->"


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    """A page under a title, parts separated by empty lines."""
    return "\n\n".join([f"# {title}", MADE, *parts]) + "\n"


def default_of(field: FieldInfo) -> str:
    """A field's default in words that fit a table."""
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None or value in ((), [], {}, ""):
        return "none"
    if isinstance(value, BaseModel):
        given = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(given)}`" if given else "none"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, tuple):
        return "`" + ",".join(map(str, value)) + "`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def settings_page() -> str:
    """The service's settings."""
    prefix = Settings.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name.upper()}`", f"`--{name.replace('_', '-')}`", default_of(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    return page(
        "Settings of the service",
        "Environment variables, or flags of `podrun serve`, which go before them.",
        table(("variable", "flag", "default", "meaning"), rows),
    )


def workflow_page() -> str:
    """The keys of a workflow."""
    sections: tuple[tuple[str, str, type[BaseModel]], ...] = (
        ("Workflow", "The document that is posted.", WorkflowDocument),
        ("params", "A value of `params`; one that is not an object is a default, whose type the param then has.", ParamSpec),
        ("concurrency", "Of the workflow.", ConcurrencySpec),
        ("schedule", "Of the workflow: either `every_seconds` or `cron`.", ScheduleSpec),
        ("Task", _ABOUT_TASK, Task),
        ("retries", "As an object; a whole number is its `limit`, with the other defaults.", Retries),
        ("secrets", "An item of `secrets`.", SecretRef),
        ("approval", "Of a task.", Approval),
        ("outputs", "A value of `outputs`.", OutputSpec),
    )
    parts: list[str] = []
    for title, text, model in sections:
        fields = sorted(model.model_fields.items(), key=lambda item: item[0] not in ("name", "depends_on"))
        rows = [(f"`{name}`", default_of(field), field.description or "") for name, field in fields]
        parts += [f"## {title}", text, table(("key", "default", "meaning"), rows)]
    return page(
        "Keys of a workflow",
        "podrun's own keys are `snake_case`. Where a value is a Kubernetes object it is written as in a manifest. Unknown keys "
        "are refused. Durations are numbers of seconds.",
        *parts,
    )


def workflow_schema() -> str:
    """The JSON Schema of a workflow, for editors."""
    return json.dumps(workflow_json_schema(), indent=2, ensure_ascii=False) + "\n"


def cli_page() -> str:
    """The command line."""
    return reference()


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the service."""
    document: dict[str, Any] = create_app(Settings()).openapi()
    return document


def openapi_file() -> str:
    """The OpenAPI document, as a file for generators of clients."""
    return json.dumps(openapi(), indent=2, ensure_ascii=False) + "\n"


def rest_page() -> str:
    """The endpoints."""
    document = openapi()
    about = (
        "All of it, with the schemas, is in [openapi.json](openapi.json), which a running service gives as "
        "`/api/v1/openapi.json`. Errors are `application/problem+json`. "
        "Logs and events can be followed over websocket at the same paths."
    )
    parts = [about]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += list(operation_parts(method.upper(), path, operation))
    return page("REST", *parts)


def operation_parts(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    """One endpoint: what it does, its parameters, its answers."""
    yield f"## `{method} {path}`"
    yield (operation.get("description") or operation.get("summary") or "").strip()
    parameters = [
        (f"`{one['name']}`", one["in"], (one.get("description") or "").strip()) for one in operation.get("parameters", [])
    ]
    if parameters:
        yield table(("parameter", "in", "meaning"), parameters)
    answers = [(f"`{status}`", (one.get("description") or "").strip()) for status, one in operation["responses"].items()]
    yield table(("answer", "meaning"), answers)


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "workflow.md": workflow_page,
    "workflow.schema.json": workflow_schema,
    "cli.md": cli_page,
    "rest.md": rest_page,
    "openapi.json": openapi_file,
}


def main() -> int:
    """Write the pages, or with `--check` compare them; 1 when one is out of date."""
    parser = argparse.ArgumentParser(description="Make docs/generated from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    check = parser.parse_args().check
    FOLDER.mkdir(parents=True, exist_ok=True)
    stale: list[str] = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text)
    if check and stale:
        print(f"docs/generated is out of date ({', '.join(stale)}): run `make docs`", file=sys.stderr)
        return 1
    print(f"docs/generated: {'up to date' if not stale else 'wrote ' + ', '.join(stale)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
