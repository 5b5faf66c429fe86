"""Every commit and every call to the cluster has its failpoints: what has none would never be cut off by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.failpoints import Action, all_failpoints

APP = Path(__file__).resolve().parents[2] / "app"


def _calls(name: str) -> list[tuple[str, ast.Call]]:
    """Calls of that name in the service's code, with where they are."""
    found = []
    for path in sorted(APP.rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        found += [(f"{path.relative_to(APP)}:{call.lineno}", call) for call in calls if _name_of(call) == name]
    return found


def _name_of(call: ast.Call) -> str | None:
    return getattr(call.func, "id", None) or getattr(call.func, "attr", None)


def test_changes__all_of_them__say_what_they_do() -> None:
    changes = _calls("Change")
    assert len(changes) > 10
    assert [where for where, call in changes if "actions" not in {keyword.arg for keyword in call.keywords}] == []


@pytest.mark.parametrize("action", Action)
def test_action__any__is_used(action: Action) -> None:
    uses = sum(f"Action.{action.name}" in path.read_text() for path in APP.rglob("*.py") if path.name != "failpoints.py")
    assert uses > 0


def test_names__of_all__are_two_for_each_action() -> None:
    assert len(set(all_failpoints())) == 2 * len(Action)
