from __future__ import annotations

import json

import pytest

from app.runs.containers import declared_containers

DOCUMENT = {
    "name": "demo",
    "task_defaults": {"image": "python:3", "sidecars": [{"name": "proxy"}]},
    "tasks": [
        {"name": "a", "init_containers": [{"name": "fetch"}], "pod": {"containers": [{"name": "main"}, {"name": "side"}]}},
        {"name": "b", "sidecars": [{"name": "other"}], "pod": "${{ params.pod }}"},
        {"name": "c", "sidecars": None},
        {"name": "d", "sidecars": [{"name": "${{ params.name }}"}, {"name": "known"}]},
        {"name": "approve", "approval": {"message": "may it?"}},
    ],
    "on_exit": [{"name": "z", "pod": {"initContainers": [{"name": "first"}]}, "sidecars": "${{ params.s }}"}],
}


@pytest.mark.parametrize(
    ("task", "containers"),
    [
        ("a", ["fetch", "main", "proxy", "side"]), ("b", ["main", "other"]), ("c", ["main"]), ("d", ["main", "known"]),
        ("approve", []), ("z", ["main", "first"]), ("nobody", ["main"]),
    ],
)  # fmt: skip
def test_declared_containers__of_a_task__are_in_its_pods_order(task: str, containers: list[str]) -> None:
    assert declared_containers(json.dumps(DOCUMENT).encode(), task) == containers


def test_declared_containers__no_document__main_alone() -> None:
    assert declared_containers(b"null", "a") == ["main"]
