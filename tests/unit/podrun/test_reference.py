"""The command line agrees with the contract, the settings and its own reference; the client needs no server packages."""

from __future__ import annotations

import subprocess
import sys
import typing

import typer

from app.settings import Settings
from podrun.cli import app, serve
from podrun.cli.reference import reference
from podrun.cli.runtime import Code

SERVER_PACKAGES = ("app", "fastapi", "uvicorn", "pydantic", "sqlalchemy", "sqlmodel", "kubernetes_asyncio", "orjson", "msgspec")


def test_reference__every_command__is_in_it() -> None:
    text = reference()
    commands = ["serve", "run", "submit", "wait", "list", "get", "logs", "events", "cancel", "retry", "suspend", "resume"]
    commands += ["approve", "reject", "delete", "lint"]
    commands += [f"workflows {name}" for name in ("put", "list", "get", "versions", "delete", "pause", "unpause")]
    commands += ["db upgrade"]
    assert [line[4:-1].removeprefix("podrun ") for line in text.splitlines() if line.startswith("## `")] == commands
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"| {code} |" in text


def test_serve__its_flags__are_the_settings() -> None:
    hints = typing.get_type_hints(serve.serve, include_extras=True)
    assert set(hints) - {"return"} == set(Settings.model_fields)
    flags = {part.name: part.opts for part in typer.main.get_command(app).commands["serve"].params}  # type: ignore[attr-defined]
    for name in Settings.model_fields:
        assert flags[name] == ["--" + name.replace("_", "-")]


def test_code__values__are_the_contracts() -> None:
    assert [Code.SUCCEEDED, Code.FAILED, Code.USAGE, Code.CANCELLED, Code.TIMEOUT, Code.UNREACHABLE] == [0, 1, 2, 3, 4, 5]
    assert Code.INTERRUPTED == 130


def test_podrun__imported__nothing_of_the_server() -> None:
    program = f"import sys, podrun, podrun.cli; print([name for name in {SERVER_PACKAGES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
