from __future__ import annotations

import json

from app.runs.containers import declared_containers


def test_declared_containers__of_a_task__those_of_its_lists_its_overlay_and_the_defaults() -> None:
    document = {
        "task_defaults": {"sidecars": [{"name": "proxy"}]},
        "tasks": [
            {"name": "a", "init_containers": [{"name": "fetch"}], "pod": {"containers": [{"name": "main"}, {"name": "side"}]}},
            {"name": "b", "sidecars": [{"name": "other"}], "pod": "${{ params.pod }}"},
        ],
        "on_exit": [{"name": "z", "pod": {"initContainers": [{"name": "first"}]}, "sidecars": "${{ params.s }}"}],
    }
    found = {name: declared_containers(json.dumps(document).encode(), name) for name in ("a", "b", "z", "nobody")}
    assert found == {
        "a": ["proxy", "fetch", "main", "side"], "b": ["proxy", "other"], "z": ["proxy", "first"], "nobody": ["proxy"],
    }  # fmt: skip
    assert declared_containers(b"null", "a") == []
