"""Small workflows for the tests of the whole service: the same document runs on local pods and on Kubernetes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

Json = dict[str, Any]


def shell(name: str, script: str, **keys: Any) -> Json:
    """A task that runs a script of sh."""
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script], **keys}


def python(name: str, script: str, **keys: Any) -> Json:
    """A task that runs a script of Python 3."""
    return {"name": name, "image": "python:3", "command": ["python3", "-u", "-c", script], **keys}


def fake(name: str, seconds: float = 0, exit_code: int = 0, **keys: Any) -> Json:
    """A task whose pod goes to a fake node and ends by itself."""
    return {
        "name": name,
        "image": "fake:1",
        "node_selector": {"type": "fake"},
        "tolerations": [{"key": "fake", "operator": "Exists"}],
        "annotations": {"fake/exit-code": str(exit_code)} | ({"fake/seconds": f"{seconds}s"} if seconds else {}),
        **keys,
    }


def approval(name: str, **keys: Any) -> Json:
    """A task that waits for somebody's answer."""
    about = {key: keys.pop(key) for key in ("timeout_seconds", "on_timeout") if key in keys}
    return {"name": name, "approval": {"message": f"Go on with {name}?", **about}, **keys}


def put_out(**values: Any) -> str:
    """A line of sh that writes these outputs; values are put in as they stand."""
    pairs = ", ".join(f'\\"{key}\\": {value}' for key, value in values.items())
    return f'echo "{{{pairs}}}" > "$PODRUN_OUTPUTS"'


def workflow(*tasks: Json, name: str = "test", **keys: Any) -> Json:
    """A workflow of these tasks."""
    return {"name": name, "tasks": list(tasks), **keys}


def chain(count: int, make: Any, **keys: Any) -> Json:
    """A workflow of tasks one after the other, each made by `make(name)`."""
    tasks = [make(f"t{number}") for number in range(count)]
    for before, after in pairwise(tasks):
        after["depends_on"] = [before["name"]]
    return workflow(*tasks, **keys)
